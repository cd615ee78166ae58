//! The chat look-alike: wants a bearer token, takes messages as JSON.

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::service::{Arrived, LookAlike, Reply, check_bearer};

/// The chat API.
pub(super) struct Chat {
    token: String,
}

impl Chat {
    /// Knows one token.
    pub(super) fn new(token: &str) -> Self {
        Self { token: token.to_owned() }
    }
}

impl LookAlike for Chat {
    fn answer(&self, request: &Arrived) -> Reply {
        let checked = check_bearer(&request.headers, &self.token);
        if checked.fault.is_some() {
            return Reply::json(StatusCode::UNAUTHORIZED, &json!({"ok": false, "error": "invalid_auth"}), checked);
        }
        let (status, body) = match (&request.method, request.path.as_str()) {
            (&Method::POST, "/api/chat.postMessage") => post(request),
            (&Method::GET, "/api/conversations.history") => {
                (StatusCode::OK, json!({"ok": true, "messages": [{"text": "not for agents"}]}))
            }
            _ => (StatusCode::NOT_FOUND, json!({"ok": false, "error": "unknown_method"})),
        };
        Reply::json(status, &body, checked)
    }
}

fn post(request: &Arrived) -> (StatusCode, Value) {
    let kind = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let message: Option<Value> = serde_json::from_slice(&request.body).ok();
    let said = |field| message.as_ref().and_then(|message| message.get(field)).and_then(Value::as_str);
    match (kind.starts_with("application/json"), said("channel"), said("text")) {
        (true, Some(channel), Some(text)) => {
            (StatusCode::OK, json!({"ok": true, "channel": channel, "message": {"text": text}}))
        }
        _ => (StatusCode::BAD_REQUEST, json!({"ok": false, "error": "invalid_arguments"})),
    }
}

#[cfg(test)]
mod tests {
    use super::super::service::example::arrived;
    use super::*;

    #[test]
    fn only_the_token_and_whole_messages() {
        let chat = Chat::new("xoxb-right");
        let good = r##"{"channel":"#ops","text":"hi"}"##;
        for (authorization, body, status) in [
            (None, good, 401),
            (Some("Bearer xoxb-wrong"), good, 401),
            (Some("Bearer xoxb-right"), good, 200),
            (Some("Bearer xoxb-right"), "{", 400),
            (Some("Bearer xoxb-right"), r##"{"channel":"#ops"}"##, 400),
        ] {
            let mut request = arrived(Method::POST, "/api/chat.postMessage", authorization, body);
            request.headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
            assert_eq!(chat.answer(&request).status, status, "{authorization:?} {body}");
        }
        let untyped = arrived(Method::POST, "/api/chat.postMessage", Some("Bearer xoxb-right"), good);
        assert_eq!(chat.answer(&untyped).status, 400);
    }
}
