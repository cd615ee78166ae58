//! Reads the reference's JSON profile: taken as leniently as there, then checked.
//!
//! Members that nobody knows are ignored, `null` is absent, and a static provider may leave all
//! but its name out. What would fail at the first consent or the first request there is refused
//! here: an endpoint that is no URL or no https, a strategy that cannot be applied. The reference
//! has no hosts: they are the exact host of `api_base_url`, or the member `bindings` of our own.
//! Without either, the provider is kept, and no connection can be made of it.

use serde_json::{Map, Value};

use super::definition::{AuthType, Definition, read_bindings, read_revocation, read_user};
use crate::model::{Bindings, ConnectionName, EndpointUrl, Secret};

/// The longest canonical text, in bytes.
const LONGEST: usize = 64 * 1024;

/// What makes a profile one that is not accepted. It names members, and quotes names alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No object.
    #[error("a profile is a JSON object")]
    NotAnObject,
    /// The name.
    #[error("name: invalid provider name {0:?}, must contain only lowercase letters, numbers, and hyphens")]
    Name(String),
    /// A member that must be there.
    #[error("{0}: missing required field")]
    Missing(&'static str),
    /// A member that cannot be what it is.
    #[error("{member}: {why}")]
    Invalid {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// More than anybody needs.
    #[error("a profile has at most 64 KiB")]
    TooLong,
}

impl ProfileError {
    /// The word for it on the old surfaces, where one says more than `fallback`.
    pub(in crate::authority) fn code(&self, fallback: &'static str) -> &'static str {
        match self {
            Self::Name(_) | Self::Missing("name") => "invalid_provider_name",
            Self::Missing("client_id") => "missing_client_id",
            Self::Missing("client_secret") => "missing_client_secret",
            Self::Missing("auth_url") => "missing_auth_url",
            Self::Missing("token_url") => "missing_token_url",
            Self::Missing("issuer") => "missing_issuer",
            _ => fallback,
        }
    }
}

impl ProfileError {
    /// The member that it is about, if it is one.
    pub(in crate::authority) fn member(&self) -> Option<&'static str> {
        match self {
            Self::Name(_) => Some("name"),
            Self::Missing(member) | Self::Invalid { member, .. } => Some(member),
            Self::NotAnObject | Self::TooLong => None,
        }
    }
}

/// A profile as it was sent: the definition, and what is done to the client secret.
#[derive(Debug)]
pub struct Profile {
    /// All but the secret.
    pub definition: Definition,
    /// The secret.
    pub secret: SecretChange,
}

/// What is done to a provider's client secret.
#[derive(Debug)]
pub enum SecretChange {
    /// It stays as it is: answers never show it, so that whoever sends one back sends none.
    Keep,
    /// It is this one from now on.
    Set(Secret),
    /// There is none from now on.
    Remove,
}

impl Profile {
    /// Reads a profile. `null` as the secret removes it, none keeps what is there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(value: Value) -> Result<Self, ProfileError> {
        let Value::Object(mut members) = value else { return Err(ProfileError::NotAnObject) };
        let secret = match members.remove("client_secret") {
            None => SecretChange::Keep,
            Some(Value::Null) => SecretChange::Remove,
            Some(Value::String(text)) if text.is_empty() => SecretChange::Remove,
            Some(Value::String(text)) => SecretChange::Set(Secret::new(text)),
            Some(_) => return Err(invalid("client_secret", "it is no text")),
        };
        Ok(Self { definition: Definition::read(&members)?, secret })
    }
}

impl Definition {
    /// Every member that a profile may have.
    pub(in crate::authority) const MEMBERS: [&'static str; 21] = [
        "name",
        "auth_type",
        "client_id",
        "client_secret",
        "auth_url",
        "token_url",
        "auth_header",
        "scopes",
        "issuer",
        "enable_discovery",
        "params",
        "api_base_url",
        "user_info_endpoint",
        "description",
        "category",
        "title",
        "about",
        "bindings",
        "owned",
        "revocation",
        "user",
    ];

