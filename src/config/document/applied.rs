//! A provider's file of somebody's own (`provider apply`): as written -> checked by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::provider::{contract, each, field, needed, user, word};
use super::{interaction, open, rule};
use crate::config::yaml::{self, Fields, Findings, Node};
use crate::config::{FieldDoc, Located, OAuthDoc, Problems, Provider, ProviderFile};
use crate::model::{Bindings, ConnectionName, EndpointUrl, RefusedAs};

/// What only the catalogue has, since every sidecar must know it.
const CATALOGUES: [&str; 5] = ["key_headers", "variables", "placeholders", "mints", "sets"];

/// The one field that OAuth's strategies may ask for.
const ACCESS_TOKEN: &str = "access_token";

/// Reads providers' files, one provider each.
///
/// # Errors
/// Everything that is wrong with any of them, files that cannot be read and names given twice too.
pub fn load_providers(files: &[PathBuf]) -> Result<Vec<ProviderFile>, Problems> {
    let mut findings = Findings::default();
    let mut read: Vec<(Located<ConnectionName>, ProviderFile)> = Vec::with_capacity(files.len());
    for file in files {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                findings.without_place(format!("cannot read the provider's file {}: {error}", file.display()));
                continue;
            }
        };
        let Some((name, provider)) = parse(file, &text, &mut findings) else { continue };
        match read.iter().find(|(other, _)| other.value == name.value) {
            Some((other, _)) => findings.at(&name.at, format!("{} stands at {} already", name.value, other.at)),
            None => read.push((name, provider)),
        }
    }
    findings.or(Some(read.into_iter().map(|(_, provider)| provider).collect()))
}

impl ProviderFile {
    /// Reads the text of one file. `file` is what problems call it, and where relative paths start.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Problems> {
        let mut findings = Findings::default();
        let read = parse(file, text, &mut findings);
        findings.or(read.map(|(_, provider)| provider))
    }
}

fn parse(file: &Path, text: &str, findings: &mut Findings) -> Option<(Located<ConnectionName>, ProviderFile)> {
    let root = yaml::parse(&Arc::new(file.to_owned()), text, findings)?;
    let mut fields = Fields::open(&root, findings)?;
    open::version(&mut fields, findings);
    let described = fields.get("provider");
    fields.finish(&[], findings);
    let Some(described) = described else {
        findings.with(&root, "`provider` is missing");
        return None;
    };
    provider(described, findings)
}

fn provider(node: &Node, findings: &mut Findings) -> Option<(Located<ConnectionName>, ProviderFile)> {
    let mut fields = Fields::open(node, findings)?;
    let name = match fields.get("name") {
        Some(node) => rule::connection(node, findings),
        None => needed(&mut fields, "name", findings).and(None),
    };
    let title = fields.get("title").and_then(|node| word(node, findings));
    let about = fields.get("about").and_then(|node| word(node, findings));
    let description = fields.get("description").and_then(|node| word(node, findings));
    let category = fields.get("category").and_then(|node| word(node, findings));
    let api_base_url = fields.get("api_base_url").and_then(|node| interaction::url(node, findings));
    let owned = fields.get("owned").and_then(|node| node.flag(findings)).unwrap_or(false);
    let bindings = bindings(&mut fields, owned, findings);
    let given = fields.get("fields");
    let documented = each(given, findings, field);
    let asked = fields.get("user");
    let user = asked.and_then(|node| user(node, findings));
    let oauth = fields.get("oauth").map(|node| interaction::oauth(node, findings));
    fields.refuse(&CATALOGUES, findings);
    fields.finish(&CATALOGUES, findings);
    let (name, bindings) = (name?, bindings?);
    if let (Some(node), Some(user)) = (asked, &user) {
        goes_where_credentials_may(node, &user.url, &bindings, findings);
    }
    if let Some(oauth) = &oauth {
        asks_for_tokens_alone(node, given, &bindings, findings);
        // Half of an interaction contract is no contract, and would be taken for a static one.
        oauth.as_ref()?;
    }
    let oauth: Option<OAuthDoc> = oauth.flatten();
    let fields = if oauth.is_some() { vec![access_token()] } else { documented };
    let title = title.unwrap_or_else(|| name.value.to_string());
    let provider = Provider { user, fields, ..named(name.value.clone(), title, about, bindings, owned) };
    let file = ProviderFile { at: node.at.clone(), provider, description, category, api_base_url, oauth };
    Some((name, file))
}

fn bindings(fields: &mut Fields<'_>, owned: bool, findings: &mut Findings) -> Option<Bindings> {
    match fields.get("contract") {
        Some(node) => contract(node, owned, findings),
        None => {
            let node = fields.node();
            findings.with(node, "`contract` is missing: to which hosts do the credentials go, and how?");
            None
        }
    }
}

/// A provider without what is the catalogue's alone.
fn named(
    connection: ConnectionName,
    title: String,
    about: Option<String>,
    bindings: Bindings,
    owned: bool,
) -> Provider {
    Provider {
        connection,
        title,
        about: about.unwrap_or_default(),
        bindings,
        owned,
        fields: Vec::new(),
        key_headers: Vec::new(),
        variables: Vec::new(),
        placeholders: Vec::new(),
        user: None,
        refused: RefusedAs::default(),
        mints: Vec::new(),
        sets: Vec::new(),
        tests: Vec::new(),
    }
}

fn access_token() -> FieldDoc {
    let about = "an access token of this client, as its token endpoint answered it".to_owned();
    FieldDoc { name: ACCESS_TOKEN.to_owned(), optional: false, about }
}

