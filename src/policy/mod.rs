//! Decides. Pure and synchronous: document -> [`Policy::compile`] -> [`Policy::decide`].
//!
//! The first rule that matches decides, each rule tried against the target as that rule would
//! send it; what no rule allows is refused. A rule that allows matches exactly, one that denies
//! matches whatever a lenient server could read. Nothing here waits, reads a clock or draws
//! random bytes. Grants and permits are made only here: start with `decide.rs` and `rule.rs`.

mod compile;
mod conflicts;
mod connect;
mod decide;
mod explain;
mod glob;
mod hypothetical;
mod index;
mod item;
mod provider;
mod question;
mod refuse;
mod review;
mod rule;
mod suggest;
mod survey;
mod test;
mod verdict;

#[cfg(test)]
mod for_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use explain::{Explanation, Tried, TriedVerdict};
pub use hypothetical::{NOBODY, Outcome, UrlError, request};
pub use provider::{USED, and_sets};
pub use question::Question;
pub use review::{Asking, Finding, Past, Review};
pub use suggest::{BLANK, Place, Suggestion, with_rule};
pub use survey::Surveyed;
pub use test::TestResult;
pub use verdict::{AtConnect, Decision, Grant, Permit, Stubbed, Terms, Verdict};

use crate::config::{PolicyTest, Provider, SetName};
use crate::model::ConnectionName;

/// Rules that were checked together, ready to decide.
#[derive(Debug)]
pub struct Policy {
    rules: index::Rules,
    version: Arc<str>,
    /// Calls by which providers hand out or register credentials.
    minting: index::Rules,
    /// What allows hosts that no rule names, under `default: tunnel`.
    default_tunnel: Option<rule::Rule>,
    tests: Vec<PolicyTest>,
}

impl Policy {
    /// The version: the first 16 hex digits of a SHA-256 over the documents' texts; behind the
    /// Authority's number and a colon where it is the Authority's.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// How many rules there are.
    pub fn rule_count(&self) -> usize {
        self.rules.all().len()
    }

    /// Tells whether any rule borrows a connection.
    pub fn borrows(&self) -> bool {
        self.rules.all().iter().any(|rule| matches!(rule.effect, rule::Effect::Inject { .. }))
    }

    /// Every connection that a rule borrows, with the provider that a permission set names for
    /// it, or whose hosts they are. In the order of the rules, each once.
    pub fn connections(&self) -> Vec<(&ConnectionName, Option<&'static Provider>)> {
        let mut connections: Vec<(&ConnectionName, Option<&'static Provider>)> = Vec::new();
        for rule in self.rules.all() {
            let rule::Effect::Inject { connection, .. } = &rule.effect else { continue };
            let provider = provider::of_rule(rule);
            match connections.iter_mut().find(|(name, _)| *name == connection) {
                Some((_, known)) => *known = known.or(provider),
                None => connections.push((connection, provider)),
            }
        }
        connections
    }

    /// The permission sets that its rules use, each once.
    pub fn sets(&self) -> Vec<&SetName> {
        let mut sets: Vec<&SetName> = self.rules.all().iter().filter_map(|rule| rule.uses.as_ref()).collect();
        sets.dedup();
        sets
    }

    /// The rules that allow calls which mint credentials.
    pub fn minting_rules(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.all().iter().filter(|rule| rule.mints).map(|rule| &rule.name)
    }

    /// How many tests of its own it has.
    pub fn test_count(&self) -> usize {
        self.tests.len()
    }
}
