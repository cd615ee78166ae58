//! A provider as the store keeps it and the wire says it: one value, one canonical JSON.
//!
//! That JSON is the reference's profile without its client secret, beside members of our own
//! (`title`, `about`, `bindings`, `owned`, `revocation`, `user`) that other implementations
//! ignore. Equal definitions have equal texts.

use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::authority::contract::{bindings_value, read_lines};
use crate::authority::oauth2::{CallAuth, RevocationCall};
use crate::config::{FieldDoc, UserCall};
use crate::model::{Binding, Bindings, ClientAuth, ConnectionName, EndpointUrl, HostPattern, Strategy};

/// A service's definition: how consent is asked for, and where its credentials go, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub(super) name: ConnectionName,
    pub(super) auth_type: AuthType,
    pub(super) client_id: Option<String>,
    pub(super) auth_url: Option<EndpointUrl>,
    pub(super) token_url: Option<EndpointUrl>,
    pub(super) auth_header: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) issuer: Option<EndpointUrl>,
    pub(super) enable_discovery: bool,
    pub(super) params: Map<String, Value>,
    pub(super) api_base_url: Option<EndpointUrl>,
    /// A URL, or a path below `api_base_url`.
    pub(super) user_info_endpoint: Option<String>,
    pub(super) description: Option<String>,
    pub(super) category: Option<String>,
    pub(super) title: Option<String>,
    pub(super) about: Option<String>,
    /// The execution contract; `None` as long as nobody has said to which hosts it goes.
    pub(super) bindings: Option<Bindings>,
    pub(super) owned: bool,
    pub(super) revocation: Option<Revocation>,
    pub(super) user: Option<UserCall>,
}

/// What a provider's credentials are, as the wire calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::authority) enum AuthType {
    ApiKey,
    AwsSigV4,
    BasicAuth,
    Header,
    HmacPayload,
    OAuth2,
    QueryParam,
}

impl AuthType {
    const ALL: [Self; 7] = [
        Self::ApiKey,
        Self::AwsSigV4,
        Self::BasicAuth,
        Self::Header,
        Self::HmacPayload,
        Self::OAuth2,
        Self::QueryParam,
    ];

    pub(in crate::authority) const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::AwsSigV4 => "aws_sigv4",
            Self::BasicAuth => "basic_auth",
            Self::Header => "header",
            Self::HmacPayload => "hmac_payload",
            Self::OAuth2 => "oauth2",
            Self::QueryParam => "query_param",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Definition {
    /// Its name.
    pub fn name(&self) -> &ConnectionName {
        &self.name
    }

    /// Its name for people.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(self.name.as_str())
    }

    /// Where its credentials may go, and how; `None` as long as nobody has named a host.
    pub fn bindings(&self) -> Option<&Bindings> {
        self.bindings.as_ref()
    }

    /// The zones of its wildcards are the provider's alone.
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// Tells whether its credentials are tokens that an OAuth client is given.
    pub fn is_oauth(&self) -> bool {
        self.auth_type == AuthType::OAuth2
    }

    /// The call that tells whose credentials they are: the one that is declared, else a GET of
    /// `user_info_endpoint` where its host is one that the credentials may go to.
    pub fn user_call(&self) -> Option<UserCall> {
        if let Some(user) = &self.user {
            return Some(user.clone());
        }
        let said = self.user_info_endpoint.as_deref()?;
        let url = match (said.starts_with('/'), &self.api_base_url) {
            (true, Some(base)) => format!("{}{said}", base.as_str().trim_end_matches('/')),
            (true, None) => return None,
            (false, _) => said.to_owned(),
        };
        let url = EndpointUrl::parse(&url).ok()?;
        self.bindings.as_ref()?.strategy_for(url.host())?;
        Some(UserCall { method: Method::GET, url: url.to_string(), headers: Vec::new(), ok: None, name: Vec::new() })
    }

