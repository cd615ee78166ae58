//! The API server's calls (kubernetes.io/docs/reference/using-api/api-concepts,
//! kubernetes-api/config-and-storage-resources/secret-v1, authentication-resources/token-request-v1).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, StatusCode};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::Failed;
use crate::config::{KubernetesApi, mounted_line};
use crate::dial::{Answer, Call, Caller, Dialer, Kept, Streamed};
use crate::lease::Fetched;
use crate::lease::secret_json::SecretJson;
use crate::model::{Fields, Secret, Url};

/// Connections that are kept for the next call.
const KEPT: usize = 2;
/// A Secret is a MiB at most; in base64, with its annotations.
const LONGEST: usize = 4 << 20;
/// The API server ends a watch after this long, and we begin another.
const WATCH: Duration = Duration::from_secs(300);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What is watched is without the content of Secrets.
const METADATA: HeaderValue = HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
const METADATA_LIST: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");

/// An API server, as it is called.
pub struct KubernetesServer {
    url: Url,
    /// What stands before `/api`.
    prefix: String,
    token_file: PathBuf,
    caller: Caller,
    kept: Kept,
}

impl KubernetesServer {
    /// One over its dialer; `wait` bounds each call. Nothing is asked yet.
    pub fn new(config: &KubernetesApi, dialer: Arc<Dialer>, wait: Duration) -> Self {
        // Whether cleartext is right was settled when the configuration was read.
        let caller = Caller::for_operator(dialer).within(wait).reading_up_to(LONGEST).in_cleartext_too();
        Self {
            prefix: config.url.target().path().trim_end_matches('/').to_owned(),
            url: config.url.clone(),
            token_file: config.token_file.clone(),
            kept: Kept::new(caller.clone(), KEPT),
            caller,
        }
    }

    /// What is in a Secret, by the names that strategies say.
    pub(super) async fn secret(
        &self,
        namespace: &str,
        name: &str,
        keys: Option<&BTreeMap<String, String>>,
    ) -> Result<Fields, Failed> {
        let call = Call::get(self.at(&format!("namespaces/{namespace}/secrets/{name}"))?).header(ACCEPT, JSON);
        let answer = self.called(call).await?;
        let what = format!("cannot read the Secret {namespace}/{name}");
        let secret = self.good(&answer, &what, "`get` on secrets")?;
        let none = BTreeMap::new();
        let data = secret.at(&["data"]).and_then(SecretJson::members).unwrap_or(&none);
        let mut fields = Fields::new();
        let mut give = |name: &str, key: &str| -> Result<(), Failed> {
            let Some(SecretJson::Text(value)) = data.get(key) else { return Ok(()) };
            let value = STANDARD.decode(value.expose()).map(Secret::new);
            let value = value.map_err(|_| Failed::Unavailable(format!("{what}: its answer is not in base64")))?;
            // `echo` leaves a line end, which is no part of a token.
            fields.insert(name, value.line().unwrap_or(value));
            Ok(())
        };
        match keys {
            Some(keys) => keys.iter().try_for_each(|(name, key)| give(name, key))?,
            None => data.keys().try_for_each(|key| give(key, key))?,
        }
        Ok(fields)
    }

