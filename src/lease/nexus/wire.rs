//! The Authority's calls as HTTP: what is sent, and what may come back.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use super::answer;
use super::waits::SILENCE;
use crate::config::RemoteConfig;
use crate::dial::{Answer, Call, Caller, Dialer, Kept, Streamed};
use crate::lease::Ask;
use crate::lease::key::Key;
use crate::model::{Secret, Url};

/// Connections that are kept for the next lease.
const KEPT: usize = 4;

/// The longest policy, escaped as JSON.
const LONGEST_POLICY: usize = 4 << 20;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// One Authority, as it is called.
pub(super) struct Wire {
    url: Url,
    /// What stands before `/api`.
    prefix: String,
    /// None where a certificate says who this is.
    key: Option<Key>,
    caller: Caller,
    kept: Kept,
}

impl Wire {
    pub(super) fn new(config: &RemoteConfig, dialer: Arc<Dialer>, wait: Duration) -> Self {
        let caller = Caller::for_operator(dialer).within(wait);
        // Whether cleartext is right was settled when the configuration was read.
        let caller = caller.in_cleartext_too();
        Self {
            prefix: config.url.target().path().trim_end_matches('/').to_owned(),
            url: config.url.clone(),
            key: config.auth.key_file.clone().map(Key::bearer),
            kept: Kept::new(caller.clone(), KEPT),
            caller,
        }
    }

    /// Asks for a lease. Asked twice, it is recorded twice there, and harms nothing.
    pub(super) async fn lease(&self, ask: &Ask) -> Result<Answer, String> {
        let mut body =
            json!({ "agent": *ask.agent, "connection": ask.connection.as_str(), "host": ask.host.to_string() });
        if let Some(held) = ask.held.as_ref().filter(|held| !held.refused) {
            body["held"] = json!({ "id": *held.id, "version": held.version });
        }
        let call = Call::post(self.at("leases")?, "application/json", Secret::new(body.to_string()));
        let call = self.signed(call)?.header(ACCEPT, JSON).repeatable();
        self.kept.call(call).await.map_err(|error| error.with_causes())
    }

    /// Asks for others in place of those that are lent. Asked twice within a minute, it is done once.
    pub(super) async fn refresh(&self, id: &str) -> Result<Answer, String> {
        let url = self.at(&format!("connections/{id}/refresh"))?;
        let call = Call::post(url, "application/json", Secret::new("{}"));
        let call = self.signed(call)?.header(ACCEPT, JSON).repeatable();
        self.kept.call(call).await.map_err(|error| error.with_causes())
    }

    /// Asks what is known of a connection.
    pub(super) async fn connection(&self, id: &str) -> Result<Answer, String> {
        let call = self.signed(Call::get(self.at(&format!("connections/{id}"))?))?.header(ACCEPT, JSON);
        self.kept.call(call).await.map_err(|error| error.with_causes())
    }

    /// Asks for the policy, on a connection of its own.
    pub(super) async fn policy(&self) -> Result<Answer, String> {
        let call = self.signed(Call::get(self.at("policy")?))?.header(ACCEPT, JSON);
        let caller = self.caller.clone().reading_up_to(LONGEST_POLICY);
        caller.call(call).await.map_err(|error| error.with_causes())
    }

    /// Opens the stream of events behind the last one.
    pub(super) async fn events(&self, last: Option<u64>) -> Result<Streamed, String> {
        let mut call = self.signed(Call::get(self.at("events")?))?.header(ACCEPT, EVENTS);
        if let Some(last) = last {
            call = call.header(LAST_EVENT_ID, HeaderValue::from(last));
        }
        // Whoever reads it minds the silence by the sidecar's clock.
        let streamed = self.caller.clone().stream(call, 2 * SILENCE).await.map_err(|error| error.with_causes())?;
        if streamed.status != StatusCode::OK {
            return Err(answer::unexpected(streamed.status, None));
        }
        let kind = streamed.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream") {
            return Err("its answer is no stream of events; look at the source's url".to_owned());
        }
        Ok(streamed)
    }

    fn signed(&self, call: Call) -> Result<Call, String> {
        match &self.key {
            Some(key) => key.sign(call),
            None => Ok(call),
        }
    }

    fn at(&self, path: &str) -> Result<Url, String> {
        self.url.at(&format!("{}/api/v2/{path}", self.prefix)).map_err(|error| error.to_string())
    }
}
