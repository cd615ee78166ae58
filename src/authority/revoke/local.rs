//! The transaction: states, claims, grants and keys, and what the audit and the sidecars are told.

use super::outcome::EndedAgent;
use super::upstream::can_be_told;
use super::{Ended, RevokeError, Revoked, Target};
use crate::authority::access::Scope;
use crate::authority::event::News;
use crate::authority::life::step;
use crate::authority::record::Record;
use crate::authority::recorder::Work;
use crate::authority::rows::{AgentRow, ConnectionRow, KeyRow, State};
use crate::authority::store::StoreError;
use crate::authority::vault::Vault;
use crate::model::Fields;

/// Connections that are read and written at once.
const PAGE: i64 = 500;

pub(super) fn revoke(work: &mut Work<'_>, vault: &Vault, target: &Target) -> Result<Revoked, RevokeError> {
    match target {
        Target::Connection(which) => one(work, vault, which),
        Target::Agent(name) => Ok(Revoked { agent: Some(end_agent(work, name)?), ..Revoked::default() }),
        Target::Provider(name) => of_provider(work, vault, name),
        Target::All => all(work, vault),
    }
}

fn one(work: &mut Work<'_>, vault: &Vault, which: &str) -> Result<Revoked, RevokeError> {
    let mut row = work.lock(which)?.ok_or_else(|| RevokeError::NoConnection(which.to_owned()))?;
    if row.state == State::Revoked {
        return Ok(Revoked { before: vec![Ended::of(&row)?], ..Revoked::default() });
    }
    end(work, vault, &mut row, "connection")?;
    row.put(work.tx())?;
    Ok(Revoked { connections: vec![Ended::of(&row)?], ..Revoked::default() })
}

fn of_provider(work: &mut Work<'_>, vault: &Vault, name: &str) -> Result<Revoked, RevokeError> {
    // Whoever reads the events drops all of them at the first one.
    work.announce(News::new("provider.revoked").provider(name));
    let revoked = each(work, vault, Some(name))?;
    if revoked.connections.is_empty() && revoked.before.is_empty() {
        return Err(RevokeError::NoneOfProvider(name.to_owned()));
    }
    let count = revoked.connections.len();
    work.record(Record::new("provider.revoked").with("provider", name).with("connections", count));
    Ok(revoked)
}

fn all(work: &mut Work<'_>, vault: &Vault) -> Result<Revoked, RevokeError> {
    work.announce(News::new("all.revoked"));
    let revoked = each(work, vault, None)?;
    work.record(Record::new("all.revoked").with("connections", revoked.connections.len()));
    Ok(revoked)
}

/// Every connection of the workspace, or of one provider in it, in the order of ids: whoever
/// revokes the same at the same time waits, and meets no deadlock.
fn each(work: &mut Work<'_>, vault: &Vault, provider: Option<&str>) -> Result<Revoked, RevokeError> {
    let mut revoked = Revoked::default();
    let (mut after, workspace) = (String::new(), work.workspace.clone());
    loop {
        let rows = ConnectionRow::lock_page(work.tx(), workspace.as_str(), provider, &after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(revoked) };
        after.clone_from(&last.id);
        let (before, mut now): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.state == State::Revoked);
        for row in &mut now {
            end(work, vault, row, if provider.is_some() { "provider" } else { "all" })?;
            revoked.connections.push(Ended::of(row)?);
        }
        ConnectionRow::put_all(work.tx(), &now)?;
        for row in &before {
            revoked.before.push(Ended::of(row)?);
        }
    }
}

/// What a row is from now on. A refresh that is under way has lost its claim, and finds that out
/// when it wants to keep what it got.
fn end(work: &mut Work<'_>, vault: &Vault, row: &mut ConnectionRow, by: &str) -> Result<(), RevokeError> {
    let had_some = row.state != State::Pending && row.field_names != NO_NAMES;
    let told = had_some && can_be_told(row);
    step(work, row, State::Revoked, Some(by))?;
    (row.claimed_by, row.claimed_until) = (None, None);
    (row.revocation_tries, row.revocation_at) = (0, Some(work.now));
    let word = match (had_some, told) {
        (true, true) => "pending",
        (true, false) => "local",
        (false, _) => "none",
    };
    row.revocation = Some(word.to_owned());
    if !told {
        let renewable = row.field_names.contains("\"refresh_token\"");
        wipe(vault, row, renewable)?;
        work.record(Record::new("connection.revocation").connection(&row.id, &row.name).with("revocation", word));
    }
    Ok(())
}

/// No names of fields, as a row has them.
const NO_NAMES: &str = "[]";

/// Takes the credentials out of a row: nobody needs them any more. What can still be renewed at
/// the provider has no end that is known.
pub(super) fn wipe(vault: &Vault, row: &mut ConnectionRow, renewable: bool) -> Result<(), RevokeError> {
    NO_NAMES.clone_into(&mut row.field_names);
    if renewable {
        row.expires_at = None;
    }
    let name = row.name.clone();
    vault.seal(row, &Fields::new()).map_err(|error| RevokeError::Wipe { name, why: error.to_string() })
}

/// Ends what an agent may borrow. The name of one that nobody added may stand in a policy or in a
/// token all the same: it is known as revoked from now on.
pub(in crate::authority) fn end_agent(work: &mut Work<'_>, name: &str) -> Result<EndedAgent, StoreError> {
    let (workspace, now) = (work.workspace.as_str(), work.now);
    let found = AgentRow::lock(work.tx(), workspace, name)?;
    let before = found.as_ref().is_some_and(|agent| agent.revoked_at.is_some());
    if found.is_none() {
        AgentRow::add(work.tx(), workspace, name, now)?;
    }
    let sql = "DELETE FROM grants WHERE workspace = $1 AND agent = $2";
    let grants = work.execute(sql, &[workspace.into(), name.into()])?;
    AgentRow::revoke(work.tx(), workspace, name, now)?;
    let keys = end_keys(work, name)?;
    if !before || grants > 0 || keys > 0 {
        let record = Record::new("agent.revoked").with("agent", name);
        work.record(record.with("grants", grants).with("keys", keys));
        work.announce(News::new("agent.revoked").agent(name));
    }
    Ok(EndedAgent { name: name.to_owned(), before, unknown: found.is_none(), grants, keys })
}

/// Revokes the keys that speak for this agent and for nobody else. Those of several go on for the
/// others: what they ask for this one is refused.
fn end_keys(work: &mut Work<'_>, agent: &str) -> Result<u64, StoreError> {
    let (workspace, now) = (work.workspace.as_str(), work.now);
    let mut ended = 0;
    for key in KeyRow::page(work.tx(), workspace, "", i64::MAX)? {
        let alone = match &key.scope {
            Scope::Sidecar { agents } => agents.len() == 1 && agents.contains(agent),
            Scope::Agent { agent: own } => own == agent,
            Scope::Admin | Scope::Lease { .. } | Scope::App => false,
        };
        if alone && KeyRow::revoke(work.tx(), workspace, &key.id, now)? {
            let record = Record::new("key.revoked").with("key", key.id.as_str()).with("name", key.name.as_str());
            work.record(record.with("agent", agent));
            ended += 1;
        }
    }
    Ok(ended)
}
