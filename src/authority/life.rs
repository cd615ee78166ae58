//! The life of a connection: which state may follow which. Whoever changes one goes through
//! [`step`], so that every change is recorded with where it came from, and sidecars hear of it.
//!
//! `revoked` is for good. `expired` and `failed` end what was lent; new credentials begin again.
//! `attention` stays `attention` past the end of what could be renewed: a person has to look.

use super::event::News;
use super::record::Record;
use super::recorder::Work;
use super::rows::{ConnectionRow, State};

/// A change of state that there is none of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the connection {name} is {}, and cannot become {}", from.as_str(), to.as_str())]
pub struct NoSuchEdge {
    /// The connection.
    pub name: String,
    /// What it is.
    pub from: State,
    /// What it was to become.
    pub to: State,
}

/// What may follow a state.
const fn after(state: State) -> &'static [State] {
    match state {
        State::Pending => &[State::Active, State::Failed, State::Expired, State::Revoked],
        State::Active => &[State::Attention, State::Expired, State::Revoked],
        State::Attention => &[State::Active, State::Expired, State::Revoked],
        State::Expired | State::Failed => &[State::Active, State::Revoked],
        State::Revoked => &[],
    }
}

/// Moves a connection to another state, records it, and tells sidecars. `why` is a word of ours.
/// What is no longer active is not renewed. The caller writes the row.
pub(super) fn step(
    work: &mut Work<'_>,
    row: &mut ConnectionRow,
    to: State,
    why: Option<&str>,
) -> Result<(), NoSuchEdge> {
    let from = row.state;
    if !after(from).contains(&to) {
        return Err(NoSuchEdge { name: row.name.clone(), from, to });
    }
    (row.state, row.why, row.updated_at) = (to, why.map(str::to_owned), work.now);
    if to != State::Active {
        (row.refresh_at, row.refresh_tries) = (None, 0);
    }
    let record = Record::new(recorded(to)).connection(&row.id, &row.name).with("from", from.as_str());
    work.record_in(row.workspace.clone(), if let Some(why) = why { record.with("why", why) } else { record });
    let kind = if to == State::Revoked { "connection.revoked" } else { "connection.changed" };
    work.announce_in(row.workspace.clone(), News::new(kind).connection(&row.id, &row.name));
    Ok(())
}

const fn recorded(to: State) -> &'static str {
    match to {
        State::Pending => "connection.pending",
        State::Failed => "connection.failed",
        State::Active => "connection.active",
        State::Attention => "connection.attention",
        State::Revoked => "connection.revoked",
        State::Expired => "connection.expired",
    }
}

#[cfg(test)]
mod tests;
