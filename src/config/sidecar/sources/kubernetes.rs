//! Kubernetes: Secrets and tokens, from the API server, or as a kubelet mounts them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::super::reader::Reader;
use super::authority::address;
use super::vault::{POD_TOKEN, renamed};
use crate::config::yaml::{Fields, Node};
use crate::model::Url;

/// Where a pod finds whom to trust.
const POD_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// The shortest life of a token that the API server makes.
const SHORTEST: Duration = Duration::from_secs(600);

/// `kubernetes:` of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSource {
    /// The API server; none outside a pod where nobody says its `url`.
    pub api: Option<KubernetesApi>,
    /// Where names are, unless a connection says another: the pod's own, where neither does.
    pub namespace: Option<String>,
}

/// An API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesApi {
    /// Where it is.
    pub url: Url,
    /// The certificates that its own must lead to, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The token that it knows us by.
    pub token_file: PathBuf,
}

/// A connection there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubernetesConnection {
    /// A Secret, from the API server.
    Secret {
        /// Its namespace.
        namespace: Option<String>,
        /// Its name.
        name: String,
        /// By the strategy's name of a field, its key there.
        fields: Option<BTreeMap<String, String>>,
    },
    /// A token of a service account, made for us: the field `access_token`.
    Token {
        /// Its namespace.
        namespace: Option<String>,
        /// Whose.
        service_account: String,
        /// Whom it is for.
        audiences: Vec<String>,
        /// How long it is to live.
        expires_in: Duration,
    },
    /// A projected token: the field `access_token`.
    TokenFile(PathBuf),
}

impl KubernetesConnection {
    /// Whether the API server has to be asked.
    pub fn asks(&self) -> bool {
        matches!(self, Self::Secret { .. } | Self::Token { .. })
    }

    /// The fields that it gives, as far as is known before it is asked.
    pub(super) fn gives(&self) -> Option<Vec<String>> {
        match self {
            Self::Secret { fields, .. } => fields.as_ref().map(|fields| fields.keys().cloned().collect()),
            Self::Token { .. } | Self::TokenFile(_) => Some(vec!["access_token".to_owned()]),
        }
    }
}

pub(super) fn source(node: &Node, reader: &mut Reader<'_>) -> Option<KubernetesSource> {
    let mut fields = Fields::open(node, reader.findings)?;
    let cleartext = fields.get("cleartext").and_then(|node| node.flag(reader.findings)).unwrap_or(false);
    let url = fields.get("url");
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node));
    let token_file = fields.get("token_file").and_then(|node| reader.path(node));
    let namespace = fields.get("namespace").and_then(|node| name(node, reader));
    fields.finish(&[], reader.findings);
    let token_file = token_file.unwrap_or_else(|| PathBuf::from(POD_TOKEN));
    let api =
        match url {
            Some(node) => Some(KubernetesApi { url: address(node, cleartext, reader)?, ca_file, token_file }),
            None => reader.environment().kubernetes_url().and_then(|url| Url::parse(&url).ok()).map(|url| {
                KubernetesApi { url, ca_file: Some(ca_file.unwrap_or_else(|| PathBuf::from(POD_CA))), token_file }
            }),
        };
    Some(KubernetesSource { api, namespace })
}

pub(super) fn connection(
    source: &KubernetesSource,
    fields: &mut Fields<'_>,
    reader: &mut Reader<'_>,
) -> Option<KubernetesConnection> {
    let said = ["secret", "service_account", "token_file"];
    let said: Vec<_> = said.into_iter().filter_map(|key| Some((key, fields.get(key)?))).collect();
    let [(key, node)] = said[..] else {
        let why = "one of `secret`, `service_account` and `token_file` says what it is there";
        reader.findings.with(fields.node(), why);
        return None;
    };
    let there = match key {
        "secret" => {
            let (namespace, name) = (namespace(fields, reader), name(node, reader));
            let keys = fields.get("fields").map(|node| renamed(node, reader));
            name.map(|name| KubernetesConnection::Secret { namespace, name, fields: keys })
        }
        "service_account" => token(node, fields, reader),
        _ => reader.path(node).map(KubernetesConnection::TokenFile),
    };
    if source.api.is_none() && matches!(key, "secret" | "service_account") {
        let why = "no API server is known: outside a pod (KUBERNETES_SERVICE_HOST) the source has to say its `url`";
        reader.findings.with(node, why);
        return None;
    }
    there
}

