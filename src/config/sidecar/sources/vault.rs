//! HashiCorp Vault and OpenBao: where it is, how the sidecar logs in, and which path a connection is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::reader::Reader;
use super::authority::address;
use crate::config::yaml::{Fields, Node};
use crate::model::{Path, Url};

/// Where a pod finds the token of its service account.
pub(super) const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// `vault:` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultSource {
    /// Where it is, without the `/v1`.
    pub url: Url,
    /// `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// The certificates that its own must lead to, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How it gets to know us.
    pub auth: VaultAuth,
}

/// `auth:` of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultAuth {
    /// `approle`: a role's id, and its secret id in a file.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// Which role; no secret.
        role_id: String,
        /// The file of the secret id.
        secret_id_file: PathBuf,
    },
    /// `kubernetes`: a role, and the token of a service account.
    Kubernetes {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role: String,
        /// The file of the token.
        token_file: PathBuf,
    },
    /// `token_file`: a token that somebody else logged in for.
    Token(PathBuf),
}

/// A connection there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultConnection {
    /// What is read, behind `/v1/`: `secret/data/jira` of a versioned engine, `database/creds/app`.
    pub path: String,
    /// This version of it and no other.
    pub version: Option<u64>,
    /// By the strategy's name of a field, its key there; all under their own names, where not said.
    pub fields: Option<BTreeMap<String, String>>,
}

pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<VaultSource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let cleartext = fields.get("cleartext").and_then(|node| node.flag(reader.findings)).unwrap_or(false);
    let url = match fields.get("url") {
        Some(node) => address(node, cleartext, reader),
        None => reader.missing(node, "url"),
    };
    let namespace = match fields.get("namespace") {
        Some(node) => namespace(node, reader).map(Some),
        None => Some(None),
    };
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node));
    let auth = match fields.get("auth") {
        Some(node) => auth(node, reader),
        None => reader.missing(node, "auth"),
    };
    fields.finish(&[], reader.findings);
    Some(VaultSource { url: url?, namespace: namespace?, ca_file, auth: auth? })
}

fn namespace(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader.findings)?.trim_matches('/');
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        reader.findings.with(node, "this is no namespace of Vault, such as team-a or team-a/prod");
        return None;
    }
    Some(text.to_owned())
}

fn auth(node: &Node, reader: &mut Reader<'_>) -> Option<VaultAuth> {
    let mut fields = Fields::open(node, reader.findings)?;
    let said = ["approle", "kubernetes", "token_file"].map(|key| fields.get(key).map(|node| (key, node)));
    let said: Vec<_> = said.into_iter().flatten().collect();
    fields.finish(&[], reader.findings);
    match said[..] {
        [("approle", node)] => approle(node, reader),
        [("kubernetes", node)] => kubernetes(node, reader),
        [("token_file", node)] => reader.path(node).map(VaultAuth::Token),
        _ => {
            reader.findings.with(node, "one way to log in is needed: `approle`, `kubernetes` or `token_file`");
            None
        }
    }
}

fn approle(node: &Node, reader: &mut Reader<'_>) -> Option<VaultAuth> {
    let mut fields = Fields::open(node, reader.findings)?;
    let mount = mount(&mut fields, "approle", reader);
    let role_id = match fields.get("role_id") {
        Some(node) => node.text(reader.findings).map(str::to_owned),
        None => reader.missing(node, "role_id"),
    };
    let file = match fields.get("secret_id_file") {
        Some(node) => reader.path(node),
        None => reader.missing(node, "secret_id_file"),
    };
    fields.finish(&[], reader.findings);
    Some(VaultAuth::AppRole { mount: mount?, role_id: role_id?, secret_id_file: file? })
}

fn kubernetes(node: &Node, reader: &mut Reader<'_>) -> Option<VaultAuth> {
    let mut fields = Fields::open(node, reader.findings)?;
    let mount = mount(&mut fields, "kubernetes", reader);
    let role = match fields.get("role") {
        Some(node) => node.text(reader.findings).map(str::to_owned),
        None => reader.missing(node, "role"),
    };
    let file = match fields.get("token_file") {
        Some(node) => reader.path(node),
        None => Some(PathBuf::from(POD_TOKEN)),
    };
    fields.finish(&[], reader.findings);
    Some(VaultAuth::Kubernetes { mount: mount?, role: role?, token_file: file? })
}

