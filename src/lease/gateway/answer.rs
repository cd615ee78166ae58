//! What a status means. A Gateway passes the Broker's refusals on without a body, so that the
//! status alone tells them; one with a body it did not write comes from what stands before it.

use http::StatusCode;
use serde_json::Value;

use super::refresh::Outcome;
use crate::config::Dialect;
use crate::lease::LendError;
use crate::model::ConnectionName;

/// Who wrote a refusal, as far as its body tells.
enum Said {
    /// Nobody says: a Gateway's own.
    Nothing,
    /// The code of a flat error.
    Code(String),
    /// A page, or whatever else.
    Other,
}

impl Said {
    fn of(body: &[u8]) -> Self {
        if body.trim_ascii().is_empty() {
            return Self::Nothing;
        }
        let answer: Option<Value> = serde_json::from_slice(body).ok();
        let code = answer.as_ref().and_then(|answer| answer.get("error")?.as_str());
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        match code.filter(|code| (1..=64).contains(&code.len()) && code.bytes().all(plain)) {
            Some(code) => Self::Code(code.to_owned()),
            None => Self::Other,
        }
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Code(code) => Some(code),
            _ => None,
        }
    }
}

/// A refusal of the token as the trait's own.
pub(super) fn refusal(dialect: Dialect, status: StatusCode, body: &[u8], name: &ConnectionName) -> LendError {
    let said = Said::of(body);
    let bare = matches!(said, Said::Nothing) && dialect == Dialect::Gateway;
    let (name, code) = (name.clone(), said.code());
    match (status.as_u16(), code) {
        (403, Some("connection_not_active")) | (404, Some("token_not_found")) => LendError::NotReady(name),
        (403, None) if bare => LendError::NotReady(name),
        (404, Some("connection_not_found")) => LendError::NotFound(name),
        (404, None) if bare => LendError::NotFound(name),
        (409, _) => LendError::Attention(name),
        (400, Some("invalid_connection_id")) => not_an_id(name),
        (400, None) if bare => not_an_id(name),
        // Of this connection, or of us: others may be served.
        (429, _) | (500, Some("decrypt_failed")) => LendError::Later { name, why: unexpected(dialect, status, code) },
        _ => LendError::Unavailable { name, why: unexpected(dialect, status, code) },
    }
}

/// What a refresh that was not answered with 200 came to.
pub(super) fn refused_refresh(dialect: Dialect, status: StatusCode, body: &[u8]) -> Outcome {
    let said = Said::of(body);
    let bare = matches!(said, Said::Nothing) && dialect == Dialect::Gateway;
    let code = said.code();
    match (status.as_u16(), code) {
        (400, Some("static_token" | "no_refresh_token")) | (500, Some("unsupported_auth_type")) => Outcome::Cannot,
        (400, None) if bare => Outcome::Cannot,
        (404, Some("connection_not_found" | "token_not_found")) => Outcome::NotActive,
        (404, None) if bare => Outcome::NotActive,
        (409, _) => Outcome::Attention,
        _ => Outcome::Failed(unexpected(dialect, status, code)),
    }
}

fn not_an_id(name: ConnectionName) -> LendError {
    let why = "its id is none that the source takes: look at its `id` under connections".to_owned();
    LendError::Unusable { name, why }
}

