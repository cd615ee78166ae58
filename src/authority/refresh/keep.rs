//! What becomes of a row when its issuer has answered. Everything is written under the row's lock, and
//! only by who has its claim still.

use std::sync::Arc;
use std::time::Duration;

use super::claim::REFRESH_TOKEN;
use super::{Outcome, schedule, unfit};
use crate::authority::connections::seconds;
use crate::authority::contract::names_json;
use crate::authority::event::News;
use crate::authority::life::step;
use crate::authority::oauth2::Tokens;
use crate::authority::record::Record;
use crate::authority::recorder::Work;
use crate::authority::rows::{ConnectionRow, State};
use crate::authority::store::StoreError;
use crate::authority::vault::Vault;
use crate::model::{Fields, Secret};

/// What an issuer's answer comes to.
#[derive(Clone)]
pub(super) enum Answer {
    /// New tokens.
    Tokens(Arc<Tokens>),
    /// A person has to look: why, as a word of ours.
    Attention(&'static str),
    /// To be asked again: why, as a word of ours, and what the endpoint asked for.
    Later { why: &'static str, after: Option<Duration> },
}

/// Writes what an answer comes to; `by` is the claim under which it was asked for.
pub(super) fn keep(
    work: &mut Work<'_>,
    vault: &Vault,
    id: &str,
    by: &str,
    answer: &Answer,
    chance: u32,
) -> Result<Outcome, StoreError> {
    let Some(mut row) = work.lock(id)?.filter(|row| row.id == id) else { return Ok(Outcome::Orphaned) };
    if row.state == State::Revoked {
        return Ok(Outcome::Orphaned);
    }
    if row.claimed_by.as_deref() != Some(by) {
        // It has other credentials by now, or somebody else renews it.
        return Ok(Outcome::Overtaken);
    }
    (row.claimed_by, row.claimed_until) = (None, None);
    let outcome = match answer {
        Answer::Tokens(tokens) => renewed(work, vault, &mut row, tokens, chance)?,
        Answer::Attention(why) => attention(work, &mut row, why)?,
        Answer::Later { why, after } => later(work, &mut row, why, *after, chance),
    };
    row.put(work.tx())?;
    Ok(outcome)
}

fn renewed(
    work: &mut Work<'_>,
    vault: &Vault,
    row: &mut ConnectionRow,
    tokens: &Tokens,
    chance: u32,
) -> Result<Outcome, StoreError> {
    let damaged = |why: crate::authority::vault::VaultError| StoreError::damaged("connection", &row.name, why);
    let mut fields = vault.open(row).map_err(damaged)?;
    merge(&mut fields, tokens);
    row.version += 1;
    row.updated_at = work.now;
    row.expires_at = tokens.expires_at.map(seconds);
    row.refresh_tries = 0;
    // What waits for a person keeps its tokens, and is not renewed until that person has come.
    row.refresh_at = match row.state {
        State::Active => row.expires_at.map(|end| schedule::due(work.now, end, chance)),
        _ => None,
    };
    row.field_names = names_json(&fields);
    vault.seal(row, &fields).map_err(|why| StoreError::damaged("connection", &row.name, why))?;
    let record = Record::new("connection.refreshed").connection(&row.id, &row.name).with("version", row.version);
    work.record(record.with("rotated", tokens.refresh_token.is_some()));
    work.announce(News::new("connection.changed").connection(&row.id, &row.name));
    Ok(Outcome::Refreshed(Box::new(row.clone())))
}

/// Puts new tokens in the place of the old ones. The old refresh token stays where no new one came.
fn merge(fields: &mut Fields, tokens: &Tokens) {
    fields.insert("access_token", tokens.access_token.duplicate());
    if let Some(next) = &tokens.refresh_token {
        fields.insert(REFRESH_TOKEN, next.duplicate());
    }
    let described = [("token_type", &tokens.token_type), ("scope", &tokens.scope)];
    for (name, text) in described.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
        fields.insert(name, Secret::new(text.as_bytes()));
    }
    // What is said of the end counts for the tokens that it came with alone.
    fields.remove("expires_at");
    fields.remove("expires_in");
    if let Some(life) = tokens.expires_in {
        fields.insert("expires_in", Secret::new(life.as_secs().to_string().as_bytes()));
    }
}

fn attention(work: &mut Work<'_>, row: &mut ConnectionRow, why: &'static str) -> Result<Outcome, StoreError> {
    if row.state == State::Active {
        step(work, row, State::Attention, Some(why)).map_err(|error| unfit(row, &error))?;
    }
    Ok(Outcome::Attention(why))
}

fn later(
    work: &mut Work<'_>,
    row: &mut ConnectionRow,
    why: &'static str,
    after: Option<Duration>,
    chance: u32,
) -> Outcome {
    row.refresh_tries += 1;
    // One that nobody renews but when asked to stays so.
    row.refresh_at = row.refresh_at.map(|_| schedule::again(work.now, row.refresh_tries, after, chance));
    let record = Record::new("connection.refresh_failed").connection(&row.id, &row.name).with("why", why);
    work.record(record.with("tries", row.refresh_tries));
    Outcome::Later
}
