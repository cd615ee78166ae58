//! A provider's file -> the definition that the store keeps.

use serde_json::{Map, Value, json};

use super::definition::{AuthType, Definition};
use super::profile::ProfileError;
use crate::config::{FieldDoc, OAuthDoc, ProviderFile, RevocationDoc};
use crate::model::{ClientAuth, Strategy};

impl Definition {
    /// Takes what a provider's file says. Its client secret is read by whoever applies it.
    ///
    /// # Errors
    /// What is wrong with it as a profile.
    pub fn of_file(file: &ProviderFile) -> Result<Self, ProfileError> {
        let mut members = Self::written(file).to_json();
        match file.oauth.as_ref().and_then(|oauth| oauth.revocation.as_ref()) {
            Some(RevocationDoc::Endpoint(url)) => members.insert("revocation".to_owned(), url.as_str().into()),
            Some(RevocationDoc::Declared(call)) => members.insert("revocation".to_owned(), call.clone()),
            None => None,
        };
        Self::read(&members)
    }

    fn written(file: &ProviderFile) -> Self {
        let provider = &file.provider;
        let oauth = file.oauth.as_ref();
        let strategy = provider.bindings.iter().next().map(|line| &line.strategy);
        Self {
            name: provider.connection.clone(),
            auth_type: if oauth.is_some() { AuthType::OAuth2 } else { auth_type(strategy) },
            client_id: oauth.map(|oauth| oauth.client_id.clone()),
            auth_url: oauth.map(|oauth| oauth.auth_url.clone()),
            token_url: oauth.map(|oauth| oauth.token_url.clone()),
            auth_header: oauth.map(|oauth| auth_header(oauth.client_auth).to_owned()),
            scopes: oauth.map(|oauth| oauth.scopes.clone()).unwrap_or_default(),
            issuer: oauth.and_then(|oauth| oauth.issuer.clone()),
            enable_discovery: false,
            params: match oauth {
                Some(oauth) => consent_params(oauth),
                None => static_params(strategy, &provider.fields),
            },
            api_base_url: file.api_base_url.clone(),
            user_info_endpoint: provider.user.as_ref().map(|user| user.url.clone()),
            description: file.description.clone(),
            category: file.category.clone(),
            title: Some(provider.title.clone()).filter(|title| title != provider.connection.as_str()),
            about: Some(provider.about.clone()).filter(|about| !about.is_empty()),
            bindings: Some(provider.bindings.clone()),
            owned: provider.owned,
            revocation: None,
            user: provider.user.clone(),
        }
    }
}

/// The reference has no word for a token that a person gives as a bearer: it calls that a key.
fn auth_type(strategy: Option<&Strategy>) -> AuthType {
    match strategy.map(Strategy::kind).and_then(AuthType::parse) {
        Some(AuthType::OAuth2) | None => AuthType::ApiKey,
        Some(kind) => kind,
    }
}

const fn auth_header(auth: ClientAuth) -> &'static str {
    match auth {
        ClientAuth::Basic => "client_secret_basic",
        ClientAuth::Post => "client_secret_post",
        ClientAuth::None => "none",
    }
}

fn consent_params(oauth: &OAuthDoc) -> Map<String, Value> {
    let mut params: Map<String, Value> =
        oauth.parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    for (name, skip) in
        [("skip_scope_on_auth", oauth.skip_scope_on_auth), ("skip_scope_on_exchange", oauth.skip_scope_on_exchange)]
    {
        if skip {
            params.insert(name.to_owned(), true.into());
        }
    }
    params
}

fn static_params(strategy: Option<&Strategy>, fields: &[FieldDoc]) -> Map<String, Value> {
    let mut params = Map::new();
    if let Some(strategy) = strategy {
        params.insert("auth_strategy".to_owned(), strategy.to_json());
    }
    if !fields.is_empty() {
        let property = |field: &FieldDoc| {
            let about = json!({ "type": "string", "description": field.about });
            (field.name.clone(), about)
        };
        let properties: Map<String, Value> = fields.iter().map(property).collect();
        let required: Vec<&str> =
            fields.iter().filter(|field| !field.optional).map(|field| field.name.as_str()).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        params.insert("credential_schema".to_owned(), schema);
    }
    params
}
