use std::collections::HashMap;

use super::rule::Rule;
use crate::model::{Host, HostPattern};

/// Rules in order, with those that can apply to a host at hand.
#[derive(Debug)]
pub(super) struct Rules {
    all: Box<[Rule]>,
    /// For each host that some rule names exactly: every rule that can apply to it, in order.
    by_host: HashMap<Host, Box<[usize]>>,
    /// Rules that can apply to hosts that none names exactly, in order.
    open: Box<[usize]>,
}

impl Rules {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let mut by_host = HashMap::new();
        for pattern in rules.iter().flat_map(|rule| &rule.hosts) {
            if let HostPattern::Exact(host) = pattern
                && !by_host.contains_key(host)
            {
                let applying = rules.iter().enumerate().filter(|(_, rule)| rule.applies_to(host));
                by_host.insert(host.clone(), applying.map(|(index, _)| index).collect());
            }
        }
        let open = |rule: &Rule| rule.hosts.is_empty() || rule.hosts.iter().any(HostPattern::is_wildcard);
        let open = rules.iter().enumerate().filter(|(_, rule)| open(rule)).map(|(index, _)| index).collect();
        Self { all: rules.into(), by_host, open }
    }

    /// Every rule, in order.
    pub(super) fn all(&self) -> &[Rule] {
        &self.all
    }

    /// The rules that can apply to a host, in order.
    pub(super) fn candidates<'p>(&'p self, host: &Host) -> impl Iterator<Item = &'p Rule> {
        let known = self.by_host.get(host);
        let indexes = known.unwrap_or(&self.open);
        let host = known.is_none().then(|| host.clone());
        let rules = indexes.iter().filter_map(|&index| self.all.get(index));
        rules.filter(move |rule| host.as_ref().is_none_or(|host| rule.applies_to(host)))
    }
}
