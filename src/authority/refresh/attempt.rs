//! One refresh: the issuer is asked once, and its answer is kept before anybody uses it.

use std::sync::Arc;
use std::time::Duration;

use super::keep::{Answer, keep};
use super::{Issuer, Outcome, Ready, chance};
use crate::authority::Authority;
use crate::authority::oauth2::{RefreshError, TokenHint, Tokens, Why};
use crate::authority::record::Record;
use crate::authority::store::StoreError;

/// How long an issuer is waited for: half of what the claim holds.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often a write that failed is tried again, a second later each time: the store may be starting
/// again, and what the issuer gave may be the only good refresh token.
const WRITES: u32 = 300;

/// How often a token that nobody may use is given back.
const RETURNS: u32 = 3;

/// Asks the issuer, and keeps what it answers. `authority` is of the connection's workspace.
pub(super) async fn attempt(
    authority: &Authority,
    issuer: &Arc<dyn Issuer>,
    ready: Ready,
) -> Result<Outcome, StoreError> {
    let clock = Arc::clone(&authority.desk.clock);
    let answer = tokio::select! {
        answer = issuer.refresh(&ready.endpoint, &ready.refresh_token) => judged(&ready, answer),
        () = clock.sleep(DEADLINE) => Answer::Later { why: "no_answer", after: None },
    };
    let outcome = store(authority, &ready, &answer).await?;
    if let (Outcome::Orphaned, Answer::Tokens(tokens)) = (&outcome, &answer) {
        give_back(authority, issuer, &ready, tokens).await;
    }
    Ok(outcome)
}

fn judged(ready: &Ready, answer: Result<Tokens, RefreshError>) -> Answer {
    let error = match answer {
        Ok(tokens) => return Answer::Tokens(Arc::new(tokens)),
        Err(error) => error,
    };
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    tracing::debug!(connection = %ready.id, %error, cause, "a connection was not refreshed");
    match error {
        RefreshError::Refused { .. } => Answer::Attention("invalid_grant"),
        RefreshError::Misconfigured { .. } | RefreshError::Unsendable { .. } => {
            Answer::Attention("misconfigured_client")
        }
        RefreshError::Later { after, why } => Answer::Later { why: word(&why), after },
    }
}

fn word(why: &Why) -> &'static str {
    match why {
        Why::NoAnswer(_) => "no_answer",
        Why::Status(_) | Why::Code { .. } => "upstream",
        Why::NotJson(_) => "not_json",
        Why::NoToken(_) => "no_token",
    }
}

async fn store(authority: &Authority, ready: &Ready, answer: &Answer) -> Result<Outcome, StoreError> {
    let mut tries = 0;
    loop {
        let (vault, answer) = (Arc::clone(&authority.desk.vault), answer.clone());
        let (id, by) = (ready.id.clone(), ready.by.clone());
        let kept = authority.write_async(move |work| keep(work, &vault, &id, &by, &answer, chance())).await;
        match kept {
            Err(error) if tries < WRITES => {
                if tries == 0 {
                    tracing::warn!(connection = %ready.id, %error, "cannot keep what a refresh gave: trying on");
                }
                tries += 1;
                authority.desk.clock.sleep(Duration::from_secs(1)).await;
            }
            kept => return kept,
        }
    }
}

/// Has the fresh tokens of a connection that is no more taken back at their issuer.
async fn give_back(authority: &Authority, issuer: &Arc<dyn Issuer>, ready: &Ready, tokens: &Tokens) {
    let both = [(tokens.refresh_token.as_ref(), TokenHint::Refresh), (Some(&tokens.access_token), TokenHint::Access)];
    let mut returned = true;
    for (token, hint) in both.into_iter().filter_map(|(token, hint)| Some((token?, hint))) {
        let mut tries = 0;
        returned &= loop {
            match issuer.revoke(&ready.endpoint, token, hint).await {
                Ok(()) => break true,
                Err(error) if tries == RETURNS => {
                    tracing::warn!(connection = %ready.id, %error, "fresh tokens of a revoked connection live on");
                    break false;
                }
                Err(_) => tries += 1,
            }
            authority.desk.clock.sleep(Duration::from_secs(1)).await;
        };
    }
    let record = Record::new("connection.refresh_returned").connection(&ready.id, &ready.name);
    let record = record.with("upstream", returned);
    let said = authority.write_async(move |work| {
        work.record(record);
        Ok::<_, StoreError>(())
    });
    if let Err(error) = said.await {
        tracing::warn!(%error, "cannot record that fresh tokens were given back");
    }
}