    /// How its client says who it is.
    pub(in crate::authority) fn client_auth(&self) -> ClientAuth {
        match self.auth_header.as_deref() {
            Some("client_secret_basic" | "Basic") => ClientAuth::Basic,
            Some("none") => ClientAuth::None,
            _ => ClientAuth::Post,
        }
    }

    /// Tells whether consent is of no use without a client secret.
    pub(in crate::authority) fn needs_secret(&self) -> bool {
        self.is_oauth() && self.client_auth() != ClientAuth::None
    }

    /// Where its client secret is sent: if that moves, the secret has to be given again.
    pub(super) fn secret_goes_to(&self) -> Vec<String> {
        let revocation = match &self.revocation {
            Some(Revocation::Endpoint(url)) => Some(url.clone()),
            Some(Revocation::Declared(call)) if call.auth == CallAuth::ClientBasic => declared_at(call).ok(),
            _ => None,
        };
        let urls = [self.token_url.clone(), revocation, self.issuer.clone().filter(|_| self.enable_discovery)];
        urls.into_iter().flatten().map(|url| url.host().to_string()).collect()
    }

    /// Everything that says where the secret goes, as one text: what it is sealed for.
    pub(super) fn secret_place(&self) -> String {
        json!({
            "token_url": self.token_url.as_ref().map(EndpointUrl::as_str),
            "issuer": self.issuer.as_ref().map(EndpointUrl::as_str),
            "enable_discovery": self.enable_discovery,
            "client_auth": self.client_auth().as_str(),
            "revocation": self.revocation.as_ref().map(revocation_json),
        })
        .to_string()
    }

    /// What a person gives for a connection: the fields of the schema, in its order of names.
    pub fn fields(&self) -> Vec<FieldDoc> {
        let schema = self.params.get("credential_schema").unwrap_or(&Value::Null);
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
        let field = |(name, about): (&String, &Value)| FieldDoc {
            name: name.clone(),
            optional: !is_required(name),
            about: about.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        properties.map(|properties| properties.iter().map(field).collect()).unwrap_or_default()
    }

    /// The strategy of the reference's profile, which has one for all hosts.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn profile_strategy(&self) -> Result<Strategy, String> {
        if self.is_oauth() {
            return Ok(Strategy::OAuth2);
        }
        let said = match self.params.get("auth_strategy") {
            Some(Value::Null) | None => json!({ "type": self.auth_type.as_str() }),
            Some(strategy) => strategy.clone(),
        };
        Strategy::from_json(&without_alias(said)).map_err(|error| error.to_string())
    }

    /// What the reference's profile says of hosts: the one of its base URL.
    ///
    /// # Errors
    /// Why its strategy is none.
    pub(super) fn profile_bindings(&self) -> Result<Option<Bindings>, String> {
        let Some(url) = &self.api_base_url else { return Ok(None) };
        let hosts = vec![HostPattern::parse(&url.host().to_string()).map_err(|error| error.to_string())?];
        let lines = vec![Binding { hosts, strategy: self.profile_strategy()? }];
        Bindings::new(lines, false).map(Some).map_err(|error| error.to_string())
    }

