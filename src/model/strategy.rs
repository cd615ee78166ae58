use serde_json::{Map, Value, json};

/// How to authenticate, as data: the strategies of the Nexus Protocol, their settings checked.
///
/// The JSON form is `{"type": …, "config": {…}}`, with the defaults of the reference Bridge: a
/// setting of the wrong JSON type counts as absent, `config` may be absent or `null`, and
/// `api_key` is another name of `header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Sets one header.
    Header {
        /// Its name; `Authorization` by default.
        header_name: http::HeaderName,
        /// The field that holds the value; `api_key` by default.
        credential_field: String,
        /// What stands before the value, such as `Bearer ` with its blank.
        value_prefix: String,
    },
    /// Appends one query parameter.
    QueryParam {
        /// Its name, decoded.
        param_name: String,
        /// The field that holds the value; `api_key` by default.
        credential_field: String,
    },
    /// `Authorization: Basic` (RFC 7617, UTF-8).
    BasicAuth {
        /// Where the user name comes from.
        user: BasicUser,
        /// The field that holds the password; `password` by default.
        password_field: String,
    },
    /// An HMAC of the whole body in a header.
    HmacPayload {
        /// The header's name.
        header_name: http::HeaderName,
        /// The field that holds the key; `api_secret` by default.
        secret_field: String,
        /// The hash; SHA-256 by default.
        algorithm: Algorithm,
        /// How the tag is written; lower-case hex by default.
        encoding: DigestEncoding,
    },
    /// AWS Signature Version 4 in headers.
    AwsSigV4 {
        /// The service; absent, it is taken from the client's own signature.
        service: Option<String>,
        /// The region; absent, it is taken from the client's own signature, else `us-east-1`.
        region: Option<String>,
        /// The services that a client may choose; empty means every one.
        allowed_services: Vec<String>,
        /// The regions that a client may choose; empty means every one.
        allowed_regions: Vec<String>,
    },
    /// `Authorization: Bearer` with the field `access_token`.
    OAuth2,
}

/// The user name of Basic authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BasicUser {
    /// A field of the credentials; `username` by default.
    Field(String),
    /// A name that is no secret, such as `x-access-token`.
    Literal(String),
}

/// A hash for `hmac_payload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `sha256`
    Sha256,
    /// `sha1`
    Sha1,
}

/// How a tag is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestEncoding {
    /// Lower-case hex.
    Hex,
    /// Standard alphabet, padded.
    Base64,
}

/// What makes a strategy unusable; shown to the operator, and to the agent as
/// `CREDENTIAL_UNUSABLE`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// No `type`, or one that nobody here knows.
    #[error("unknown strategy type {0:?}: use header, query_param, basic_auth, hmac_payload, aws_sigv4 or oauth2")]
    UnknownType(String),
    /// A setting without a default.
    #[error("the strategy {strategy} needs the setting {setting}")]
    Missing {
        /// The strategy's type.
        strategy: &'static str,
        /// The setting's name.
        setting: &'static str,
    },
    /// A setting whose value makes no sense.
    #[error("the setting {setting} of the strategy {strategy} cannot be {value:?}: {why}")]
    Invalid {
        /// The strategy's type.
        strategy: &'static str,
        /// The setting's name.
        setting: &'static str,
        /// What it was.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A setting that this strategy does not have (only where a person wrote it).
    #[error("the strategy {strategy} has no setting {setting:?}: it has {known}")]
    UnknownSetting {
        /// The strategy's type.
        strategy: &'static str,
        /// The setting's name.
        setting: String,
        /// Those that exist.
        known: String,
    },
}

impl Strategy {
    /// Reads what a source sent: extra settings are ignored, since other implementations add
    /// their own.
    pub fn from_json(value: &Value) -> Result<Self, StrategyError> {
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        let empty = Map::new();
        let config = value.get("config").and_then(Value::as_object).unwrap_or(&empty);
        Self::read(kind, &Settings { strategy: "", config })
    }

