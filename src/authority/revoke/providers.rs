use std::sync::Arc;

use super::upstream::{Answer, Hint, Telling, Upstream};
use crate::authority::lend::Desk;
use crate::authority::oauth2::{RevokeError, TokenClient, TokenHint};
use crate::authority::providers::{Client, Pinned, ProviderError, TakingBack};
use crate::authority::rows::ConnectionRow;
use crate::authority::store::Intent;
use crate::model::Secret;

/// The way to the providers of the store: where a connection pinned them, as the client that they
/// know today.
pub(in crate::authority) struct Providers {
    pub(in crate::authority) desk: Arc<Desk>,
    pub(in crate::authority) client: Arc<TokenClient>,
}

impl Upstream for Providers {
    fn revoke<'a>(&'a self, row: &'a ConnectionRow, token: &'a Secret, hint: Hint) -> Telling<'a> {
        Box::pin(self.tell(row, token, hint))
    }
}

impl Providers {
    async fn tell(&self, row: &ConnectionRow, token: &Secret, hint: Hint) -> Answer {
        let Some(Ok(pinned)) = row.endpoints.as_deref().map(Pinned::read) else { return cannot("unreadable") };
        let client = match self.client_of(&row.workspace, &pinned.provider).await {
            Ok(client) => client,
            Err(answer) => return answer,
        };
        let Some(endpoint) = pinned.endpoints.token_endpoint(client.secret) else { return cannot("no_client") };
        judged(match &pinned.endpoints.revocation {
            Some(TakingBack::Declared(call)) => self.client.revoke_as_declared(call, &endpoint, token).await,
            Some(TakingBack::Endpoint(_)) => self.client.revoke(&endpoint, token, hinted(hint)).await,
            None => Err(RevokeError::Undeclared),
        })
    }

    async fn client_of(&self, workspace: &str, provider: &str) -> Result<Client, Answer> {
        let (desk, workspace, provider) = (Arc::clone(&self.desk), workspace.to_owned(), provider.to_owned());
        let look = move || Client::find(&mut *desk.store.begin(Intent::Read)?, &desk.vault, &workspace, &provider);
        match tokio::task::spawn_blocking(look).await {
            // Tokens of a provider that was deleted are taken back all the same.
            Ok(Ok(Some(client))) => Ok(client),
            Ok(Ok(None)) => Err(cannot("provider_deleted")),
            Ok(Err(ProviderError::Store(error))) => Err(Answer::Later { after: None, why: error.to_string() }),
            Ok(Err(_)) => Err(cannot("provider_unreadable")),
            Err(error) => Err(Answer::Later { after: None, why: error.to_string() }),
        }
    }
}

fn hinted(hint: Hint) -> TokenHint {
    match hint {
        Hint::Refresh => TokenHint::Refresh,
        Hint::Access => TokenHint::Access,
    }
}

fn cannot(why: &str) -> Answer {
    Answer::Cannot(why.to_owned())
}

fn judged(result: Result<(), RevokeError>) -> Answer {
    match result {
        Ok(()) => Answer::Revoked,
        Err(RevokeError::Later { after, why }) => Answer::Later { after, why: why.to_string() },
        Err(RevokeError::Undeclared) => cannot("undeclared"),
        Err(RevokeError::UnsupportedTokenType) => cannot("unsupported_token_type"),
        Err(RevokeError::Cannot { .. }) => cannot("refused"),
        Err(RevokeError::Declaration(_)) => cannot("declaration"),
        Err(RevokeError::Unsendable { .. }) => cannot("unsendable"),
    }
}
