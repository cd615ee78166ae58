//! A refused request, asked about again from what the audit kept of it: no value of a query item
//! and no header. What that leaves open is said to be open.

use std::net::IpAddr;
use std::sync::Arc;

use super::decide::{Ruling, Why, is_echo};
use super::explain::{port, reason};
use super::item::{Evidence, Item, Known, Occurrences, Place as ItemPlace, override_items};
use super::rule::{Asked, Effect, Met, Rule};
use super::suggest::Suggestion;
use super::{AtConnect, Policy, Tried, TriedVerdict};
use crate::config::At;
use crate::identity::Agent;
use crate::model::{Destination, HostPort, Query, Scheme, Target};

/// A request of the past.
#[derive(Clone, Debug)]
pub struct Past {
    /// Who asked.
    pub agent: Agent,
    /// For what.
    pub what: Asking,
    /// Whether the path is only the beginning of the one that was asked for.
    pub is_cut: bool,
    /// The version of the policy that decided.
    pub policy: Option<String>,
    /// The rule that decided, by its name.
    pub rule: Option<String>,
    /// The address that was refused, where that was the reason.
    pub address: Option<IpAddr>,
    /// Whether there are other agents, so that a rule has to say which one it means.
    pub several_agents: bool,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub enum Asking {
    /// A request, its query's values masked.
    Request(Target),
    /// A CONNECT, which shows host and port alone.
    Connect(HostPort),
}

/// What the policy of now says of it, to the one who asked: never what other agents may do.
#[derive(Clone, Debug)]
pub struct Review {
    /// What decides.
    pub finding: Finding,
    /// The rule that decides, and where it is written.
    pub decided_by: Option<(Arc<str>, At)>,
    /// The rules for this agent and host that do not match, and why.
    pub near: Vec<Tried>,
    /// The smallest rule that would have allowed it, or why there is none.
    pub suggestion: Result<Suggestion, String>,
}

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// TRACE and TRACK are always refused.
    Echo,
    /// No rule for this agent names the host.
    NoHost,
    /// Rules name the host, and none takes this.
    NoRule,
    /// A rule denies it.
    Denied,
    /// A rule refuses paths that may be read in two ways.
    StrictPath,
    /// A rule passes tunnels alone.
    OnlyTunnel,
    /// The query holds this item, which may make the origin see another method.
    Override(String),
    /// It is this call, by which a provider hands out or registers credentials.
    Mints(String),
    /// A rule allows it.
    Allowed,
    /// It depends on values that were not kept.
    Unknown,
}

/// What decides, with the rules themselves.
struct Found<'p> {
    finding: Finding,
    rule: Option<&'p Rule>,
}

impl Policy {
    /// Asks about a request of the past.
    pub fn review(&self, past: &Past) -> Review {
        let mut near = Vec::new();
        let found = match &past.what {
            Asking::Request(target) => self.request_again(past, target, &mut near),
            Asking::Connect(target) => self.connect_again(past, target, &mut near),
        };
        Review {
            suggestion: self.suggestion(past, &found.finding, found.rule),
            finding: found.finding,
            decided_by: found.rule.map(|rule| (rule.name.clone(), rule.at.clone())),
            near,
        }
    }