    /// The canonical JSON: what the store keeps, and what answers are made of. No secret is in it.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                json.insert(name.to_owned(), value);
            }
        };
        let url = |url: &Option<EndpointUrl>| url.as_ref().map(EndpointUrl::as_str).into();
        put("name", self.name.as_str().into());
        put("auth_type", self.auth_type.as_str().into());
        put("client_id", self.client_id.clone().into());
        put("auth_url", url(&self.auth_url));
        put("token_url", url(&self.token_url));
        put("auth_header", self.auth_header.clone().into());
        put("scopes", self.scopes.clone().into());
        put("issuer", url(&self.issuer));
        put("enable_discovery", self.enable_discovery.into());
        put("params", if self.params.is_empty() { Value::Null } else { self.params.clone().into() });
        put("api_base_url", url(&self.api_base_url));
        put("user_info_endpoint", self.user_info_endpoint.clone().into());
        put("description", self.description.clone().into());
        put("category", self.category.clone().into());
        put("title", self.title.clone().into());
        put("about", self.about.clone().into());
        put("owned", if self.owned { true.into() } else { Value::Null });
        put("revocation", self.revocation.as_ref().map(revocation_json).into());
        put("user", self.user.as_ref().map(user_json).into());
        // What the reference's own members say already is not said twice.
        if let Some(bindings) = &self.bindings
            && self.profile_bindings().ok().flatten().as_ref() != Some(bindings)
        {
            put("bindings", bindings_value(bindings));
        }
        json
    }

    /// The canonical text.
    pub(in crate::authority) fn text(&self) -> String {
        Value::Object(self.to_json()).to_string()
    }
}

/// `api_key` is an old name of `header`, with a header of its own.
fn without_alias(mut strategy: Value) -> Value {
    if strategy.get("type").is_some_and(|kind| kind == "api_key") {
        let mut config = strategy.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        let named = config.get("header_name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
        if !named {
            config.insert("header_name".to_owned(), "X-API-Key".into());
        }
        strategy = json!({ "type": "header", "config": config });
    }
    strategy
}

/// Reads `bindings`, old names of strategies included.
pub(super) fn read_bindings(value: &Value, owned: bool) -> Result<Bindings, String> {
    let mut value = value.clone();
    for line in value.as_array_mut().into_iter().flatten() {
        if let Some(strategy) = line.get_mut("strategy") {
            *strategy = without_alias(strategy.take());
        }
    }
    read_lines(&value, owned)
}

/// How tokens are taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) enum Revocation {
    /// The revocation endpoint (RFC 7009).
    Endpoint(EndpointUrl),
    /// A call of the provider's own.
    Declared(RevocationCall),
}

pub(super) fn revocation_json(revocation: &Revocation) -> Value {
    match revocation {
        Revocation::Endpoint(url) => url.as_str().into(),
        Revocation::Declared(call) => serde_json::to_value(call).unwrap_or_default(),
    }
}

pub(super) fn read_revocation(value: &Value) -> Result<Revocation, String> {
    if let Some(url) = value.as_str() {
        return EndpointUrl::parse(url).map(Revocation::Endpoint).map_err(|error| error.to_string());
    }
    let call = RevocationCall::deserialize(value).map_err(|error| error.to_string())?;
    call.check().map_err(|error| error.to_string())?;
    declared_at(&call).map(|_| Revocation::Declared(call))
}

/// Where a declared call goes.
fn declared_at(call: &RevocationCall) -> Result<EndpointUrl, String> {
    let url = call.url.replace("{client_id}", "id").replace("{token}", "token");
    EndpointUrl::parse(&url).map_err(|error| error.to_string())
}

pub(super) fn user_json(user: &UserCall) -> Value {
    let headers: Map<String, Value> = user
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    json!({ "request": format!("{} {}", user.method, user.url), "headers": headers, "ok": user.ok, "name": user.name })
}

pub(super) fn read_user(value: &Value) -> Result<UserCall, String> {
    let request = value.get("request").and_then(Value::as_str).and_then(|text| text.split_once(' '));
    let (method, url) = request.ok_or("`request` is no method with a URL")?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let url = EndpointUrl::parse(url).map_err(|error| error.to_string())?;
    let header = |(name, value): (&String, &Value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_str(value.as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
        Ok::<_, String>((name, value))
    };
    let headers = value.get("headers").and_then(Value::as_object);
    let headers = headers.map(|headers| headers.iter().map(header).collect()).transpose()?.unwrap_or_default();
    let names = value.get("name").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(UserCall {
        method,
        url: url.to_string(),
        headers,
        ok: value.get("ok").and_then(Value::as_str).map(str::to_owned),
        name: names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}