    /// A token that the API server makes for these audiences.
    pub(super) async fn token(
        &self,
        namespace: &str,
        account: &str,
        audiences: &[String],
        life: Duration,
    ) -> Result<Fetched, Failed> {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "audiences": audiences, "expirationSeconds": life.as_secs() },
        });
        let url = self.at(&format!("namespaces/{namespace}/serviceaccounts/{account}/token"))?;
        let call = Call::post(url, "application/json", Secret::new(body.to_string())).header(ACCEPT, JSON);
        let answer = self.called(call).await?;
        let what = format!("cannot make a token of the service account {namespace}/{account}");
        let made = self.good(&answer, &what, "`create` on serviceaccounts/token")?;
        let unreadable = |of: &str| Failed::Unavailable(format!("{what}: its answer has no {of}"));
        let token = made.secret(&["status", "token"]).ok_or_else(|| unreadable("token"))?.duplicate();
        let end = made.text(&["status", "expirationTimestamp"]);
        let end = end.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()).ok_or_else(|| unreadable("end"))?;
        let mut fields = Fields::new();
        fields.insert("access_token", token);
        Ok(Fetched { fields, expires_at: Some(SystemTime::from(end)), refreshable: true })
    }

    /// The moment from which changes of a Secret are to be watched.
    pub(super) async fn list(&self, namespace: &str, name: &str) -> Result<String, Failed> {
        let url = self.at(&format!("namespaces/{namespace}/secrets?fieldSelector=metadata.name%3D{name}"))?;
        let answer = self.called(Call::get(url).header(ACCEPT, METADATA_LIST)).await?;
        let what = format!("cannot list the Secret {namespace}/{name}");
        let listed = self.good(&answer, &what, "`list` and `watch` on secrets")?;
        let version = listed.text(&["metadata", "resourceVersion"]).filter(|version| is_version(version));
        version.map(str::to_owned).ok_or_else(|| Failed::Unavailable(format!("{what}: its answer has no version")))
    }

    /// Opens the stream of changes of a Secret; `None` where that moment is too long ago.
    pub(super) async fn changes(&self, namespace: &str, name: &str, from: &str) -> Result<Option<Streamed>, Failed> {
        let seconds = WATCH.as_secs();
        let url = self.at(&format!(
            "namespaces/{namespace}/secrets?watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}\
             &fieldSelector=metadata.name%3D{name}&resourceVersion={from}"
        ))?;
        let call = self.signed(Call::get(url).header(ACCEPT, METADATA))?;
        let streamed = self.caller.stream(call, WATCH + Duration::from_secs(30)).await;
        let streamed = streamed.map_err(|error| Failed::Unavailable(error.with_causes()))?;
        match streamed.status {
            StatusCode::OK => Ok(Some(streamed)),
            StatusCode::GONE => Ok(None),
            status => {
                let what = format!("cannot watch the Secret {namespace}/{name}");
                Err(self.bad(status, false, &what, "`list` and `watch` on secrets"))
            }
        }
    }

    async fn called(&self, call: Call) -> Result<Answer, Failed> {
        self.kept.call(self.signed(call)?).await.map_err(|error| Failed::Unavailable(error.with_causes()))
    }

    /// The token is read for each call: a kubelet exchanges it ahead of its end.
    fn signed(&self, call: Call) -> Result<Call, Failed> {
        let unusable = |why: String| Failed::Unusable(format!("cannot use {}: {why}", self.token_file.display()));
        let token = mounted_line(&self.token_file).map_err(|error| unusable(error.to_string()))?;
        let fits = token.expose().iter().all(u8::is_ascii_graphic);
        let text = Zeroizing::new([b"Bearer ", token.expose()].concat());
        let value = fits.then(|| HeaderValue::from_bytes(&text)).and_then(Result::ok);
        let mut value = value.ok_or_else(|| unusable("it holds a byte that no token has".to_owned()))?;
        value.set_sensitive(true);
        Ok(call.header(AUTHORIZATION, value))
    }

    fn good(&self, answer: &Answer, what: &str, needed: &str) -> Result<SecretJson, Failed> {
        let read = SecretJson::parse(answer.body.expose());
        if answer.status.is_success() {
            return read.map_err(|why| Failed::Unavailable(format!("{what}: {why}")));
        }
        // Something between us answers 404 too, and does not say so in this shape.
        let is_status = read.is_ok_and(|read| read.text(&["kind"]) == Some("Status"));
        Err(self.bad(answer.status, is_status, what, needed))
    }

    fn bad(&self, status: StatusCode, is_status: bool, what: &str, needed: &str) -> Failed {
        match status.as_u16() {
            404 if is_status => Failed::Missing,
            401 => Failed::Unusable(format!(
                "{what}: the API server does not accept the token in {} (401)",
                self.token_file.display()
            )),
            403 => Failed::Unusable(format!("{what}: a Role has to allow our service account {needed} (403)")),
            code @ (400 | 405 | 409 | 422) => Failed::Unusable(format!("{what}: the API server answered {code}")),
            code => Failed::Unavailable(format!("{what}: the API server answered {code}")),
        }
    }

    fn at(&self, path: &str) -> Result<Url, Failed> {
        let url = self.url.at(&format!("{}/api/v1/{path}", self.prefix));
        url.map_err(|error| Failed::Unusable(format!("{path} is no path of an API server: {error}")))
    }
}

/// A version is opaque, and goes back into an address as it is.
pub(super) fn is_version(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
