//! Vault's calls as HTTP, and what its statuses mean
//! (developer.hashicorp.com/vault/api-docs, "HTTP Status Codes").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use super::Failed;
use crate::config::VaultSource;
use crate::dial::{Answer, Call, Caller, Dialer, Kept};
use crate::lease::secret_json::SecretJson;
use crate::model::{Secret, Url};

/// Connections that are kept for the next call.
const KEPT: usize = 4;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Agents and proxies between us and Vault answer nobody who does not say this, so that no page of
/// a browser can ask them.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// One Vault, as it is called.
pub(super) struct Wire {
    url: Url,
    /// What stands before `/v1`.
    prefix: String,
    namespace: Option<HeaderValue>,
    kept: Kept,
}

impl Wire {
    pub(super) fn new(config: &VaultSource, dialer: Arc<Dialer>, wait: Duration) -> Self {
        // Whether cleartext is right was settled when the configuration was read.
        let caller = Caller::for_operator(dialer).within(wait).in_cleartext_too();
        Self {
            prefix: config.url.target().path().trim_end_matches('/').to_owned(),
            url: config.url.clone(),
            namespace: config.namespace.as_deref().and_then(|name| HeaderValue::from_str(name).ok()),
            kept: Kept::new(caller, KEPT),
        }
    }

    /// Reads what is at a path. A dynamic secret is made by that, so that it is asked for once.
    pub(super) async fn read(&self, path: &str, token: &Secret) -> Result<Answer, Failed> {
        let call = Call::get(self.at(path)?).once();
        self.call(call.header(TOKEN, header(token)?)).await
    }

    /// Writes to a path: with nobody's token, where that is yet to be had.
    pub(super) async fn write(
        &self,
        path: &str,
        token: Option<&Secret>,
        said: &BTreeMap<&str, &str>,
    ) -> Result<Answer, Failed> {
        let body = serde_json::to_vec(said).map_err(|error| Failed::Unusable(error.to_string()))?;
        let mut call = Call::post(self.at(path)?, "application/json", Secret::new(body));
        if let Some(token) = token {
            call = call.header(TOKEN, header(token)?);
        }
        self.call(call).await
    }

    async fn call(&self, call: Call) -> Result<Answer, Failed> {
        let mut call = call.header(REQUEST, HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            call = call.header(NAMESPACE, namespace.clone());
        }
        self.kept.call(call).await.map_err(|error| Failed::Unavailable(error.with_causes()))
    }

    fn at(&self, path: &str) -> Result<Url, Failed> {
        let url = self.url.at(&format!("{}/v1/{path}", self.prefix));
        url.map_err(|error| Failed::Unusable(format!("{path} is no path of Vault: {error}")))
    }
}

fn header(token: &Secret) -> Result<HeaderValue, Failed> {
    let fits = token.expose().iter().all(u8::is_ascii_graphic);
    let value = fits.then(|| HeaderValue::from_bytes(token.expose()).ok()).flatten();
    let mut value = value.ok_or_else(|| Failed::Unusable("its token holds a byte that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads an answer that is expected to be one; `what` is what was done, for people.
pub(super) fn good(answer: &Answer, what: &str) -> Result<SecretJson, Failed> {
    if answer.status.is_success() {
        return SecretJson::parse(answer.body.expose()).map_err(|why| Failed::Unavailable(format!("{what}: {why}")));
    }
    Err(bad(answer.status, what))
}

/// What a status says that is none of success.
pub(super) fn bad(status: StatusCode, what: &str) -> Failed {
    let code = status.as_u16();
    match code {
        404 => Failed::Missing,
        300..=399 => Failed::Unavailable(format!(
            "{what}: Vault answered {code}; redirects are not followed, so write the address of the active node"
        )),
        412 => Failed::Unavailable(format!("{what}: this node of Vault does not know our token yet (412)")),
        429 => Failed::Unavailable(format!("{what}: Vault is asked too often, or this node is a standby (429)")),
        472 | 473 => Failed::Unavailable(format!("{what}: this node of Vault is a standby ({code})")),
        503 => Failed::Unavailable(format!("{what}: Vault is sealed, or down for maintenance (503)")),
        500..=599 => Failed::Unavailable(format!("{what}: Vault answered {code}")),
        403 => Failed::Unusable(format!("{what}: Vault denies it (403); its policy has to allow this to our token")),
        405 => Failed::Unusable(format!(
            "{what}: there is nothing to read (405); of a versioned engine the path has data/ behind its mount"
        )),
        _ => Failed::Unusable(format!("{what}: Vault answered {code}")),
    }
}
