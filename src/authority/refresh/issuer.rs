use std::future::Future;
use std::pin::Pin;

use crate::authority::oauth2::{RefreshError, RevokeError, TokenClient, TokenEndpoint, TokenHint, Tokens};
use crate::model::Secret;

/// What an issuer is still busy with.
pub(in crate::authority) type Busy<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Who renews tokens, and takes them back.
pub(in crate::authority) trait Issuer: Send + Sync + 'static {
    /// Trades a refresh token for new tokens.
    fn refresh<'a>(&'a self, endpoint: &'a TokenEndpoint, refresh_token: &'a Secret) -> Busy<'a, Tokens, RefreshError>;

    /// Takes back a token that nobody will use.
    fn revoke<'a>(
        &'a self,
        endpoint: &'a TokenEndpoint,
        token: &'a Secret,
        hint: TokenHint,
    ) -> Busy<'a, (), RevokeError>;
}

impl Issuer for TokenClient {
    fn refresh<'a>(&'a self, endpoint: &'a TokenEndpoint, refresh_token: &'a Secret) -> Busy<'a, Tokens, RefreshError> {
        Box::pin(TokenClient::refresh(self, endpoint, refresh_token))
    }

    fn revoke<'a>(
        &'a self,
        endpoint: &'a TokenEndpoint,
        token: &'a Secret,
        hint: TokenHint,
    ) -> Busy<'a, (), RevokeError> {
        Box::pin(TokenClient::revoke(self, endpoint, token, hint))
    }
}