    fn request_again<'p>(&'p self, past: &Past, target: &Target, near: &mut Vec<Tried>) -> Found<'p> {
        if is_echo(&target.method) {
            return Found { finding: Finding::Echo, rule: None };
        }
        let same = past.policy.as_deref() == Some(&**self.version());
        let decided = |rule: &Rule| same && past.rule.as_deref() == Some(&*rule.name);
        let kept = Recalled { query: target.query.as_ref() };
        let asked = Asked::new(past.agent.name(), &target.destination, &target.method, &target.path, kept);
        let (mut named, mut open) = (false, false);
        for rule in self.rules.candidates(target.destination.host()).filter(|rule| rule.is_for(past.agent.name())) {
            named |= !rule.hosts.is_empty();
            match rule.tries(&asked, rule.sent_port(&target.destination)) {
                Met::Yes => return self.matches_again(past, rule, &asked, same),
                Met::StrictPath => return Found { finding: Finding::StrictPath, rule: Some(rule) },
                // It was met, since it decided; what it says of the path is still to be asked.
                Met::Unknown if decided(rule) => match but_for_items(rule, past, target) {
                    Met::StrictPath => return Found { finding: Finding::StrictPath, rule: Some(rule) },
                    _ => return self.matches_again(past, rule, &asked, same),
                },
                Met::Unknown => {
                    open |= !same;
                    near.push(missed(rule, format!("{} has another value, or none", items(rule, same))));
                }
                Met::No(miss) => near.push(missed(rule, reason(rule, miss, &past.agent, target))),
            }
        }
        let finding = match (open, named) {
            (true, _) => Finding::Unknown,
            (false, true) => Finding::NoRule,
            (false, false) => Finding::NoHost,
        };
        Found { finding, rule: None }
    }

    /// A rule matches: is there anything else against it?
    fn matches_again<'p>(
        &'p self,
        past: &Past,
        rule: &'p Rule,
        asked: &Asked<'_, Recalled<'_>>,
        same: bool,
    ) -> Found<'p> {
        let (finding, rule) = match self.matched(rule, asked) {
            Ruling::Allow(rule, _) => (Finding::Allowed, rule),
            Ruling::Refuse(Why::Denied(deny)) => (Finding::Denied, deny),
            Ruling::Refuse(Why::StrictPath(rule)) => (Finding::StrictPath, rule),
            Ruling::Refuse(Why::OnlyTunnel(rule)) => (Finding::OnlyTunnel, rule),
            Ruling::Refuse(Why::Override(rule, item)) => (Finding::Override(item), rule),
            Ruling::Refuse(Why::Mints(rule, call)) => (Finding::Mints(call.name.to_string()), rule),
            Ruling::Refuse(Why::Method | Why::NoRule) => (Finding::NoRule, rule),
            // The rule that refused tells which of them it was.
            Ruling::Unknown => match self.mints(rule, asked) {
                Some((call, _)) if same && past.rule.as_deref() == Some(&*rule.name) => {
                    (Finding::Mints(call.name.to_string()), rule)
                }
                _ => (Finding::Unknown, rule),
            },
        };
        Found { finding, rule: Some(rule) }
    }

    fn connect_again<'p>(&'p self, past: &Past, target: &HostPort, near: &mut Vec<Tried>) -> Found<'p> {
        let destination = connected(target);
        let own = self.rules.candidates(&target.host).filter(|rule| rule.is_for(past.agent.name()));
        let own: Vec<&Rule> = own.collect();
        let by_name = |name: &str| own.iter().copied().find(|rule| &*rule.name == name);
        let refusal = match self.at_connect(&past.agent, target) {
            AtConnect::Tunnel(permit, _) => {
                return Found {
                    finding: Finding::Allowed,
                    rule: by_name(permit.terms().rule()).or(self.default_tunnel.as_ref()),
                };
            }
            AtConnect::Intercept => return Found { finding: Finding::Allowed, rule: None },
            AtConnect::Deny(refusal) => refusal,
        };
        if let Some(rule) = refusal.rule().and_then(by_name) {
            return Found { finding: Finding::Denied, rule: Some(rule) };
        }
        let named: Vec<&Rule> = own.into_iter().filter(|rule| !rule.hosts.is_empty()).collect();
        near.extend(named.iter().map(|rule| missed(rule, port(rule, &destination))));
        Found { finding: if named.is_empty() { Finding::NoHost } else { Finding::NoRule }, rule: None }
    }
}

/// Where a CONNECT goes.
pub(super) fn connected(target: &HostPort) -> Destination {
    Destination::new(Scheme::Https, target.host.clone(), target.port.unwrap_or(443))
}

fn missed(rule: &Rule, why: String) -> Tried {
    Tried { name: rule.name.clone(), at: rule.at.clone(), verdict: TriedVerdict::Missed(why) }
}

/// The items of a rule, in words.
fn items(rule: &Rule, same: bool) -> String {
    let word = |item: &Item| {
        let place = if item.place == ItemPlace::Query { "query item" } else { "header" };
        format!("{place} {:?}", item.name)
    };
    let all: Vec<String> = rule.items.iter().map(word).collect();
    let doubt = if same { "" } else { "it matches unless " };
    format!("{doubt}{}", all.join(" or "))
}

/// What the audit keeps of a request: the names in its query.
pub(super) struct Recalled<'a> {
    pub(super) query: Option<&'a Query>,
}

impl Recalled<'_> {
    fn find(&self, item: &Item) -> Option<Occurrences<'_>> {
        // A query that was too long ends in this.
        let whole = self.query.is_none_or(|query| !query.as_str().ends_with('…'));
        (item.place == ItemPlace::Query && whole).then(|| Occurrences::in_query(self.query, &item.name))
    }
}

impl Evidence for Recalled<'_> {
    fn strictly(&self, item: &Item) -> Known {
        match (self.find(item), &item.pattern) {
            (None, _) => Known::Unknown,
            (Some(found), None) => (found.count == 0).into(),
            (Some(found), Some(_)) if found.count == 1 && found.exact.len() == 1 => Known::Unknown,
            (Some(_), Some(_)) => Known::No,
        }
    }

    fn leniently(&self, item: &Item) -> Known {
        match (self.find(item), &item.pattern) {
            (None, _) => Known::Unknown,
            (Some(found), None) => found.exact.is_empty().into(),
            (Some(found), Some(_)) if found.count == 0 => Known::No,
            (Some(_), Some(_)) => Known::Unknown,
        }
    }

    fn override_item(&self, named: &dyn Fn(&str) -> bool) -> Option<String> {
        override_items(self.query?).find(|name| !named(name)).map(|name| name.into_owned())
    }
}

/// Tries a rule as if each of its items were met.
pub(super) fn but_for_items<'r>(rule: &'r Rule, past: &Past, target: &Target) -> Met<'r> {
    let asked = Asked::new(past.agent.name(), &target.destination, &target.method, &target.path, Agreeable);
    rule.tries(&asked, rule.sent_port(&target.destination))
}

/// Takes every item for met: what is left are method and path.
struct Agreeable;

impl Evidence for Agreeable {
    fn strictly(&self, _: &Item) -> Known {
        Known::Yes
    }

    fn leniently(&self, _: &Item) -> Known {
        Known::Yes
    }

    fn override_item(&self, _: &dyn Fn(&str) -> bool) -> Option<String> {
        None
    }
}

/// Tells whether a rule passes bytes alone.
pub(super) fn tunnels(rule: &Rule) -> bool {
    matches!(rule.effect, Effect::Tunnel(_))
}
