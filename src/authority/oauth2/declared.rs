use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{RevokeError, TokenEndpoint};
use crate::dial::Call;
use crate::model::{Secret, Url};

/// How a provider that has no RFC 7009 endpoint revokes: one call, as data.
///
/// GitHub's is `DELETE https://api.github.com/applications/{client_id}/grant`, with the client's Basic
/// authentication and `{"access_token": "…"}` as its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::authority) struct RevocationCall {
    /// The method.
    pub(in crate::authority) method: CallMethod,
    /// The address, `{client_id}` and `{token}` in its path or query standing for their values.
    pub(in crate::authority) url: String,
    /// Who asks.
    #[serde(default)]
    pub(in crate::authority) auth: CallAuth,
    /// Where the token stands.
    pub(in crate::authority) token: TokenPlace,
    /// What else the call carries, such as `accept`; no secret.
    #[serde(default)]
    pub(in crate::authority) headers: BTreeMap<String, String>,
}

/// The methods that revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::authority) enum CallMethod {
    /// `DELETE`.
    Delete,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
}

/// Who asks for a declared revocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::authority) enum CallAuth {
    /// Nobody: the token speaks for itself.
    #[default]
    None,
    /// The client, by plain Basic (RFC 7617).
    ClientBasic,
    /// The token's holder, by the token as bearer.
    TokenBearer,
}

/// Where a declared revocation has its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::authority) enum TokenPlace {
    /// A JSON object of this one field.
    Json(String),
    /// A form of this one field.
    Form(String),
    /// The address, where `{token}` stands.
    Url,
    /// The bearer header alone.
    Bearer,
}

/// What is wrong with a declared revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::authority) enum DeclarationError {
    /// The address.
    #[error("the declared revocation call has no usable url")]
    Url,
    /// `{…}` that stands for nothing, or before the path.
    #[error("the url of the declared revocation call may hold {{client_id}} and {{token}}, in its path or query")]
    Placeholder,
    /// The token would not be sent, or be sent where nobody said so.
    #[error("the declared revocation call does not say in one place where the token goes")]
    Token,
    /// A header's name or value, or one that is ours.
    #[error("the declared revocation call has a header that cannot be sent")]
    Header,
    /// Basic without a client secret.
    #[error("the declared revocation call needs a client secret")]
    NoClientSecret,
}

impl RevocationCall {
    /// Checks what can be checked without a token, so that a bad one is refused where it is written.
    pub(in crate::authority) fn check(&self) -> Result<(), DeclarationError> {
        let start = self.url.find("://").map_or(0, |at| at + 3);
        let behind = self.url.get(start..).unwrap_or_default();
        let path = start + behind.find(['/', '?']).unwrap_or(behind.len());
        if self.url[..path].contains(['{', '}']) {
            return Err(DeclarationError::Placeholder);
        }
        let filled = self.fill("x", "x");
        if filled.contains(['{', '}']) {
            return Err(DeclarationError::Placeholder);
        }
        Url::parse(&filled).map_err(|_| DeclarationError::Url)?;
        let in_url = self.url.contains("{token}");
        let bearer = self.auth == CallAuth::TokenBearer;
        let said_once = match &self.token {
            TokenPlace::Url => in_url,
            TokenPlace::Bearer => bearer && !in_url,
            TokenPlace::Json(field) | TokenPlace::Form(field) => !in_url && !field.is_empty(),
        };
        if !said_once {
            return Err(DeclarationError::Token);
        }
        self.more_headers().map(drop)
    }

    /// The call for one token.
    pub(super) fn with(&self, endpoint: &TokenEndpoint, token: &Secret) -> Result<Call, RevokeError> {
        self.check()?;
        let text = token.expose_str().ok_or(RevokeError::Unsendable { what: "the token" })?;
        let address = Zeroizing::new(self.fill(&escape(&endpoint.client_id), &escape(text)));
        let url = Url::parse(&address).map_err(|_| DeclarationError::Url)?;
        let mut call = Call::new(self.method.as_method(), url);
        for (name, value) in self.more_headers()? {
            call = call.header(name, value);
        }
        if let Some(value) = self.authorization(endpoint, text)? {
            call = call.header(AUTHORIZATION, value);
        }
        Ok(match &self.token {
            TokenPlace::Json(field) => call.body("application/json", json(field, text)),
            TokenPlace::Form(field) => {
                let form = format!("{}={}", escape(field), escape(text));
                call.body("application/x-www-form-urlencoded", Secret::new(form))
            }
            TokenPlace::Url | TokenPlace::Bearer => call,
        })
    }

    fn fill(&self, client_id: &str, token: &str) -> String {
        self.url.replace("{client_id}", client_id).replace("{token}", token)
    }

    fn more_headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, DeclarationError> {
        let ours = ["authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"];
        let read = |(name, value): (&String, &String)| {
            let name = HeaderName::try_from(name.as_str()).ok().filter(|name| !ours.contains(&name.as_str()))?;
            Some((name, HeaderValue::try_from(value.as_str()).ok()?))
        };
        self.headers.iter().map(|header| read(header).ok_or(DeclarationError::Header)).collect()
    }

    fn authorization(&self, endpoint: &TokenEndpoint, token: &str) -> Result<Option<HeaderValue>, RevokeError> {
        let text = match self.auth {
            CallAuth::None => return Ok(None),
            CallAuth::TokenBearer => Zeroizing::new(format!("Bearer {token}")),
            CallAuth::ClientBasic => {
                let secret = endpoint.client_secret.as_ref().ok_or(DeclarationError::NoClientSecret)?;
                let mut pair = Zeroizing::new(format!("{}:", endpoint.client_id).into_bytes());
                pair.extend_from_slice(secret.expose());
                Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)))
            }
        };
        let mut value =
            HeaderValue::try_from(text.as_str()).map_err(|_| RevokeError::Unsendable { what: "the token" })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl CallMethod {
    fn as_method(self) -> Method {
        match self {
            Self::Delete => Method::DELETE,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
        }
    }
}

fn json(field: &str, token: &str) -> Secret {
    Secret::new(serde_json::json!({ field: token }).to_string())
}

/// Escapes all but the unreserved (RFC 3986, section 2.3), as fits a path, a query and a form.
fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
