//! What a connection pins of its provider when it is made, beside its hosts: where its tokens are
//! renewed and taken back, and by which client.

use serde_json::{Map, Value, json};

use super::definition::{Definition, Revocation, read_revocation, read_user, revocation_json, user_json};
use crate::authority::oauth2::{self, TokenEndpoint};
use crate::config::UserCall;
use crate::model::{ClientAuth, EndpointUrl, Secret};

/// The endpoints of a connection's provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Endpoints {
    /// Where tokens are renewed; none where they cannot be.
    pub(in crate::authority) token_url: Option<EndpointUrl>,
    /// How the client says who it is.
    pub(in crate::authority) client_auth: ClientAuth,
    /// Who the client is.
    pub(in crate::authority) client_id: Option<String>,
    /// How tokens are taken back.
    pub(in crate::authority) revocation: Option<Revocation>,
    /// The call that tells whose they are.
    pub(in crate::authority) user: Option<UserCall>,
}

/// Endpoints as a connection keeps them, with the provider that they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Pinned {
    /// The provider's id.
    pub(in crate::authority) provider: String,
    /// Its version when the connection was made.
    pub(in crate::authority) version: i64,
    /// Its endpoints then.
    pub(in crate::authority) endpoints: Endpoints,
}

impl Endpoints {
    /// Those of a provider as it is.
    pub(in crate::authority) fn of(definition: &Definition) -> Self {
        let of_oauth = definition.is_oauth();
        Self {
            token_url: definition.token_url.clone().filter(|_| of_oauth),
            client_auth: definition.client_auth(),
            client_id: definition.client_id.clone().filter(|_| of_oauth),
            revocation: definition.revocation.clone().filter(|_| of_oauth),
            user: definition.user_call(),
        }
    }

    /// Where and as whom tokens are renewed and taken back; none where they are no OAuth client's.
    pub(in crate::authority) fn token_endpoint(&self, client_secret: Option<Secret>) -> Option<TokenEndpoint> {
        let revocation_url = match &self.revocation {
            Some(Revocation::Endpoint(url)) => Some(url.url().clone()),
            Some(Revocation::Declared(_)) | None => None,
        };
        Some(TokenEndpoint {
            url: self.token_url.as_ref()?.url().clone(),
            revocation_url,
            client_id: self.client_id.clone()?,
            client_secret,
            auth: match self.client_auth {
                ClientAuth::Basic => oauth2::ClientAuth::Basic,
                ClientAuth::Post => oauth2::ClientAuth::Post,
                ClientAuth::None => oauth2::ClientAuth::Public,
            },
            scopes: Vec::new(),
        })
    }
}

impl Pinned {
    /// As the column `endpoints` keeps it.
    pub(in crate::authority) fn text(&self) -> String {
        let Endpoints { token_url, client_auth, client_id, revocation, user } = &self.endpoints;
        json!({
            "provider": self.provider,
            "version": self.version,
            "token_url": token_url.as_ref().map(EndpointUrl::as_str),
            "client_auth": client_auth.as_str(),
            "client_id": client_id,
            "revocation": revocation.as_ref().map(revocation_json),
            "user": user.as_ref().map(user_json),
        })
        .to_string()
    }

    /// Reads the column, checked as when it was written.
    pub(in crate::authority) fn read(text: &str) -> Result<Self, String> {
        let members: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let there = |name: &str| members.get(name).filter(|value| !value.is_null());
        let word = |name: &str| there(name).and_then(Value::as_str).map(str::to_owned);
        let url = |text: String| EndpointUrl::parse(&text).map_err(|error| error.to_string());
        Ok(Self {
            provider: word("provider").ok_or("it names no provider")?,
            version: there("version").and_then(Value::as_i64).ok_or("it names no version of its provider")?,
            endpoints: Endpoints {
                token_url: word("token_url").map(url).transpose()?,
                client_auth: word("client_auth")
                    .and_then(|word| ClientAuth::parse(&word))
                    .ok_or("it does not say how its client authenticates")?,
                client_id: word("client_id"),
                revocation: there("revocation").map(read_revocation).transpose()?,
                user: there("user").map(read_user).transpose()?,
            },
        })
    }
}
