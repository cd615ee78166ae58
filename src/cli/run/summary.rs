//! What was refused while CMD ran: counted by code, rule and destination, said at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, getpgrp, test_kill_process_group};
use rustix::termios::tcgetpgrp;

use crate::cli::output::safe;
use crate::model::{Code, ConnectionName, TraceId};
use crate::proxy::Refused;

/// Lines that are printed at most.
const LINES: usize = 10;

/// Kinds whose `why` is spelt out.
const NAMED: usize = 3;

/// Digits of a trace id that are enough to find it again.
const SHORT: usize = 12;

/// Kinds that are told apart at most: an agent chooses destinations, and must not fill memory.
const KINDS: usize = 1024;

/// Counts refusals from any thread.
#[derive(Default)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// How many of a kind, and the last one's trace.
    kinds: BTreeMap<(Code, Option<String>, String), (u64, TraceId)>,
    total: u64,
    /// Answers of 401 to what a connection sent, by connection.
    unaccepted: BTreeMap<ConnectionName, (u64, String)>,
}

impl Tally {
    /// Counts one.
    pub(super) fn add(&self, refused: Refused<'_>, destination: &str, trace: TraceId) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = match refused {
            Refused::Here(refusal) => refusal,
            Refused::There(connection) => {
                let (count, last) = counts.unaccepted.entry(connection.clone()).or_default();
                *count += 1;
                destination.clone_into(last);
                return;
            }
        };
        counts.total += 1;
        let kind = (refusal.code(), refusal.rule().map(str::to_owned), destination.to_owned());
        if counts.kinds.len() < KINDS || counts.kinds.contains_key(&kind) {
            let count = counts.kinds.entry(kind).or_insert((0, trace));
            *count = (count.0 + 1, trace);
        }
    }

    /// The lines for a person, the most frequent kind first; nothing where nothing was refused.
    /// `flags` are those that `why` needs.
    pub(super) fn text(&self, flags: &str) -> Option<String> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let parts: Vec<String> = counts.refused(flags).into_iter().chain(counts.unaccepted()).collect();
        (!parts.is_empty()).then(|| parts.join("\n"))
    }
}

impl Counts {
    /// What a person does about credentials that a service does not take.
    fn unaccepted(&self) -> Option<String> {
        let line = |(connection, (count, last)): (&ConnectionName, &(u64, String))| {
            format!(
                "nexus-sidecar: 401 to the credential of the connection {connection}, {count} x, last at {}: it is \
                 wrong, has ended, or may not do this\n  give it a new one: nexus-sidecar connection set {connection}",
                printable(last)
            )
        };
        let lines: Vec<String> = self.unaccepted.iter().map(line).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    fn refused(&self, flags: &str) -> Option<String> {
        let counts = self;
        if counts.total == 0 {
            return None;
        }
        let mut kinds: Vec<_> = counts.kinds.iter().collect();
        kinds.sort_by(|(one, (a, _)), (other, (b, _))| b.cmp(a).then_with(|| one.cmp(other)));
        let noun = if counts.total == 1 { "request was" } else { "requests were" };
        let mut text = format!("nexus-sidecar: {} {noun} refused", counts.total);
        let shown = if kinds.len() > LINES { LINES - 1 } else { LINES };
        for ((code, rule, destination), (count, _)) in kinds.iter().take(shown) {
            let _ = write!(text, "\n  {count:>4} x {} {}", code.as_str(), printable(destination));
            if let Some(rule) = rule {
                let _ = write!(text, " (rule {})", printable(rule));
            }
        }
        let said: u64 = kinds.iter().take(shown).map(|(_, (count, _))| count).sum();
        if said < counts.total {
            let _ = write!(text, "\n  {:>4} x others: nexus-sidecar audit query --refused", counts.total - said);
        }
        for (index, (_, (_, trace))) in kinds.iter().take(NAMED).enumerate() {
            let trace = trace.to_string();
            let lead = if index == 0 { "why, and what to do:" } else { "" };
            let _ = write!(text, "\n  {lead:<20} nexus-sidecar why {}{flags}", &trace[..SHORT]);
        }
        Some(text)
    }
}

/// Whose the terminal behind standard error was before CMD started.
pub(super) struct Terminal {
    before: Option<Pid>,
}

impl Terminal {
    /// Looks at it.
    pub(super) fn now() -> Self {
        Self { before: owner() }
    }