/// What an operator can do about an answer that is none.
pub(super) fn unexpected(dialect: Dialect, status: StatusCode, code: Option<&str>) -> String {
    let (who, key) = match dialect {
        Dialect::Broker => ("Broker", "auth.api_key_file"),
        _ => ("Gateway", "auth"),
    };
    let said = code.map(|code| format!(" {code}")).unwrap_or_default();
    let advice = match (status.as_u16(), code) {
        (403, Some("access_denied")) => ": it does not take calls from this address; look at its own list".to_owned(),
        (401 | 403, _) => format!(": it does not take what this sidecar shows; look at {key}"),
        (404 | 405, _) => format!(": this is no answer of a {who}; look at the source's url and dialect"),
        (300..=399, _) => ": redirects are not followed; write the final address as the source's url".to_owned(),
        _ => String::new(),
    };
    format!("the {who} answered {}{said}{advice}", status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(dialect: Dialect, status: u16, body: &str) -> &'static str {
        let name = ConnectionName::parse("jira").unwrap();
        refusal(dialect, StatusCode::from_u16(status).unwrap(), body.as_bytes(), &name).word()
    }

    fn flat(code: &str) -> String {
        format!(r#"{{"error":"{code}","message":"canary"}}"#)
    }

    #[test]
    fn of_a_gateway_the_status_alone_tells() {
        for (status, want) in [
            (400, "unusable"),
            (403, "not_ready"),
            (404, "not_found"),
            (409, "attention"),
            (401, "unavailable"),
            (429, "later"),
            (500, "unavailable"),
            (502, "unavailable"),
            (302, "unavailable"),
        ] {
            assert_eq!(word(Dialect::Gateway, status, ""), want, "{status}");
        }
    }

    #[test]
    fn of_a_broker_the_code_tells() {
        for (status, code, want) in [
            (400, "invalid_connection_id", "unusable"),
            (403, "connection_not_active", "not_ready"),
            (404, "connection_not_found", "not_found"),
            (404, "token_not_found", "not_ready"),
            (409, "attention_required", "attention"),
            (401, "missing_api_key", "unavailable"),
            (403, "invalid_api_key", "unavailable"),
            (403, "access_denied", "unavailable"),
            (500, "decrypt_failed", "later"),
        ] {
            assert_eq!(word(Dialect::Broker, status, &flat(code)), want, "{code}");
        }
    }

    #[test]
    fn what_stands_before_a_gateway_says_nothing_about_a_connection() {
        for (status, body) in [(403, "<html>no</html>"), (404, "404 page not found"), (403, r#"{"error":"No Entry"}"#)]
        {
            assert_eq!(word(Dialect::Gateway, status, body), "unavailable", "{body}");
        }
        for status in [403, 404] {
            assert_eq!(word(Dialect::Broker, status, ""), "unavailable", "{status}");
        }
    }

    #[test]
    fn each_refusal_of_a_refresh_has_its_meaning() {
        let of = |dialect, status, body: &str| match refused_refresh(
            dialect,
            StatusCode::from_u16(status).unwrap(),
            body.as_bytes(),
        ) {
            Outcome::Renewed(_) => "renewed",
            Outcome::NotActive => "not active",
            Outcome::Cannot => "cannot",
            Outcome::Attention => "attention",
            Outcome::Empty(_) => "empty",
            Outcome::Failed(_) => "failed",
        };
        for (status, want) in [
            (400, "cannot"),
            (404, "not active"),
            (409, "attention"),
            (401, "failed"),
            (500, "failed"),
            (502, "failed"),
        ] {
            assert_eq!(of(Dialect::Gateway, status, ""), want, "{status}");
        }
        for (status, code, want) in [
            (400, "static_token", "cannot"),
            (400, "no_refresh_token", "cannot"),
            (400, "invalid_connection_id", "failed"),
            (500, "unsupported_auth_type", "cannot"),
            (404, "connection_not_found", "not active"),
            (409, "attention_required", "attention"),
            (502, "upstream_error", "failed"),
        ] {
            assert_eq!(of(Dialect::Broker, status, &flat(code)), want, "{code}");
        }
        assert_eq!(of(Dialect::Gateway, 404, "404 page not found"), "failed");
    }

    #[test]
    fn an_operator_is_told_what_to_look_at_and_no_body() {
        let said = |dialect, status, body: &str| {
            let name = ConnectionName::parse("jira").unwrap();
            refusal(dialect, StatusCode::from_u16(status).unwrap(), body.as_bytes(), &name).to_string()
        };
        for (dialect, status, body, want) in [
            (Dialect::Broker, 401, flat("missing_api_key"), "auth.api_key_file"),
            (Dialect::Broker, 403, flat("access_denied"), "this address"),
            (Dialect::Gateway, 403, "canary".to_owned(), "look at auth"),
            (Dialect::Gateway, 404, "canary".to_owned(), "url and dialect"),
            (Dialect::Gateway, 307, String::new(), "redirects are not followed"),
            (Dialect::Gateway, 502, flat("broker_unavailable"), "502 broker_unavailable"),
        ] {
            let said = said(dialect, status, &body);
            assert!(said.contains(want) && !said.contains("canary"), "{said}");
        }
    }
}
