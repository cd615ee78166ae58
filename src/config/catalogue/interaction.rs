//! How a provider's consent is asked for and kept: the contract beside `hosts -> strategy`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::Provider;
use crate::config::At;
use crate::model::{ClientAuth, EndpointUrl};

/// A provider's file of somebody's own, as `provider apply` reads it.
#[derive(Clone, Debug)]
pub struct ProviderFile {
    /// Where it starts.
    pub at: At,
    /// The provider. It has no permission sets and nothing that belongs to them: those of the
    /// catalogue alone are known to every sidecar.
    pub provider: Provider,
    /// One sentence on it, for people.
    pub description: Option<String>,
    /// What it is listed under.
    pub category: Option<String>,
    /// The base of its API.
    pub api_base_url: Option<EndpointUrl>,
    /// How consent is asked for; none for credentials that a person gives.
    pub oauth: Option<OAuthDoc>,
}

/// The interaction contract of OAuth 2.0 (RFC 6749): how consent is asked for, exchanged, renewed
/// and taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthDoc {
    /// `auth_url`
    pub auth_url: EndpointUrl,
    /// `token_url`
    pub token_url: EndpointUrl,
    /// `client_id`
    pub client_id: String,
    /// `client_secret`: where it is read, never what it is.
    pub client_secret: Option<SecretSource>,
    /// `client_auth`
    pub client_auth: ClientAuth,
    /// `scopes`
    pub scopes: Vec<String>,
    /// `revocation`
    pub revocation: Option<RevocationDoc>,
    /// `issuer`
    pub issuer: Option<EndpointUrl>,
    /// The authorization URL says no scope.
    pub skip_scope_on_auth: bool,
    /// The exchange says no scope.
    pub skip_scope_on_exchange: bool,
    /// What else the authorization URL says.
    pub parameters: BTreeMap<String, String>,
}

/// Where a secret is read when a file is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file; a relative one stands beside the provider's file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// How a provider takes tokens back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevocationDoc {
    /// Its revocation endpoint (RFC 7009).
    Endpoint(EndpointUrl),
    /// A call of its own, as written: who makes such calls knows what one may say.
    Declared(Value),
}
