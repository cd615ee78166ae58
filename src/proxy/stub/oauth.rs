//! A token endpoint (RFC 6749): whoever asks in the right form gets a token, whatever it shows.

use http::{Method, StatusCode};
use serde_json::json;

use super::reply::Reply;
use super::{Asked, LIFE, gcp, jwt, once};
use crate::model::Query;
use crate::model::placeholder::{OAUTH_ACCESS, OAUTH_REFRESH};

/// How a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// RFC 6749, section 4.4.
    ClientCredentials,
    /// RFC 6749, section 6.
    RefreshToken,
    /// RFC 7523, section 2.1.
    JwtBearer,
    /// RFC 8693.
    TokenExchange,
}

impl Grant {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "client_credentials" => Self::ClientCredentials,
            "refresh_token" => Self::RefreshToken,
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => Self::JwtBearer,
            "urn:ietf:params:oauth:grant-type:token-exchange" => Self::TokenExchange,
            _ => return None,
        })
    }

    /// The parameters without which it is none.
    const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::ClientCredentials => &[],
            Self::RefreshToken => &["refresh_token"],
            Self::JwtBearer => &["assertion"],
            Self::TokenExchange => &["subject_token", "subject_token_type"],
        }
    }
}

pub(super) fn answer(asked: &Asked<'_>) -> Reply {
    let (form, grant) = match grant(asked) {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let mut answer = json!({ "access_token": OAUTH_ACCESS, "expires_in": LIFE.as_secs(), "token_type": "Bearer" });
    match grant {
        Grant::ClientCredentials => {}
        Grant::RefreshToken => answer["refresh_token"] = OAUTH_REFRESH.into(),
        Grant::TokenExchange => {
            answer["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token".into();
        }
        // A service account of Google's asks for an ID token so.
        Grant::JwtBearer => {
            let claims = once(&form, "assertion").and_then(|assertion| jwt::claims(&assertion));
            if let Some(audience) = claims.as_ref().and_then(|claims| claims["target_audience"].as_str()) {
                answer["id_token"] = gcp::identity(asked, audience).into();
            }
        }
    }
    if let Some(scope) = once(&form, "scope") {
        answer["scope"] = scope.into();
    }
    Reply::json(&answer)
}

/// Reads what is asked for, or says what is wrong with it (RFC 6749, section 5.2).
pub(super) fn grant(asked: &Asked<'_>) -> Result<(Query, Grant), Reply> {
    let wrong = |code, why| Err(error(StatusCode::BAD_REQUEST, code, why));
    if *asked.method != Method::POST {
        return Err(Reply::method());
    }
    let Some(form) = asked.form() else { return wrong("invalid_request", "the body is no form") };
    let Some(word) = once(&form, "grant_type") else {
        return wrong("invalid_request", "grant_type is missing, or there twice");
    };
    let Some(grant) = Grant::parse(&word) else {
        return wrong("unsupported_grant_type", "this stub knows no such grant");
    };
    if grant.needs().iter().any(|name| once(&form, name).is_none_or(|value| value.is_empty())) {
        return wrong("invalid_request", "a parameter that the grant needs is missing, or there twice");
    }
    Ok((form, grant))
}

pub(super) fn error(status: StatusCode, code: &str, why: &str) -> Reply {
    Reply::json(&json!({ "error": code, "error_description": format!("nexus-sidecar: {why}") })).with_status(status)
}
