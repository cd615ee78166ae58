use std::collections::HashMap;

use super::rule::Rule;
use crate::model::{Host, HostPattern};

/// Rules in order, with those that can apply to a host at hand.
#[derive(Debug)]
pub(super) struct Rules {
    all: Box<[Rule]>,
    /// For each host that some rule names exactly: every rule that can apply to it, in order.
    by_host: HashMap<Host, Box<[usize]>>,
    /// For the end of each pattern, as of other hosts (see [`HostPattern::end`]): every rule with a
    /// pattern that can meet a host of that end, in order.
    by_end: HashMap<Box<str>, Box<[usize]>>,
    /// Rules that can apply to hosts of any other end, in order.
    open: Box<[usize]>,
}

impl Rules {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let indexes = |applies: &dyn Fn(&Rule) -> bool| {
            rules.iter().enumerate().filter(|(_, rule)| applies(rule)).map(|(index, _)| index).collect::<Box<_>>()
        };
        // A rule that can apply to some host of this end which none names exactly.
        let meets = |rule: &Rule, end: Option<&str>| {
            let meets = |host: &HostPattern| host.is_wildcard() && (host.end().is_none() || host.end() == end);
            rule.hosts.is_empty() || rule.hosts.iter().any(meets)
        };
        let (mut by_host, mut by_end) = (HashMap::new(), HashMap::new());
        for pattern in rules.iter().flat_map(|rule| &rule.hosts) {
            if let HostPattern::Exact(host) = pattern {
                by_host.entry(host.clone()).or_insert_with(|| indexes(&|rule| rule.applies_to(host)));
            } else if let Some(end) = pattern.end() {
                by_end.entry(end.into()).or_insert_with(|| indexes(&|rule| meets(rule, Some(end))));
            }
        }
        let open = indexes(&|rule| meets(rule, None));
        Self { all: rules.into(), by_host, by_end, open }
    }

    /// Every rule, in order.
    pub(super) fn all(&self) -> &[Rule] {
        &self.all
    }

    /// The rules that can apply to a host, in order.
    pub(super) fn candidates<'p>(&'p self, host: &Host) -> impl Iterator<Item = &'p Rule> {
        let known = self.by_host.get(host);
        let of_end = || host.end().and_then(|end| self.by_end.get(end)).unwrap_or(&self.open);
        let indexes = known.unwrap_or_else(of_end);
        let host = (known.is_none() && !indexes.is_empty()).then(|| host.clone());
        let rules = indexes.iter().filter_map(|&index| self.all.get(index));
        rules.filter(move |rule| host.as_ref().is_none_or(|host| rule.applies_to(host)))
    }
}
