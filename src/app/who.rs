//! Asks a provider whose credentials a connection has: one call of the catalogue, by the way that
//! every request takes, under a policy that allows that call alone.

use std::path::Path;
use std::time::Duration;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use serde_json::{Value, json};

use super::Bound;
use crate::config::{Document, Problems, UserCall};
use crate::identity::Agent;
use crate::model::{Code, ConnectionName, HostPort, Refusal, Scheme};
use crate::policy::Policy;
use crate::proxy::OwnAnswer;

/// What rules and the audit call whoever asks.
const ASKER: &str = "connection-test";

/// More than any provider says about a user, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// For all of it, from the name to the last byte.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of asking.
#[derive(Debug)]
pub enum Who {
    /// The credentials work.
    Works {
        /// Whose they are, where the provider says so: text from outside, as it came.
        name: Option<String>,
    },
    /// The provider refuses them, with this status.
    Refused(StatusCode),
    /// The provider answered something else.
    Unclear(StatusCode),
    /// No answer came, and this is why.
    Unasked(Refusal),
}

/// The policy that allows one call with one connection, and nothing else.
///
/// # Errors
/// The call is none that a rule can name.
pub fn policy_of_call(call: &UserCall, connection: &ConnectionName) -> Result<Policy, Problems> {
    let uri = call.url.parse::<Uri>().unwrap_or_default();
    let mut rule = json!({
        "name": ASKER,
        "agent": ASKER,
        "host": uri.host().unwrap_or_default(),
        "method": call.method.as_str(),
        "path": uri.path(),
        "connection": connection.as_str(),
    });
    if let Some(port) = uri.port_u16() {
        rule["port"] = port.into();
    }
    let document = json!({ "version": 1, "rules": [rule] });
    Policy::compile(vec![Document::parse(Path::new("connection test"), &document.to_string())])
}

impl Bound {
    /// Makes a provider's call, and reads whose credentials were used. A record is kept of it as of
    /// every request.
    pub async fn who(&self, call: &UserCall) -> Who {
        let asked = tokio::time::timeout(PATIENCE, self.ask(call)).await;
        let late = || Err(Refusal::new(Code::UpstreamTimeout, format!("no whole answer came within {PATIENCE:?}")));
        match asked.unwrap_or_else(|_| late()) {
            Ok(answer) => judge(call, answer.status, &answer.headers, &answer.body),
            Err(refusal) => Who::Unasked(refusal),
        }
    }

    async fn ask(&self, call: &UserCall) -> Result<OwnAnswer, Refusal> {
        let broken = || Refusal::new(Code::Internal, format!("the catalogue's call {} is no request", call.url));
        let uri = call.url.parse::<Uri>().map_err(|_| broken())?;
        let scheme = uri.scheme_str().and_then(Scheme::parse).ok_or_else(broken)?;
        let authority = uri.authority().and_then(|authority| HostPort::parse(authority.as_str()).ok());
        let destination = authority.ok_or_else(broken)?.with_scheme(scheme);
        let mut request = Request::new(());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri.path_and_query().map_or_else(Uri::default, |target| target.clone().into());
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("nexus-sidecar"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in &call.headers {
            headers.insert(name.clone(), value.clone());
        }
        self.pipeline.own(Agent::operator(ASKER), destination, request, LONGEST_ANSWER).await
    }
}

fn judge(call: &UserCall, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Who {
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Who::Refused(status);
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match call.ok.as_ref().map(|pointer| body.pointer(pointer)) {
        _ if !status.is_success() => Who::Unclear(status),
        Some(Some(Value::Bool(false))) => Who::Refused(status),
        None | Some(Some(Value::Bool(true))) => Who::Works { name: name(call, headers, &body) },
        Some(_) => Who::Unclear(status),
    }
}

fn name(call: &UserCall, headers: &HeaderMap, body: &Value) -> Option<String> {
    let part = |place: &String| match place.starts_with('/') {
        false => headers.get(place.as_str())?.to_str().ok().map(str::to_owned),
        true => match body.pointer(place)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        },
    };
    let parts: Vec<String> = call.name.iter().filter_map(part).filter(|part| !part.trim().is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::config::Catalogue;
    use crate::policy::{Decision, Verdict, request};

    fn call(ok: Option<&str>, name: &[&str]) -> UserCall {
        UserCall {
            method: Method::GET,
            url: "https://api.example.com/me".into(),
            headers: Vec::new(),
            ok: ok.map(str::to_owned),
            name: name.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn said(call: &UserCall, status: u16, body: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-org", HeaderValue::from_static("acme"));
        match judge(call, StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes()) {
            Who::Works { name } => format!("works {}", name.unwrap_or_default()),
            Who::Refused(status) => format!("refused {}", status.as_u16()),
            Who::Unclear(status) => format!("unclear {}", status.as_u16()),
            Who::Unasked(_) => unreachable!("it was asked"),
        }
    }

    #[test]
    fn an_answer_is_a_name_a_refusal_or_unclear() {
        let plain = call(None, &["/login"]);
        let flagged = call(Some("/ok"), &["/user", "/team/name", "x-org"]);
        for (call, status, body, want) in [
            (&plain, 200, r#"{"login": "octocat"}"#, "works octocat"),
            (&plain, 200, r#"{"login": 7}"#, "works 7"),
            (&plain, 200, r#"{"login": {"secret": 1}}"#, "works "),
            (&plain, 200, "no JSON", "works "),
            (&plain, 401, r#"{"login": "octocat"}"#, "refused 401"),
            (&plain, 403, "", "refused 403"),
            (&plain, 302, "", "unclear 302"),
            (&plain, 500, "", "unclear 500"),
            (&flagged, 200, r#"{"ok": true, "user": "a", "team": {"name": "b"}}"#, "works a, b, acme"),
            (&flagged, 200, r#"{"ok": true}"#, "works acme"),
            (&flagged, 200, r#"{"ok": false, "error": "invalid_auth"}"#, "refused 200"),
            (&flagged, 200, r#"{"ok": "true"}"#, "unclear 200"),
            (&flagged, 200, "", "unclear 200"),
            (&flagged, 429, r#"{"ok": false}"#, "unclear 429"),
        ] {
            assert_eq!(said(call, status, body), want, "{status} {body}");
        }
    }

    #[test]
    fn every_providers_call_is_allowed_by_its_policy_and_goes_where_it_is_bound() {
        for provider in Catalogue::built_in().providers() {
            let Some(call) = &provider.user else { continue };
            let policy = policy_of_call(call, &provider.connection).unwrap_or_else(|problems| panic!("{problems}"));
            let target = request(&call.method, &call.url).unwrap();
            assert!(provider.bindings.strategy_for(target.destination.host()).is_some(), "{}", call.url);
            match policy.decide(&Agent::operator(ASKER), &target, &HeaderMap::new()) {
                Ok(Decision::Send(Verdict::Inject(grant))) => assert_eq!(*grant.connection(), provider.connection),
                other => panic!("{}: {other:?}", call.url),
            }
            assert!(policy.decide(&Agent::operator("agent"), &target, &HeaderMap::new()).is_err());
        }
    }
}
