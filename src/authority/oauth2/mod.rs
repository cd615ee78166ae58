//! Token endpoints: the refresh grant (RFC 6749, section 6), revocation (RFC 7009), and the calls
//! by which a provider that has no such endpoint revokes all the same.
//!
//! It knows no store: what it answers says what to do with the connection. It never takes an
//! answer without an access token for a success, never tells a word of an endpoint's answer but
//! a code of an error's shape, and never sends a secret anywhere but to the address that it was
//! given. The `oauth2` crate writes the forms and the client authentication; answers are read here,
//! since the crate drops their status and keeps tokens in types that can be copied and printed.
//! Next: `judge` for what an answer means, `request` for what is sent.

mod code;
mod declared;
mod error;
mod expiry;
mod judge;
mod reply;
mod request;
mod retry_after;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::dial::Caller;
use crate::model::{Secret, Url};
use crate::telemetry::Clock;

pub(in crate::authority) use code::ErrorCode;
#[expect(unused_imports, reason = "provider documents are about to declare such calls")]
pub(in crate::authority) use declared::{CallAuth, CallMethod, TokenPlace};
pub(in crate::authority) use declared::{DeclarationError, RevocationCall};
pub(in crate::authority) use error::{RefreshError, RevokeError, Why};

/// Where and as whom tokens of a provider are renewed and revoked.
#[derive(Debug)]
pub(in crate::authority) struct TokenEndpoint {
    /// The token endpoint.
    pub(in crate::authority) url: Url,
    /// The revocation endpoint, where there is one.
    pub(in crate::authority) revocation_url: Option<Url>,
    /// Our identifier there.
    pub(in crate::authority) client_id: String,
    /// Our secret there; none for a public client.
    pub(in crate::authority) client_secret: Option<Secret>,
    /// How the secret is shown.
    pub(in crate::authority) auth: ClientAuth,
    /// The scopes to ask for; none asks for those of the refresh token.
    pub(in crate::authority) scopes: Vec<String>,
}

/// How a client proves itself to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) enum ClientAuth {
    /// `client_secret_basic`: identifier and secret form-encoded, then Basic (RFC 6749,
    /// section 2.3.1).
    Basic,
    /// `client_secret_post`: both in the body.
    Post,
    /// The identifier alone, in the body: a public client.
    Public,
}

/// What a token endpoint gave.
#[derive(Debug)]
pub(in crate::authority) struct Tokens {
    /// The access token: visible ASCII, never empty.
    pub(in crate::authority) access_token: Secret,
    /// The next refresh token; none means that the old one stays good.
    pub(in crate::authority) refresh_token: Option<Secret>,
    /// The type, as the endpoint spells it.
    pub(in crate::authority) token_type: Option<String>,
    /// The scopes, where the endpoint names them.
    pub(in crate::authority) scope: Option<String>,
    /// The lifetime, as the endpoint says it.
    pub(in crate::authority) expires_in: Option<Duration>,
    /// The end, by the earliest of `expires_in` (counted from before the call), `expires_at` and
    /// `expiry`; none where the endpoint names none.
    pub(in crate::authority) expires_at: Option<SystemTime>,
}

/// Which of the tokens is to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) enum TokenHint {
    /// `access_token`.
    Access,
    /// `refresh_token`, whose end is its access tokens' too (RFC 7009, section 2.1).
    Refresh,
}

/// Speaks with token endpoints.
pub(in crate::authority) struct TokenClient {
    caller: Caller,
    clock: Arc<dyn Clock>,
}

impl TokenClient {
    /// One that calls so; `caller` bounds each call and says where it may go.
    pub(in crate::authority) fn new(caller: Caller, clock: Arc<dyn Clock>) -> Self {
        Self { caller, clock }
    }

    /// Trades a refresh token for new tokens.
    ///
    /// After an error the refresh token may have been used up all the same: an endpoint that
    /// rotates may have answered, and the answer been lost.
    pub(in crate::authority) async fn refresh(
        &self,
        endpoint: &TokenEndpoint,
        refresh_token: &Secret,
    ) -> Result<Tokens, RefreshError> {
        let asked_at = self.clock.wall();
        let answer = request::refresh(&self.caller, endpoint, refresh_token).await?;
        let answer = answer.map_err(|error| RefreshError::Later { after: None, why: Why::NoAnswer(error) })?;
        let sent = [Some(refresh_token), endpoint.client_secret.as_ref()];
        let heard = judge::Heard::of(&answer, sent.into_iter().flatten(), self.clock.wall());
        judge::refresh(heard, asked_at)
    }

    /// Revokes a token, and by RFC 7009 what was made from it. A token that the endpoint does not
    /// know counts as revoked.
    pub(in crate::authority) async fn revoke(
        &self,
        endpoint: &TokenEndpoint,
        token: &Secret,
        hint: TokenHint,
    ) -> Result<(), RevokeError> {
        let answer = request::revoke(&self.caller, endpoint, token, hint).await?;
        let answer = answer.map_err(|error| RevokeError::Later { after: None, why: Why::NoAnswer(error) })?;
        let sent = [Some(token), endpoint.client_secret.as_ref()];
        judge::revoke(judge::Heard::of(&answer, sent.into_iter().flatten(), self.clock.wall()))
    }

    /// Revokes a token in the way that the provider declares.
    pub(in crate::authority) async fn revoke_as_declared(
        &self,
        call: &RevocationCall,
        endpoint: &TokenEndpoint,
        token: &Secret,
    ) -> Result<(), RevokeError> {
        let call = call.with(endpoint, token)?;
        let answer = self.caller.call(call).await;
        let answer = answer.map_err(|error| RevokeError::Later { after: None, why: Why::NoAnswer(error) })?;
        let sent = [Some(token), endpoint.client_secret.as_ref()];
        judge::revoke(judge::Heard::of(&answer, sent.into_iter().flatten(), self.clock.wall()))
    }
}

#[cfg(test)]
mod tests;