    /// Tells whether it belongs to what CMD left running: a group that is neither ours nor the one
    /// that had it before (a shell's, of a run in its background), and that is alive.
    pub(super) fn is_taken(&self) -> bool {
        let taken = |group: &Pid| *group != getpgrp() && Some(*group) != self.before;
        owner().filter(taken).is_some_and(|group| test_kill_process_group(group).is_ok())
    }
}

/// The group that the keys of the terminal behind standard error reach; `None` where it is none
/// of ours, or no terminal.
fn owner() -> Option<Pid> {
    tcgetpgrp(std::io::stderr()).ok()
}

/// The beginning of a text that an agent chose, without what a terminal would obey.
fn printable(text: &str) -> String {
    safe(&text.chars().take(120).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Refusal;

    fn trace(byte: u8) -> TraceId {
        TraceId::from_random([byte; 16])
    }

    fn denied() -> Refusal {
        Refusal::new(Code::PolicyDenied, "no rule allows it")
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(Tally::default().text(""), None);
    }

    #[test]
    fn kinds_are_counted_and_the_most_frequent_stands_first() {
        let tally = Tally::default();
        tally.add(Refused::Here(&denied()), "a.test:443", trace(1));
        tally.add(Refused::Here(&denied().with_rule("no-deletes")), "b.test:443", trace(2));
        tally.add(Refused::Here(&denied().with_rule("no-deletes")), "b.test:443", trace(2));
        let text = tally.text(" --policy p.yaml").unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "nexus-sidecar: 3 requests were refused",
                "     2 x POLICY_DENIED b.test:443 (rule no-deletes)",
                "     1 x POLICY_DENIED a.test:443",
                "  why, and what to do: nexus-sidecar why 020202020202 --policy p.yaml",
                "                       nexus-sidecar why 010101010101 --policy p.yaml",
            ]
        );
    }

    #[test]
    fn there_are_ten_lines_at_most_and_every_refusal_is_counted() {
        let tally = Tally::default();
        for number in 0..2000 {
            tally.add(Refused::Here(&denied()), &format!("h{number}.test:443"), trace(3));
        }
        let text = tally.text(" --policy p.yaml").unwrap();
        assert_eq!(text.lines().count(), 1 + LINES + NAMED);
        assert!(text.contains("1991 x others: nexus-sidecar audit query --refused\n"), "{text}");
        let tally = Tally::default();
        (0..10).for_each(|number| tally.add(Refused::Here(&denied()), &format!("h{number}.test:443"), trace(3)));
        assert!(!tally.text(" --policy p.yaml").unwrap().contains("others"));
    }

    #[test]
    fn a_credential_that_a_service_does_not_take_is_named_with_the_next_step() {
        let (tally, name) = (Tally::default(), ConnectionName::parse("api").unwrap());
        (0..2).for_each(|_| tally.add(Refused::There(&name), "https://a.test/user", trace(5)));
        let text = tally.text("").unwrap();
        assert!(text.starts_with("nexus-sidecar: 401 to the credential of the connection api, 2 x"), "{text}");
        assert!(text.contains("https://a.test/user") && text.ends_with("nexus-sidecar connection set api"), "{text}");
    }

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        let tally = Tally::default();
        tally.add(Refused::Here(&denied()), "\u{1b}[2Jx\u{9b}31m\u{202e}", trace(4));
        assert!(!tally.text(" --policy p.yaml").unwrap().contains(['\u{1b}', '\u{9b}', '\u{202e}']));
    }
}