/// The call that tells whose credentials they are carries them.
fn goes_where_credentials_may(node: &Node, url: &str, bindings: &Bindings, findings: &mut Findings) {
    match EndpointUrl::parse(url) {
        Ok(url) if bindings.strategy_for(url.host()).is_some() => {}
        Ok(url) => findings.with(node, format!("{} is no host of `contract`: credentials do not go there", url.host())),
        Err(error) => findings.with(node, format!("the URL of `request`: {error}")),
    }
}

fn asks_for_tokens_alone(node: &Node, given: Option<&Node>, bindings: &Bindings, findings: &mut Findings) {
    if let Some(given) = given {
        findings.with(given, "`oauth` says itself what a connection holds: leave `fields` out");
    }
    let other = bindings.iter().find_map(|line| {
        let field = line.strategy.required_fields().into_iter().find(|field| *field != ACCESS_TOKEN)?;
        Some((line.strategy.kind(), field.to_owned()))
    });
    if let Some((strategy, field)) = other {
        let advice = "use `strategy: oauth2`, or `credential_field: access_token`";
        findings.with(node, format!("the strategy {strategy} needs {field}, which no consent answers: {advice}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RevocationDoc, SecretSource};
    use crate::model::ClientAuth;

    const ACME: &str = "version: 1
provider:
  name: acme
  title: Acme
  category: tickets
  contract:
    - { hosts: [api.acme.example], strategy: oauth2 }
  oauth:
    auth_url: https://acme.example/authorize
    token_url: https://acme.example/token
    client_id: nexus
    client_secret: { env: ACME_SECRET }
    client_auth: post
    scopes: [read, write]
    revocation: https://acme.example/revoke
    parameters: { prompt: consent }
  user:
    request: GET https://api.acme.example/me
    name: [/login]
";

    fn problems(text: &str) -> String {
        ProviderFile::parse(Path::new("p.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_interaction_contract_is_read() {
        let file = ProviderFile::parse(Path::new("p.yaml"), ACME).unwrap();
        let oauth = file.oauth.unwrap();
        assert_eq!(oauth.client_auth, ClientAuth::Post);
        assert_eq!(oauth.client_secret, Some(SecretSource::Env("ACME_SECRET".into())));
        assert_eq!(oauth.scopes, ["read", "write"]);
        assert!(matches!(oauth.revocation, Some(RevocationDoc::Endpoint(url)) if url.as_str().ends_with("/revoke")));
        assert_eq!(oauth.parameters["prompt"], "consent");
        assert_eq!(file.provider.fields[0].name, "access_token");
        assert_eq!((file.category.as_deref(), file.at.line), (Some("tickets"), 3));
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        for (from, to, want) in [
            ("{ env: ACME_SECRET }", "hunter2", "p.yaml:12:20: a secret is never written here"),
            ("{ env: ACME_SECRET }", "{ value: hunter2 }", "12:20: a secret is never written here"),
            ("    client_secret: { env: ACME_SECRET }\n", "", "`client_secret` is missing"),
            ("client_auth: post", "client_auth: none", "a client without a secret"),
            ("client_auth: post", "client_auth: Post", "did you mean post?"),
            ("https://acme.example/token", "http://acme.example/token", "10:16: it must be https"),
            ("[read, write]", "[read write]", "this is no scope"),
            ("{ prompt: consent }", "{ state: x }", "said by the handshake itself"),
            ("strategy: oauth2", "strategy: header", "the strategy header needs api_key"),
            ("GET https://api.acme", "GET https://evil", "evil.example is no host of `contract`"),
            ("  category: tickets", "  sets: {}", "`sets` is not available yet"),
            ("  category: tickets", "  fields: []", "leave `fields` out"),
            ("  category: tickets", "  categorie: tickets", "did you mean `category`?"),
            ("name: acme", "name: Acme", "is not a name"),
            ("  name: acme\n", "", "`name` is missing"),
            ("api.acme.example]", "\"*.acme.example\"]", "sends a reusable secret"),
        ] {
            assert!(ACME.contains(from), "{from}");
            let said = problems(&ACME.replacen(from, to, 1));
            assert!(said.contains(want), "{to}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        assert!(problems("version: 1\n").contains("`provider` is missing"));
        assert!(problems("version: 1\nprovider: { name: a }\n").contains("`contract` is missing"));
    }

    #[test]
    fn a_call_of_its_own_takes_tokens_back() {
        let call = "{ method: DELETE, url: \"https://api.acme.example/apps/{client_id}/token\", token: { json: access_token } }";
        let text = ACME.replace("https://acme.example/revoke", call);
        let file = ProviderFile::parse(Path::new("p.yaml"), &text).unwrap();
        let Some(RevocationDoc::Declared(call)) = file.oauth.unwrap().revocation else { panic!("it is a call") };
        assert_eq!((&call["method"], &call["token"]["json"]), (&"DELETE".into(), &"access_token".into()));
        assert!(problems(&ACME.replace("https://acme.example/revoke", "[]")).contains("RFC 7009, or a call"));
    }

    #[test]
    fn files_are_read_as_a_set() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (one, two) = (write("one.yaml", ACME), write("two.yaml", &ACME.replace("name: acme", "name: other")));
        assert_eq!(load_providers(&[one.clone(), two.clone()]).unwrap().len(), 2);
        let said = load_providers(&[one.clone(), write("three.yaml", ACME), folder.path().join("none")]).unwrap_err();
        let said = said.to_string();
        assert!(said.contains("acme stands at") && said.contains("cannot read the provider's file"), "{said}");
    }
}
