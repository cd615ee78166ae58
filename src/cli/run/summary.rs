//! What was refused while CMD ran: counted by code, rule and destination, said at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::model::{Code, Refusal};

/// Lines that are printed at most.
const LINES: usize = 10;

/// Kinds that are told apart at most: an agent chooses destinations, and must not fill memory.
const KINDS: usize = 1024;

/// Counts refusals from any thread.
#[derive(Default)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    kinds: BTreeMap<(Code, Option<String>, String), u64>,
    total: u64,
}

impl Tally {
    /// Counts one.
    pub(super) fn add(&self, refusal: &Refusal, destination: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total += 1;
        let kind = (refusal.code(), refusal.rule().map(str::to_owned), destination.to_owned());
        if counts.kinds.len() < KINDS || counts.kinds.contains_key(&kind) {
            *counts.kinds.entry(kind).or_default() += 1;
        }
    }

    /// The lines for a person, the most frequent kind first; nothing where nothing was refused.
    pub(super) fn text(&self) -> Option<String> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total == 0 {
            return None;
        }
        let mut kinds: Vec<_> = counts.kinds.iter().collect();
        kinds.sort_by(|(one, a), (other, b)| b.cmp(a).then_with(|| one.cmp(other)));
        let noun = if counts.total == 1 { "request was" } else { "requests were" };
        let mut text = format!("nexus-sidecar: {} {noun} refused", counts.total);
        let shown = if kinds.len() > LINES { LINES - 1 } else { LINES };
        for ((code, rule, destination), count) in kinds.iter().take(shown) {
            let _ = write!(text, "\n  {count:>4} x {} {}", code.as_str(), printable(destination));
            if let Some(rule) = rule {
                let _ = write!(text, " (rule {})", printable(rule));
            }
        }
        let said: u64 = kinds.iter().take(shown).map(|(_, count)| **count).sum();
        if said < counts.total {
            let _ = write!(text, "\n  {:>4} x others, in the audit", counts.total - said);
        }
        Some(text)
    }
}

/// Text that an agent chose, without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().take(120).map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> Refusal {
        Refusal::new(Code::PolicyDenied, "no rule allows it")
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(Tally::default().text(), None);
    }

    #[test]
    fn kinds_are_counted_and_the_most_frequent_stands_first() {
        let tally = Tally::default();
        tally.add(&denied(), "a.test:443");
        tally.add(&denied().with_rule("no-deletes"), "b.test:443");
        tally.add(&denied().with_rule("no-deletes"), "b.test:443");
        let text = tally.text().unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "nexus-sidecar: 3 requests were refused",
                "     2 x POLICY_DENIED b.test:443 (rule no-deletes)",
                "     1 x POLICY_DENIED a.test:443",
            ]
        );
    }

    #[test]
    fn there_are_ten_lines_at_most_and_every_refusal_is_counted() {
        let tally = Tally::default();
        for number in 0..2000 {
            tally.add(&denied(), &format!("h{number}.test:443"));
        }
        let text = tally.text().unwrap();
        assert_eq!(text.lines().count(), 1 + LINES);
        assert!(text.ends_with("1991 x others, in the audit"), "{text}");
        let tally = Tally::default();
        (0..10).for_each(|number| tally.add(&denied(), &format!("h{number}.test:443")));
        assert!(!tally.text().unwrap().contains("others"));
    }

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        let tally = Tally::default();
        tally.add(&denied(), "\u{1b}[2Jx\u{9b}31m");
        assert!(!tally.text().unwrap().contains(['\u{1b}', '\u{9b}']));
    }
}
