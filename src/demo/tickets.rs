//! The ticket look-alike: wants an OAuth 2.0 access token, lists tickets, deletes them for real.

use std::sync::{Mutex, PoisonError};

use http::{Method, StatusCode};
use serde_json::json;

use super::service::{Arrived, LookAlike, Reply, check_bearer};

/// The ticket API.
pub(super) struct Tickets {
    token: String,
    open: Mutex<Vec<(&'static str, &'static str)>>,
}

impl Tickets {
    /// Knows one access token.
    pub(super) fn new(token: &str) -> Self {
        let open = vec![
            ("OPS-7", "Login fails after password reset"),
            ("OPS-8", "Invoice shows the wrong currency"),
            ("OPS-9", "Export times out"),
        ];
        Self { token: token.to_owned(), open: Mutex::new(open) }
    }
}

impl LookAlike for Tickets {
    fn answer(&self, request: &Arrived) -> Reply {
        let checked = check_bearer(&request.headers, &self.token);
        if checked.fault.is_some() {
            return Reply::json(StatusCode::UNAUTHORIZED, &json!({"errorMessages": ["unauthorized"]}), checked);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = request.path.strip_prefix("/rest/api/3/issue/");
        let (status, body) = match (&request.method, request.path.as_str(), ticket) {
            (&Method::GET, "/rest/api/3/search", _) => {
                let issues: Vec<_> =
                    open.iter().map(|(key, summary)| json!({"key": key, "fields": {"summary": summary}})).collect();
                (StatusCode::OK, json!({"total": issues.len(), "issues": issues}))
            }
            (&Method::DELETE, _, Some(key)) => {
                open.retain(|(open, _)| *open != key);
                (StatusCode::OK, json!({"deleted": key}))
            }
            _ => (StatusCode::NOT_FOUND, json!({"errorMessages": ["not found"]})),
        };
        Reply::json(status, &body, checked)
    }
}

#[cfg(test)]
mod tests {
    use super::super::service::example::arrived;
    use super::*;

    #[test]
    fn only_the_token_opens_it() {
        let tickets = Tickets::new("tok-right");
        for (authorization, status) in [
            (None, 401),
            (Some("Bearer tok-wrong"), 401),
            (Some("Basic tok-right"), 401),
            (Some("Bearer tok-right"), 200),
        ] {
            let reply = tickets.answer(&arrived(Method::GET, "/rest/api/3/search", authorization, ""));
            assert_eq!(reply.status, status, "{authorization:?}");
            assert_eq!(reply.body.contains("OPS-7"), status == 200);
        }
    }

    #[test]
    fn a_delete_that_got_through_would_count() {
        let tickets = Tickets::new("t");
        let delete =
            |authorization| tickets.answer(&arrived(Method::DELETE, "/rest/api/3/issue/OPS-7", authorization, ""));
        assert_eq!(delete(None).status, 401);
        assert_eq!(tickets.open.lock().unwrap().len(), 3);
        assert_eq!(delete(Some("Bearer t")).status, 200);
        assert_eq!(tickets.open.lock().unwrap().len(), 2);
    }
}
