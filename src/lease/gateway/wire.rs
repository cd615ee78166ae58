//! The calls as HTTP: what is sent, and what may come back.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_LENGTH};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::answer;
use crate::config::{Dialect, GatewayConfig};
use crate::dial::{Answer, Call, CallError, Caller, Dialer, Kept};
use crate::lease::key::Key;
use crate::model::Url;

/// Connections that are kept for the next question.
const KEPT: usize = 4;

/// The reference waits for an issuer for 30 s before it gives up.
const REFRESH: Duration = Duration::from_secs(35);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// One Gateway or Broker, as it is called.
pub struct GatewayWire {
    dialect: Dialect,
    url: Url,
    /// What stands before `/v1` or `/connections`.
    prefix: String,
    key: Option<Key>,
    kept: Kept,
    refreshing: Caller,
    patience: Duration,
}

/// What one says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayHealth {
    /// It is there. Of what stands behind it, it says nothing.
    Healthy,
    /// It, or what stands before it, does not take what this sidecar shows.
    Refused(String),
    /// Something else answers, or nothing does.
    Not(String),
}

/// Why a call was not answered.
pub(super) enum Unanswered {
    /// Worth another try.
    Unavailable(String),
    /// It was answered with more than an answer can be.
    TooLong(String),
}

impl GatewayWire {
    /// The way there; `wait` bounds each question. Nothing is asked yet.
    pub fn new(config: &GatewayConfig, dialer: Arc<Dialer>, wait: Duration) -> Self {
        // Whether cleartext is right was settled when the configuration was read.
        let caller = Caller::for_operator(dialer).within(wait).in_cleartext_too();
        let key = config.auth.key_file.clone().map(|file| match config.dialect {
            Dialect::Broker => Key::plain(API_KEY, file),
            Dialect::Gateway | Dialect::Nexus => Key::bearer(file),
        });
        Self {
            dialect: config.dialect,
            prefix: config.url.target().path().trim_end_matches('/').to_owned(),
            url: config.url.clone(),
            key,
            kept: Kept::new(caller.clone(), KEPT),
            refreshing: caller.within(REFRESH),
            patience: wait.mul_f64(0.6),
        }
    }

    /// For how long a question waits for a refresh.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Asks for the credentials of a connection.
    pub(super) async fn token(&self, id: &str) -> Result<Answer, Unanswered> {
        let path = match self.dialect {
            Dialect::Broker => format!("/connections/{id}/token"),
            Dialect::Gateway | Dialect::Nexus => format!("/v1/token/{id}"),
        };
        let call = self.call(Method::GET, &path).map_err(Unanswered::Unavailable)?;
        self.kept.call(call).await.map_err(|error| unanswered(&error))
    }

    /// Has them renewed, on a connection of its own: one that died would leave open whether it was
    /// heard, and it is never sent twice.
    pub(super) async fn refresh(&self, id: &str) -> Result<Answer, String> {
        let path = match self.dialect {
            Dialect::Broker => format!("/connections/{id}/refresh"),
            Dialect::Gateway | Dialect::Nexus => format!("/v1/refresh/{id}"),
        };
        // Some proxies ask for the length of a body that is not there.
        let call = self.call(Method::POST, &path)?.header(CONTENT_LENGTH, HeaderValue::from(0));
        self.refreshing.call(call).await.map_err(|error| error.with_causes())
    }

    /// Asks how it is: the one question that leaves no trace there.
    pub async fn health(&self) -> GatewayHealth {
        let answer = match self.call(Method::GET, "/health") {
            Ok(call) => self.kept.call(call).await.map_err(|error| error.with_causes()),
            Err(why) => return GatewayHealth::Refused(why),
        };
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                let body: Option<serde_json::Value> = serde_json::from_slice(answer.body.expose()).ok();
                match body.as_ref().and_then(|body| body.get("status")) {
                    Some(_) => GatewayHealth::Healthy,
                    None => GatewayHealth::Not("what answers there says nothing of its health".to_owned()),
                }
            }
            Ok(answer) => {
                let why = answer::unexpected(self.dialect, answer.status, None);
                match answer.status {
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => GatewayHealth::Refused(why),
                    _ => GatewayHealth::Not(why),
                }
            }
            Err(why) => GatewayHealth::Not(why),
        }
    }

    fn call(&self, method: Method, path: &str) -> Result<Call, String> {
        let url = self.url.at(&format!("{}{path}", self.prefix)).map_err(|error| error.to_string())?;
        let call = Call::new(method, url).header(ACCEPT, JSON);
        match &self.key {
            Some(key) => key.sign(call),
            None => Ok(call),
        }
    }
}

fn unanswered(error: &CallError) -> Unanswered {
    match error {
        CallError::TooLong { .. } => Unanswered::TooLong(error.with_causes()),
        _ => Unanswered::Unavailable(error.with_causes()),
    }
}