fn mount(fields: &mut Fields<'_>, usual: &str, reader: &mut Reader<'_>) -> Option<String> {
    match fields.get("mount") {
        Some(node) => path(node, reader),
        None => Some(usual.to_owned()),
    }
}

pub(super) fn connection(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<VaultConnection> {
    let path = match fields.get("path") {
        Some(node) => path(node, reader),
        None => reader.missing(fields.node(), "path"),
    };
    let version = fields.get("version").and_then(|node| node.number(1, u64::from(u32::MAX), reader.findings));
    let keys = fields.get("fields").map(|node| renamed(node, reader));
    Some(VaultConnection { path: path?, version, fields: keys })
}

/// By the name that a strategy says, the one that it has at the source.
pub(super) fn renamed(node: &Node, reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for entry in node.entries(reader.findings) {
        keys.extend(entry.node.text(reader.findings).map(|key| (entry.key.clone(), key.to_owned())));
    }
    keys
}

/// What stands behind `/v1/`.
fn path(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader.findings)?.trim_matches('/');
    let bad = text.is_empty() || text.starts_with("v1/") || text.contains(['?', '#']);
    if bad || Path::parse(&format!("/v1/{text}")).is_err() {
        reader.findings.with(node, "this is no path of Vault, such as secret/data/jira: without /v1, without a query");
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConnectionAt, Environment, Problems, SourceKind, VaultAuth};
    use crate::model::ConnectionName;

    fn load(text: &str) -> Result<Config, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nexus-sidecar.yaml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file, &Environment::of([("HOME", "/home/u")]))
    }

    const WHOLE: &str = "version: 1
sources:
  v:
    vault:
      url: https://vault.test:8200
      namespace: team-a/
      auth: { approle: { role_id: r-1, secret_id_file: /run/secret-id } }
connections:
  jira: { source: v, hosts: [acme.test], strategy: oauth2, path: /secret/data/jira, version: 3, fields: { access_token: token } }
  github: { source: v, provider: github, path: secret/data/github }
";

    #[test]
    fn a_vault_and_what_is_read_there() {
        let config = load(WHOLE).unwrap();
        let SourceKind::Vault(vault) = &config.sources[0].kind else { panic!("{:?}", config.sources) };
        assert_eq!(vault.namespace.as_deref(), Some("team-a"));
        let secret_id_file = "/run/secret-id".into();
        let auth = VaultAuth::AppRole { mount: "approle".into(), role_id: "r-1".into(), secret_id_file };
        assert_eq!(vault.auth, auth);
        let of = |name: &str| match &config.connections[&ConnectionName::parse(name).unwrap()].at {
            ConnectionAt::Vault(_, there) => there.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((of("jira").path.as_str(), of("jira").version), ("secret/data/jira", Some(3)));
        assert_eq!((of("github").version, of("github").fields), (None, None));
        let pod =
            WHOLE.replace("approle: { role_id: r-1, secret_id_file: /run/secret-id }", "kubernetes: { role: app }");
        let SourceKind::Vault(vault) = load(&pod).unwrap().sources.remove(0).kind else { panic!() };
        let token_file = super::POD_TOKEN.into();
        assert_eq!(vault.auth, VaultAuth::Kubernetes { mount: "kubernetes".into(), role: "app".into(), token_file });
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (what, instead, place, want) in [
            ("url: https:", "url: http:", ":5:12:", "over http"),
            ("team-a/", "' /'", ":6:18:", "no namespace"),
            ("approle: {", "userpass: {", ":7:13:", "one way to log in"),
            ("approle: {", "token_file: /t, approle: {", ":7:13:", "one way to log in"),
            ("role_id: r-1, ", "", ":7:24:", "`role_id` is missing"),
            ("role_id: r-1, ", "role_id: r-1, mount: a/../b, ", ":7:47:", "no path of Vault"),
            ("path: /secret/data/jira, ", "", ":9:9:", "`path` is missing"),
            ("/secret/data/jira", "v1/secret/data/jira", "", "without /v1"),
            ("/secret/data/jira", "secret/data/jira?x", "", "without a query"),
            ("version: 3", "version: 0", "", "a whole number from 1"),
            ("{ access_token: token }", "{ token: token }", "", "needs the field access_token"),
            ("namespace:", "namespce:", "", "did you mean `namespace`?"),
        ] {
            let problems = load(&WHOLE.replace(what, instead)).unwrap_err().to_string();
            assert!(problems.contains(want) && problems.contains(place), "{instead}: {problems}");
        }
    }
}
