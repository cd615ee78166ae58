//! Compares what lies in a store with itself and with what its writers said.

use std::collections::{BTreeMap, BTreeSet};

use crate::Failure;
use crate::ledger::{Deed, Ledger};
use crate::place::Row;

/// What is told of what is wrong, at most.
const MOST: usize = 8;

/// What lies in a store, counted.
#[derive(Default)]
struct Found {
    /// Lines of the audit, by event and subject.
    audit: BTreeMap<Deed, u64>,
    /// Events, by kind and subject.
    events: BTreeMap<Deed, u64>,
    /// Name to state and version.
    connections: BTreeMap<String, (String, u64)>,
    /// Name to state.
    keys: BTreeMap<String, String>,
    agents: BTreeMap<String, String>,
    /// Connection and agent.
    grants: BTreeSet<(String, String)>,
    numbers: Vec<String>,
    tip: String,
}

/// Every acknowledged write is there, none is half done, and events are numbered without a gap.
pub(crate) fn check(rows: Vec<Row>, ledger: &Ledger) -> Result<(), Failure> {
    let found = Found::of(rows)?;
    let mut wrong = Vec::new();
    found.has_what_was_said(ledger, &mut wrong);
    found.numbers_events_without_gap(&mut wrong);
    let subjects: BTreeSet<&String> =
        found.audit.keys().chain(found.events.keys()).map(|(_, subject)| subject).collect();
    for subject in subjects {
        found.is_whole(subject, &mut wrong);
    }
    found.has_nothing_unsaid(&mut wrong);
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(MOST);
    wrong.truncate(MOST);
    Err(format!("{}\n(and {more} more)", wrong.join("\n")).into())
}

impl Found {
    fn of(rows: Vec<Row>) -> Result<Self, Failure> {
        let mut found = Self::default();
        for [what, a, b, c] in rows {
            match what.as_str() {
                "audit" => *found.audit.entry((a, subject(&b)?)).or_default() += 1,
                "event" => *found.events.entry((a, b)).or_default() += 1,
                "numbers" => found.numbers = vec![a, b, c],
                "tip" => found.tip = a,
                "connection" => drop(found.connections.insert(a, (b, c.parse()?))),
                "key" => drop(found.keys.insert(a, b)),
                "agent" => drop(found.agents.insert(a, b)),
                "grant" => drop(found.grants.insert((a, b))),
                _ => return Err(format!("a row of what is not known: {what}").into()),
            }
        }
        Ok(found)
    }

    fn audited(&self, event: &str, subject: &str) -> u64 {
        self.audit.get(&(event.to_owned(), subject.to_owned())).copied().unwrap_or_default()
    }

    fn told(&self, kind: &str, subject: &str) -> u64 {
        self.events.get(&(kind.to_owned(), subject.to_owned())).copied().unwrap_or_default()
    }

    fn has_what_was_said(&self, ledger: &Ledger, wrong: &mut Vec<String>) {
        for (deed, times) in ledger.deeds() {
            let there = self.audited(&deed.0, &deed.1);
            if there < times.sure || there > times.sure + times.open {
                let (event, subject) = deed;
                wrong.push(format!(
                    "{event} of {subject}: acknowledged {} times, begun {} more, in the audit {there}",
                    times.sure, times.open
                ));
            }
        }
        for (deed, there) in &self.audit {
            // The provider's side of a revocation is said beside it.
            let (times, aside) = (ledger.times(deed), deed.0 == "connection.revocation");
            if times.sure + times.open == 0 && !aside {
                wrong.push(format!("{} of {}: {there} times in the audit, and nobody did it", deed.0, deed.1));
            }
        }
    }

    fn numbers_events_without_gap(&self, wrong: &mut Vec<String>) {
        let [count, first, last] = self.numbers.as_slice() else { return };
        let tip = if self.tip.is_empty() { "0" } else { &self.tip };
        if count != last || first != "1" || last != tip {
            wrong.push(format!("{count} events from {first} to {last}, and the workspace counts {tip}"));
        }
    }

    /// Rows, events and the audit say the same about whatever has this name.
    fn is_whole(&self, name: &str, wrong: &mut Vec<String>) {
        let audited = |event| self.audited(event, name);
        let mut agree = |what: &str, one: u64, other: u64| {
            if one != other {
                wrong.push(format!("{name}: by its rows {what} {one}, by the audit {other}"));
            }
        };
        let (added, set, deleted) =
            (audited("connection.added"), audited("connection.set"), audited("connection.deleted"));
        let row = self.connections.get(name);
        agree("connections", row.is_some().into(), added - deleted.min(added));
        if let Some((state, version)) = row {
            agree("its version is", *version, added + set);
            agree("revoked", (state == "revoked").into(), audited("connection.revoked"));
        }
        agree("told of changes", self.told("connection.changed", name), added + set);
        agree("told of its revocation", self.told("connection.revoked", name), audited("connection.revoked"));
        agree("told of its deletion", self.told("connection.deleted", name), deleted);
        let key = self.keys.get(name);
        agree("keys", key.is_some().into(), audited("key.added"));
        agree("revoked keys", key.is_some_and(|key| key == "revoked").into(), audited("key.revoked"));
        let agent = self.agents.get(name);
        agree("agents", agent.is_some().into(), audited("agent.added"));
        agree("revoked agents", agent.is_some_and(|agent| agent == "revoked").into(), audited("agent.revoked"));
        agree("told of the agent", self.told("agent.revoked", name), audited("agent.revoked"));
        let (granted, taken) = (audited("grant.added"), audited("grant.removed"));
        agree("told of grants", self.told("grant.changed", name), granted + taken);
        let ended = taken + deleted + audited("agent.revoked");
        let grant = self.grants.contains(&(name.to_owned(), name.to_owned()));
        agree("grants", grant.into(), if ended > 0 { 0 } else { granted });
    }

    /// No row whose making nobody recorded.
    fn has_nothing_unsaid(&self, wrong: &mut Vec<String>) {
        let made = [
            ("connection.added", self.connections.keys().collect::<Vec<_>>()),
            ("key.added", self.keys.keys().collect()),
            ("agent.added", self.agents.keys().collect()),
            ("grant.added", self.grants.iter().map(|(connection, _)| connection).collect()),
        ];
        for (event, names) in made {
            let unsaid = names.into_iter().filter(|name| self.audited(event, name) == 0);
            wrong.extend(unsaid.map(|name| format!("{name}: a row without {event} in the audit")));
        }
    }
}

/// Whom a line of the audit is about.
fn subject(body: &str) -> Result<String, Failure> {
    let body: serde_json::Value = serde_json::from_str(body)?;
    let name = body["name"].as_str().or(body["agent"].as_str());
    Ok(name.ok_or_else(|| format!("a line about nothing: {body}"))?.to_owned())
}