    /// Reads what a person wrote: a setting that the strategy does not have is an error too.
    pub fn from_settings(kind: &str, config: &Map<String, Value>) -> Result<Self, StrategyError> {
        let strategy = Self::read(kind, &Settings { strategy: "", config })?;
        let known = strategy.settings();
        match config.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(strategy),
            Some(key) => Err(StrategyError::UnknownSetting {
                strategy: strategy.kind(),
                setting: key.clone(),
                known: if known.is_empty() { "none".into() } else { known.join(", ") },
            }),
        }
    }

    fn read(kind: &str, settings: &Settings<'_>) -> Result<Self, StrategyError> {
        let named = |strategy| Settings { strategy, config: settings.config };
        match kind {
            "header" | "api_key" => named("header").header(),
            "query_param" => named("query_param").query_param(),
            "basic_auth" => named("basic_auth").basic_auth(),
            "hmac_payload" => named("hmac_payload").hmac_payload(),
            "aws_sigv4" => named("aws_sigv4").aws_sigv4(),
            "oauth2" => Ok(Self::OAuth2),
            other => Err(StrategyError::UnknownType(other.to_owned())),
        }
    }

    /// The type's name on the wire.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Header { .. } => "header",
            Self::QueryParam { .. } => "query_param",
            Self::BasicAuth { .. } => "basic_auth",
            Self::HmacPayload { .. } => "hmac_payload",
            Self::AwsSigV4 { .. } => "aws_sigv4",
            Self::OAuth2 => "oauth2",
        }
    }

    /// The fields that must be in the credentials.
    pub fn required_fields(&self) -> Vec<&str> {
        match self {
            Self::Header { credential_field, .. } | Self::QueryParam { credential_field, .. } => vec![credential_field],
            Self::BasicAuth { user: BasicUser::Field(user), password_field } => vec![user, password_field],
            Self::BasicAuth { user: BasicUser::Literal(_), password_field } => vec![password_field],
            Self::HmacPayload { secret_field, .. } => vec![secret_field],
            Self::AwsSigV4 { .. } => vec!["access_key", "secret_key"],
            Self::OAuth2 => vec!["access_token"],
        }
    }

    /// Tells whether what goes over the wire can be used again by whoever reads it. Such a
    /// strategy is not sent to a wildcard of hosts unless their zone is ours.
    pub const fn sends_reusable_secret(&self) -> bool {
        !matches!(self, Self::HmacPayload { .. } | Self::AwsSigV4 { .. })
    }

    /// Tells whether the signature covers the body, which then has to be read before the head
    /// can leave. What a SigV4 request needs is decided per request.
    pub const fn signs_body(&self) -> bool {
        matches!(self, Self::HmacPayload { .. } | Self::AwsSigV4 { .. })
    }

    const fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::Header { .. } => &["header_name", "credential_field", "value_prefix"],
            Self::QueryParam { .. } => &["param_name", "credential_field"],
            Self::BasicAuth { .. } => &["username", "username_field", "password_field"],
            Self::HmacPayload { .. } => &["header_name", "secret_field", "algo", "encoding"],
            Self::AwsSigV4 { .. } => &["service", "region", "allowed_services", "allowed_regions"],
            Self::OAuth2 => &[],
        }
    }

    /// The JSON form, for the store and for listings: it holds no secret.
    pub fn to_json(&self) -> Value {
        let config = match self {
            Self::Header { header_name, credential_field, value_prefix } => json!({
                "header_name": header_name.as_str(), "credential_field": credential_field, "value_prefix": value_prefix,
            }),
            Self::QueryParam { param_name, credential_field } => json!({
                "param_name": param_name, "credential_field": credential_field,
            }),
            Self::BasicAuth { user: BasicUser::Field(field), password_field } => json!({
                "username_field": field, "password_field": password_field,
            }),
            Self::BasicAuth { user: BasicUser::Literal(name), password_field } => json!({
                "username": name, "password_field": password_field,
            }),
            Self::HmacPayload { header_name, secret_field, algorithm, encoding } => json!({
                "header_name": header_name.as_str(), "secret_field": secret_field,
                "algo": match algorithm { Algorithm::Sha256 => "sha256", Algorithm::Sha1 => "sha1" },
                "encoding": match encoding { DigestEncoding::Hex => "hex", DigestEncoding::Base64 => "base64" },
            }),
            Self::AwsSigV4 { service, region, allowed_services, allowed_regions } => json!({
                "service": service, "region": region,
                "allowed_services": allowed_services, "allowed_regions": allowed_regions,
            }),
            Self::OAuth2 => json!({}),
        };
        json!({ "type": self.kind(), "config": config })
    }
}