fn token(node: &Node, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<KubernetesConnection> {
    let namespace = namespace(fields, reader);
    let service_account = name(node, reader);
    let said = fields.get("audiences");
    let audiences = said.map(|node| node.one_or_list(reader.findings)).unwrap_or_default();
    let audiences = audiences.iter().filter_map(|node| node.text(reader.findings).map(str::to_owned)).collect();
    if said.is_none() {
        reader.missing::<()>(fields.node(), "audiences");
    }
    let mut expires_in = Duration::from_secs(3600);
    let said = fields.get("expires_in");
    reader.time(said, &mut expires_in);
    if let Some(node) = said.filter(|_| expires_in < SHORTEST) {
        reader.findings.with(node, "an API server makes no token for less than 10m");
    }
    Some(KubernetesConnection::Token { namespace, service_account: service_account?, audiences, expires_in })
}

fn namespace(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<String> {
    fields.get("namespace").and_then(|node| name(node, reader))
}

/// A name as Kubernetes has them (RFC 1123), so that it stands in a path as it is.
fn name(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader.findings)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    if text.len() > 253 || !text.bytes().all(plain) || !ends(text.bytes().next()) || !ends(text.bytes().last()) {
        reader.findings.with(node, "this is no name of Kubernetes: lower-case letters, digits, `-` and `.`");
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConnectionAt, Environment, Problems, SourceKind};
    use crate::model::ConnectionName;

    const POD: &[(&str, &str)] = &[("KUBERNETES_SERVICE_HOST", "fd00::1"), ("KUBERNETES_SERVICE_PORT", "6443")];

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nexus-sidecar.yaml");
        std::fs::write(&file, text).unwrap();
        Config::load(&file, &Environment::of([("HOME", "/home/u")].iter().chain(variables).copied()))
    }

    const WHOLE: &str = "version: 1
sources: { k: { kubernetes: { namespace: apps } } }
connections:
  a: { source: k, hosts: [a.test], strategy: oauth2, secret: jira, fields: { access_token: token } }
  b: { source: k, hosts: [a.test], strategy: oauth2, service_account: bot, audiences: [api], expires_in: 20m }
  d: { source: k, hosts: [a.test], strategy: oauth2, token_file: /run/token }
";

    #[test]
    fn a_pod_knows_its_api_server() {
        let config = load(WHOLE, POD).unwrap();
        let SourceKind::Kubernetes(kubernetes) = &config.sources[0].kind else { panic!() };
        let api = kubernetes.api.as_ref().unwrap();
        assert_eq!(api.url.destination().to_string(), "https://[fd00::1]:6443");
        assert_eq!((api.ca_file.as_deref(), &api.token_file), (Some(POD_CA.as_ref()), &PathBuf::from(POD_TOKEN)));
        let of = |name: &str| match &config.connections[&ConnectionName::parse(name).unwrap()].at {
            ConnectionAt::Kubernetes(_, there) => there.clone(),
            other => panic!("{other:?}"),
        };
        assert!(matches!(of("a"), KubernetesConnection::Secret { namespace: None, name, .. } if name == "jira"));
        assert!(matches!(of("b"), KubernetesConnection::Token { expires_in, .. } if expires_in.as_secs() == 1200));
        assert!(of("a").asks() && of("b").asks() && !of("d").asks());
        assert_eq!(of("d"), KubernetesConnection::TokenFile("/run/token".into()));
    }

    #[test]
    fn elsewhere_it_is_said() {
        let said = WHOLE.replace("{ namespace: apps }", "{ url: https://k.test:6443/, token_file: /t }");
        let SourceKind::Kubernetes(kubernetes) = load(&said, POD).unwrap().sources.remove(0).kind else { panic!() };
        let api = kubernetes.api.unwrap();
        assert_eq!((api.url.destination().to_string().as_str(), api.ca_file), ("https://k.test:6443", None));
        let problems = load(WHOLE, &[]).unwrap_err().to_string();
        assert!(problems.contains(":4:62:") && problems.contains("no API server is known"), "{problems}");
        let files: String = WHOLE
            .lines()
            .filter(|line| !line.contains("  a:") && !line.contains("  b:"))
            .map(|line| format!("{line}\n"))
            .collect();
        load(&files, &[]).unwrap();
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (what, instead, place, want) in [
            ("namespace: apps", "namespace: Apps", ":2:42:", "no name of Kubernetes"),
            ("namespace: apps", "url: http://k.test", ":2:36:", "over http"),
            ("secret: jira", "secret: a/b", ":4:62:", "no name of Kubernetes"),
            ("secret: jira", "secret: jira, token_file: /x", ":4:6:", "says what it is there"),
            ("secret: jira, ", "", ":4:6:", "says what it is there"),
            ("{ access_token: token }", "{ token: token }", ":4:6:", "needs the field access_token"),
            ("audiences: [api], ", "", ":5:6:", "`audiences` is missing"),
            ("20m", "5m", ":5:", "no token for less than 10m"),
            ("token_file: /run/token", "token_file: /t, audiences: [x]", ":6:", "unknown key `audiences`"),
        ] {
            let problems = load(&WHOLE.replacen(what, instead, 1), POD).unwrap_err().to_string();
            assert!(problems.contains(want) && problems.contains(place), "{instead}: {problems}");
        }
    }
}
