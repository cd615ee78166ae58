//! What the catalogue's providers have to say in a policy: their calls that mint credentials,
//! their key headers, and whose hosts a rule names.

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use super::rule::{Effect, Rule};
use super::{Policy, TestResult, compile};
use crate::config::{Action, Catalogue, Document, Located, Problems, Provider, RuleDoc, SetName, Subject};
use crate::model::HostPattern;

/// Every provider's calls that mint credentials, as rules that deny.
pub(super) fn minting(catalogue: &Catalogue) -> Vec<Rule> {
    let calls = catalogue.providers().iter().flat_map(|provider| &provider.mints);
    let deny = |call: &RuleDoc| {
        let action = Some(Located { value: Action::Deny, at: call.at.clone() });
        // The catalogue's own tests see to it that there is no problem.
        compile::rule(&RuleDoc { action, ..call.clone() }, &mut Vec::new())
    };
    calls.filter_map(deny).collect()
}

/// The headers that carry keys at any of these hosts.
pub(super) fn key_headers(catalogue: &Catalogue, hosts: &[HostPattern]) -> Arc<[HeaderName]> {
    let meets = |provider: &&Provider| provider.bindings.hosts().any(|own| hosts.iter().any(|host| host.overlaps(own)));
    catalogue.providers().iter().filter(meets).flat_map(|provider| provider.key_headers.iter().cloned()).collect()
}

/// The provider of the connection that a rule borrows: its permission set's, else the one whose
/// hosts the rule names.
pub(super) fn of_rule(rule: &Rule) -> Option<&'static Provider> {
    let catalogue = Catalogue::built_in();
    if let Some(set) = &rule.uses {
        return catalogue.provider(&set.provider);
    }
    let all_of = |provider: &&Provider| {
        let bound = |host: &HostPattern| provider.bindings.hosts().any(|own| own.overlaps(host));
        !rule.hosts.is_empty() && rule.hosts.iter().all(bound)
    };
    catalogue.providers().iter().find(all_of).filter(|_| matches!(rule.effect, Effect::Inject { .. }))
}

/// What the rules of `--use` have for a file.
pub const USED: &str = "--use";

/// Documents and, behind them, one that uses permission sets, each once.
#[must_use]
pub fn and_sets(mut documents: Vec<Document>, sets: &[SetName]) -> Vec<Document> {
    if !sets.is_empty() {
        let once = sets.iter().enumerate().filter(|(index, set)| !sets[..*index].contains(set));
        let items: String = once.map(|(_, set)| format!("  - use: {set}\n")).collect();
        let text = format!("version: 1\nrules:\n{items}");
        documents.push(Document::parse(&PathBuf::from(USED), &text));
    }
    documents
}

impl Policy {
    /// The providers whose credentials its rules put on requests of an agent, each once.
    pub fn providers_of(&self, agent: &str) -> Vec<&'static Provider> {
        let mut providers: Vec<&'static Provider> = Vec::new();
        for rule in self.rules.all() {
            let named = rule.agents.is_empty() || rule.agents.iter().any(|name| name == agent);
            let injects = matches!(rule.effect, Effect::Inject { .. });
            let provider = of_rule(rule).filter(|_| named && injects);
            providers.extend(provider.filter(|new| !providers.iter().any(|one| one.connection == new.connection)));
        }
        providers
    }

    /// The policy of permission sets alone, each used with its provider's own connection: what
    /// `--use` stands for.
    ///
    /// # Errors
    /// Sets that are not there.
    pub fn of_sets(sets: &[SetName]) -> Result<Self, Problems> {
        Self::with_sets(Vec::new(), sets)
    }

    /// The policy of documents and, tried after them, of permission sets, each once.
    ///
    /// # Errors
    /// What is wrong with the documents, and sets that are not there.
    pub fn with_sets(documents: Vec<Document>, sets: &[SetName]) -> Result<Self, Problems> {
        Self::compile(and_sets(documents, sets))
    }

    /// Runs a provider's own tests: those that name a permission set against the policy that uses
    /// it, those that name a call which mints against a rule that borrows its connection for all of
    /// its hosts. A request that is such a call has to be refused as that one and no other.
    ///
    /// # Errors
    /// What is wrong with the documents themselves.
    pub fn test_provider(provider: &Provider) -> Result<Vec<TestResult>, Problems> {
        let everything = Self::compile(vec![everything(provider)])?;
        let mut results = Vec::with_capacity(provider.tests.len());
        for test in &provider.tests {
            let mut result = match &test.subject {
                Some(Subject::Set(set)) => Self::of_sets(std::slice::from_ref(set))?.test_one(test),
                _ => everything.test_one(test),
            };
            if let Some(Subject::Mints(call)) = &test.subject {
                let as_this = result.reason.as_ref().is_some_and(|reason| reason.contains(&format!("({call})")));
                result.passed &= as_this;
                result.expected = format!("deny as {call}");
            }
            results.push(result);
        }
        Ok(results)
    }
}

/// A policy that allows every call with a provider's connection, those apart that mint.
fn everything(provider: &Provider) -> Document {
    let hosts: Vec<String> = provider.bindings.hosts().map(|host| format!("\"{host}\"")).collect();
    let rule = format!("{{ name: everything, host: [{}], connection: {} }}", hosts.join(", "), provider.connection);
    Document::parse(&PathBuf::from("everything"), &format!("version: 1\nrules: [{rule}]"))
}

#[cfg(test)]
mod catalogue_tests;
#[cfg(test)]
mod tests;
