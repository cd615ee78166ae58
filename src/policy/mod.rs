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
mod question;
mod refuse;
mod rule;
mod test;
mod verdict;

#[cfg(test)]
mod for_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use explain::{Explanation, Tried, TriedVerdict};
pub use hypothetical::{NOBODY, Outcome, UrlError, request};
pub use question::Question;
pub use test::TestResult;
pub use verdict::{AtConnect, Grant, Permit, Terms, Verdict};

use crate::config::PolicyTest;

/// Rules that were checked together, ready to decide.
#[derive(Debug)]
pub struct Policy {
    rules: index::Rules,
    version: Arc<str>,
    /// What allows hosts that no rule names, under `default: tunnel`.
    default_tunnel: Option<rule::Rule>,
    tests: Vec<PolicyTest>,
}

impl Policy {
    /// The version: the first 16 hex digits of a SHA-256 over the documents' texts.
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

    /// How many tests of its own it has.
    pub fn test_count(&self) -> usize {
        self.tests.len()
    }
}
