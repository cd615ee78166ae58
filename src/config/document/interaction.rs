//! The interaction contract of a provider's file: as written -> checked by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::provider::{each, json, needed};
use crate::config::yaml::{Content, Fields, Findings, Node, did_you_mean};
use crate::config::{OAuthDoc, RevocationDoc, SecretSource};
use crate::model::{ClientAuth, EndpointUrl};

/// What the authorization URL says by the protocol alone (RFC 6749, RFC 7636, OpenID Connect).
const OUR_PARAMETERS: [&str; 9] = [
    "response_type",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
];

/// Reads `oauth:`.
pub(super) fn oauth(node: &Node, findings: &mut Findings) -> Option<OAuthDoc> {
    let mut fields = Fields::open(node, findings)?;
    let auth_url = needed_url(&mut fields, "auth_url", findings);
    let token_url = needed_url(&mut fields, "token_url", findings);
    let client_id = needed(&mut fields, "client_id", findings);
    let secret = fields.get("client_secret");
    let client_secret = secret.and_then(|node| secret_source(node, findings));
    let client_auth = fields.get("client_auth").map(|node| client_auth(node, findings));
    let scopes = each(fields.get("scopes"), findings, scope);
    let revocation = fields.get("revocation").and_then(|node| revocation(node, findings));
    let issuer = fields.get("issuer").and_then(|node| url(node, findings));
    let skip_scope_on_auth = fields.get("skip_scope_on_auth").and_then(|node| node.flag(findings)).unwrap_or(false);
    let skip_scope_on_exchange =
        fields.get("skip_scope_on_exchange").and_then(|node| node.flag(findings)).unwrap_or(false);
    let parameters = fields.get("parameters").map(|node| parameters(node, findings)).unwrap_or_default();
    fields.finish(&[], findings);
    let client_auth = client_auth.unwrap_or(Some(ClientAuth::Basic))?;
    match (client_auth, secret) {
        (ClientAuth::None, Some(secret)) => {
            findings.with(secret, "`client_auth: none` is a client without a secret: leave one of the two out");
        }
        (ClientAuth::Basic | ClientAuth::Post, None) => findings.with(
            node,
            "`client_secret` is missing: `client_secret: { env: VARIABLE }` or `{ file: PATH }`; a public client says `client_auth: none`",
        ),
        _ => {}
    }
    Some(OAuthDoc {
        auth_url: auth_url?,
        token_url: token_url?,
        client_id: client_id?,
        client_secret,
        client_auth,
        scopes,
        revocation,
        issuer,
        skip_scope_on_auth,
        skip_scope_on_exchange,
        parameters,
    })
}

fn needed_url(fields: &mut Fields<'_>, key: &'static str, findings: &mut Findings) -> Option<EndpointUrl> {
    match fields.get(key) {
        Some(node) => url(node, findings),
        None => {
            findings.with(fields.node(), format!("`{key}` is missing"));
            None
        }
    }
}

/// A URL of the provider's.
pub(super) fn url(node: &Node, findings: &mut Findings) -> Option<EndpointUrl> {
    let text = node.text(findings)?;
    EndpointUrl::parse(text).map_err(|error| findings.with(node, error.to_string())).ok()
}

/// A scope's characters are those of RFC 6749, section 3.3.
fn scope(node: &Node, findings: &mut Findings) -> Option<String> {
    let text = node.text(findings)?;
    if text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Some(text.to_owned());
    }
    findings.with(node, "this is no scope: one a line, without blanks and quotes (RFC 6749, section 3.3)");
    None
}

/// What is written here could be the secret itself, so that no problem quotes it.
fn secret_source(node: &Node, findings: &mut Findings) -> Option<SecretSource> {
    const ADVICE: &str = "a secret is never written here: say where it is, `{ env: VARIABLE }` or `{ file: PATH }`";
    let Content::Map(entries) = &node.content else {
        findings.with(node, ADVICE);
        return None;
    };
    match &entries[..] {
        [entry] if entry.key == "file" => Some(SecretSource::File(PathBuf::from(entry.node.text(findings)?))),
        [entry] if entry.key == "env" => Some(SecretSource::Env(entry.node.text(findings)?.to_owned())),
        _ => {
            findings.with(node, ADVICE);
            None
        }
    }
}

fn client_auth(node: &Node, findings: &mut Findings) -> Option<ClientAuth> {
    let text = node.text(findings)?;
    let read = ClientAuth::parse(text);
    if read.is_none() {
        let meant = did_you_mean(text, ["basic", "post", "none"]);
        let meant = meant.map(|word| format!(": did you mean {word}?")).unwrap_or_default();
        findings.with(node, format!("`client_auth` is basic, post or none, not {text:?}{meant}"));
    }
    read
}

/// `revocation: URL` (RFC 7009), or a call of the provider's own.
fn revocation(node: &Node, findings: &mut Findings) -> Option<RevocationDoc> {
    match &node.content {
        Content::Map(_) => Some(RevocationDoc::Declared(json(node))),
        Content::Text(_) => url(node, findings).map(RevocationDoc::Endpoint),
        _ => {
            findings
                .with(node, "this is the URL of an endpoint of RFC 7009, or a call: `{ method, url, auth, token }`");
            None
        }
    }
}

fn parameters(node: &Node, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for entry in node.entries(findings) {
        let Some(value) = entry.node.text(findings) else { continue };
        if OUR_PARAMETERS.contains(&entry.key.as_str()) {
            entry.problem(format!("`{}` is said by the handshake itself", entry.key), findings);
            continue;
        }
        parameters.insert(entry.key.clone(), value.to_owned());
    }
    parameters
}
