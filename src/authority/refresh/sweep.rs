//! Ends what has run out: consent that nobody finished, and credentials that nothing renews.

use super::unfit;
use crate::authority::Authority;
use crate::authority::life::step;
use crate::authority::recorder::Work;
use crate::authority::rows::{ConnectionRow, State};
use crate::authority::store::{StoreError, Transaction, Value};
use crate::model::Workspace;

/// How long somebody has to finish what was begun, in seconds: as long as its signed state is good.
const UNFINISHED: i64 = 600;

/// Connections that are ended at once.
const AT_ONCE: i64 = 256;

/// Ends them; answers how many. It looks before it takes the right to write.
pub(super) async fn sweep(authority: &Authority) -> Result<usize, StoreError> {
    let (reader, now) = (authority.clone(), authority.now());
    let looked = tokio::task::spawn_blocking(move || reader.read(|tx| ended(tx, now))).await;
    let ended = looked.map_err(|_| StoreError::Panicked)??;
    let count = ended.len();
    for (workspace, id) in ended {
        let Ok(workspace) = Workspace::parse(&workspace) else { continue };
        authority.within(workspace).write_async(move |work| end(work, &id)).await?;
    }
    Ok(count)
}

/// Workspace and id of those that ran out. What waits for a person and could be renewed once more
/// goes on waiting.
fn ended(tx: &mut dyn Transaction, now: i64) -> Result<Vec<(String, String)>, StoreError> {
    let pending = "SELECT workspace, id FROM connections WHERE state = 'pending' AND created_at <= $1 LIMIT $2";
    let active = "SELECT workspace, id FROM connections
        WHERE state = 'active' AND expires_at <= $1 AND refresh_at IS NULL LIMIT $2";
    let waiting = "SELECT workspace, id FROM connections
        WHERE state = 'attention' AND expires_at <= $1 AND field_names NOT LIKE '%\"refresh_token\"%' LIMIT $2";
    let mut found = Vec::new();
    for (sql, moment) in [(pending, now - UNFINISHED), (active, now), (waiting, now)] {
        let values: [Value; 2] = [moment.into(), AT_ONCE.into()];
        for row in tx.query(sql, &values)? {
            found.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
        }
    }
    Ok(found)
}

/// Ends one, if that is still so.
fn end(work: &mut Work<'_>, id: &str) -> Result<(), StoreError> {
    let Some(mut row) = work.lock(id)?.filter(|row| row.id == id) else { return Ok(()) };
    let Some(why) = run_out(&row, work.now) else { return Ok(()) };
    step(work, &mut row, State::Expired, Some(why)).map_err(|error| unfit(&row, &error))?;
    row.put(work.tx())
}

fn run_out(row: &ConnectionRow, now: i64) -> Option<&'static str> {
    let ended = row.expires_at.is_some_and(|end| end <= now);
    match row.state {
        State::Pending if row.created_at <= now - UNFINISHED => Some("unfinished"),
        State::Active if ended && row.refresh_at.is_none() => Some("ended"),
        State::Attention if ended && !row.field_names.contains("\"refresh_token\"") => Some("ended"),
        _ => None,
    }
}