    /// Reads the members of a profile, or what the store keeps of one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(members: &Map<String, Value>) -> Result<Self, ProfileError> {
        let members = Members(members);
        let mut definition = Self {
            name: members.name()?,
            auth_type: members.auth_type()?,
            client_id: members.text("client_id")?,
            auth_url: members.url("auth_url")?,
            token_url: members.url("token_url")?,
            auth_header: members.text("auth_header")?,
            scopes: members.scopes()?,
            issuer: members.url("issuer")?,
            enable_discovery: members.flag("enable_discovery")?,
            params: members.object("params")?,
            api_base_url: members.url("api_base_url")?,
            user_info_endpoint: members.user_info()?,
            description: members.text("description")?,
            category: members.text("category")?,
            title: members.text("title")?,
            about: members.text("about")?,
            bindings: None,
            owned: members.flag("owned")?,
            revocation: members.checked("revocation", read_revocation)?,
            user: members.checked("user", read_user)?,
        };
        let owned = definition.owned;
        let said = members.checked("bindings", |value| read_bindings(value, owned))?;
        definition.check_consent()?;
        definition.bindings = definition.hosts(said)?;
        definition.check_user()?;
        if definition.text().len() > LONGEST { Err(ProfileError::TooLong) } else { Ok(definition) }
    }

    /// What consent cannot be asked for without.
    fn check_consent(&self) -> Result<(), ProfileError> {
        if !self.is_oauth() {
            return Ok(());
        }
        let needed = if self.enable_discovery {
            [("client_id", self.client_id.is_some()), ("issuer", self.issuer.is_some()), ("issuer", true)]
        } else {
            [
                ("client_id", self.client_id.is_some()),
                ("auth_url", self.auth_url.is_some()),
                ("token_url", self.token_url.is_some()),
            ]
        };
        match needed.into_iter().find(|(_, is_there)| !is_there) {
            Some((member, _)) => Err(ProfileError::Missing(member)),
            None => Ok(()),
        }
    }

    /// The hosts that are said, else the one of the base URL. A strategy that cannot be applied is
    /// refused with or without them.
    fn hosts(&self, said: Option<Bindings>) -> Result<Option<Bindings>, ProfileError> {
        if said.is_some() {
            return Ok(said);
        }
        self.profile_strategy().map_err(|why| invalid("params.auth_strategy", why))?;
        self.profile_bindings().map_err(|why| invalid("api_base_url", why))
    }

    /// The call that tells whose credentials they are carries them.
    fn check_user(&self) -> Result<(), ProfileError> {
        let (Some(user), Some(bindings)) = (&self.user, &self.bindings) else { return Ok(()) };
        let url = EndpointUrl::parse(&user.url).map_err(|error| invalid("user", error.to_string()))?;
        match bindings.strategy_for(url.host()) {
            Some(_) => Ok(()),
            None => Err(invalid("user", "its host is none that the credentials may go to")),
        }
    }
}

fn invalid(member: &'static str, why: impl Into<String>) -> ProfileError {
    ProfileError::Invalid { member, why: why.into() }
}

struct Members<'a>(&'a Map<String, Value>);

impl<'a> Members<'a> {
    /// `null` is absent.
    fn get(&self, member: &'static str) -> Option<&'a Value> {
        self.0.get(member).filter(|value| !value.is_null())
    }

    /// A text; an empty one is absent.
    fn text(&self, member: &'static str) -> Result<Option<String>, ProfileError> {
        match self.get(member) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text.len() > 4096 => Err(invalid(member, "it is longer than 4096 bytes")),
            Some(Value::String(text)) if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) => {
                Err(invalid(member, "it holds a control character"))
            }
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(member, "it is no text")),
        }
    }

    fn name(&self) -> Result<ConnectionName, ProfileError> {
        let text = self.text("name")?.ok_or(ProfileError::Missing("name"))?;
        ConnectionName::parse(&text).map_err(|_| ProfileError::Name(text.chars().take(64).collect()))
    }

    fn auth_type(&self) -> Result<AuthType, ProfileError> {
        match self.text("auth_type")? {
            None => Ok(AuthType::OAuth2),
            Some(text) => AuthType::parse(&text).ok_or_else(|| invalid("auth_type", "unsupported value")),
        }
    }

    fn url(&self, member: &'static str) -> Result<Option<EndpointUrl>, ProfileError> {
        let text = self.text(member)?;
        let read = text.map(|text| EndpointUrl::parse(text.trim()));
        read.transpose().map_err(|error| invalid(member, error.to_string()))
    }

    /// A URL, or a path that is put behind the base URL.
    fn user_info(&self) -> Result<Option<String>, ProfileError> {
        const MEMBER: &str = "user_info_endpoint";
        let Some(text) = self.text(MEMBER)? else { return Ok(None) };
        let whole = if text.starts_with('/') { format!("https://host.invalid{text}") } else { text.clone() };
        EndpointUrl::parse(&whole).map(|_| Some(text)).map_err(|error| invalid(MEMBER, error.to_string()))
    }

    fn flag(&self, member: &'static str) -> Result<bool, ProfileError> {
        match self.get(member) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| invalid(member, "it is neither true nor false")),
        }
    }

    fn object(&self, member: &'static str) -> Result<Map<String, Value>, ProfileError> {
        match self.get(member) {
            None => Ok(Map::new()),
            Some(value) => value.as_object().cloned().ok_or_else(|| invalid(member, "it is no object")),
        }
    }

    fn scopes(&self) -> Result<Vec<String>, ProfileError> {
        let Some(value) = self.get("scopes") else { return Ok(Vec::new()) };
        let scopes = value.as_array().ok_or_else(|| invalid("scopes", "they are no list"))?;
        let scope = |scope: &Value| {
            let good = |text: &&str| text.bytes().all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
            scope.as_str().filter(good).map(str::to_owned).ok_or_else(|| invalid("scopes", "one of them is no scope"))
        };
        scopes.iter().map(scope).collect()
    }

    fn checked<T>(
        &self,
        member: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, ProfileError> {
        self.get(member).map(read).transpose().map_err(|why| invalid(member, why))
    }
}