struct Settings<'a> {
    strategy: &'static str,
    config: &'a Map<String, Value>,
}

impl Settings<'_> {
    fn text(&self, setting: &str) -> Option<String> {
        self.config.get(setting).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn text_or(&self, setting: &str, default: &str) -> String {
        self.text(setting).unwrap_or_else(|| default.to_owned())
    }

    /// A text that goes into a header.
    fn line(&self, setting: &'static str) -> Result<Option<String>, StrategyError> {
        match self.text(setting) {
            Some(text) if text.chars().any(|c| c.is_control() && c != '\t') => {
                Err(self.invalid(setting, &text, "it holds a line break or another control character"))
            }
            text => Ok(text),
        }
    }

    /// An item that is empty would allow nothing, while an empty list allows everything.
    fn list(&self, setting: &'static str) -> Result<Vec<String>, StrategyError> {
        let items = self.config.get(setting).and_then(Value::as_array);
        let items: Vec<String> = items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        match items.iter().find(|item| item.is_empty()) {
            Some(empty) => Err(self.invalid(setting, empty, "name one or more, with commas between them")),
            None => Ok(items),
        }
    }

    fn invalid(&self, setting: &'static str, value: &str, why: &'static str) -> StrategyError {
        StrategyError::Invalid { strategy: self.strategy, setting, value: value.to_owned(), why }
    }

    fn missing(&self, setting: &'static str) -> StrategyError {
        StrategyError::Missing { strategy: self.strategy, setting }
    }

    fn header_name(&self, text: &str) -> Result<http::HeaderName, StrategyError> {
        let invalid = |why| self.invalid("header_name", text, why);
        let name: http::HeaderName =
            text.parse().map_err(|_| invalid("it is not a header name (RFC 9110, section 5.1)"))?;
        const NEVER: [&str; 11] = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "upgrade",
            "te",
            "trailer",
            "keep-alive",
            "proxy-authorization",
            "proxy-authenticate",
            "proxy-connection",
        ];
        if NEVER.contains(&name.as_str()) {
            return Err(invalid("it frames the message or belongs to one hop"));
        }
        Ok(name)
    }

    fn header(&self) -> Result<Strategy, StrategyError> {
        Ok(Strategy::Header {
            header_name: self.header_name(&self.text_or("header_name", "authorization"))?,
            credential_field: self.text_or("credential_field", "api_key"),
            value_prefix: self.line("value_prefix")?.unwrap_or_default(),
        })
    }

    fn query_param(&self) -> Result<Strategy, StrategyError> {
        Ok(Strategy::QueryParam {
            param_name: self.text("param_name").ok_or_else(|| self.missing("param_name"))?,
            credential_field: self.text_or("credential_field", "api_key"),
        })
    }

    fn basic_auth(&self) -> Result<Strategy, StrategyError> {
        let user = match self.line("username")? {
            Some(name) if name.contains(':') => {
                return Err(self.invalid("username", &name, "a colon ends it (RFC 7617, section 2)"));
            }
            Some(name) => BasicUser::Literal(name),
            None => BasicUser::Field(self.text_or("username_field", "username")),
        };
        Ok(Strategy::BasicAuth { user, password_field: self.text_or("password_field", "password") })
    }

    fn hmac_payload(&self) -> Result<Strategy, StrategyError> {
        let name = self.text("header_name").ok_or_else(|| self.missing("header_name"))?;
        let algorithm = match self.text_or("algo", "sha256").as_str() {
            "sha256" => Algorithm::Sha256,
            "sha1" => Algorithm::Sha1,
            other => return Err(self.invalid("algo", other, "use sha256 or sha1")),
        };
        let encoding = match self.text_or("encoding", "hex").as_str() {
            "hex" => DigestEncoding::Hex,
            "base64" => DigestEncoding::Base64,
            other => return Err(self.invalid("encoding", other, "use hex or base64")),
        };
        let secret_field = self.text_or("secret_field", "api_secret");
        Ok(Strategy::HmacPayload { header_name: self.header_name(&name)?, secret_field, algorithm, encoding })
    }

    fn aws_sigv4(&self) -> Result<Strategy, StrategyError> {
        Ok(Strategy::AwsSigV4 {
            service: self.text("service"),
            region: self.text("region"),
            allowed_services: self.list("allowed_services")?,
            allowed_regions: self.list("allowed_regions")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridges_defaults() {
        let read = |value: Value| Strategy::from_json(&value).map(|s| s.to_json());
        let header = json!({"type": "header", "config": {"header_name": "authorization", "credential_field": "api_key", "value_prefix": ""}});
        for value in [
            json!({"type": "header"}),
            json!({"type": "api_key", "config": null}),
            json!({"type": "header", "config": {"header_name": 7}}),
        ] {
            assert_eq!(read(value), Ok(header.clone()));
        }
        assert!(read(json!({})).is_err());
        assert!(read(json!({"type": "query_param"})).is_err());
        assert!(read(json!({"type": "hmac_payload", "config": {"header_name": "x-s", "algo": "SHA256"}})).is_err());
        assert!(read(json!({"type": "header", "config": {"header_name": "Host"}})).is_err());
        assert!(read(json!({"type": "header", "config": {"header_name": "a b"}})).is_err());
    }

    #[test]
    fn settings_that_no_request_could_be_made_with_are_refused() {
        for (kind, config, setting) in [
            ("header", json!({"value_prefix": "a\r\nb"}), "value_prefix"),
            ("basic_auth", json!({"username": "a:b"}), "username"),
            ("basic_auth", json!({"username": "a\nb"}), "username"),
            ("aws_sigv4", json!({"allowed_services": ["s3", ""]}), "allowed_services"),
            ("aws_sigv4", json!({"allowed_regions": [""]}), "allowed_regions"),
        ] {
            let error = Strategy::from_json(&json!({"type": kind, "config": config})).unwrap_err().to_string();
            assert!(error.contains(setting) && error.contains(kind), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for value in [
            json!({"type": "basic_auth", "config": {"username": "x-access-token", "password_field": "token"}}),
            json!({"type": "aws_sigv4", "config": {"service": "s3", "region": null, "allowed_services": ["s3"], "allowed_regions": []}}),
            json!({"type": "hmac_payload", "config": {"header_name": "x-sig", "secret_field": "sk", "algo": "sha1", "encoding": "base64"}}),
            json!({"type": "oauth2", "config": {}}),
        ] {
            let strategy = Strategy::from_json(&value).unwrap();
            assert_eq!(strategy.to_json(), value);
        }
    }

    #[test]
    fn a_person_is_told_of_a_setting_that_does_not_exist() {
        let config = json!({"header": "x"});
        let error = Strategy::from_settings("header", config.as_object().unwrap()).unwrap_err().to_string();
        assert!(error.contains("\"header\"") && error.contains("header_name"), "{error}");
    }
}
