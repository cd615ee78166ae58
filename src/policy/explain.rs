use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::Policy;
use super::decide::{Ruling, Why};
use super::hypothetical::Outcome;
use super::item::{Live, Place};
use super::rule::{Asked, Effect, Miss, Rule};
use crate::config::At;
use crate::identity::Agent;
use crate::model::{Destination, Scheme, Target};

/// Why a request ends as it does.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Every rule, in order.
    pub rules: Vec<Tried>,
    /// What becomes of the request.
    pub outcome: Outcome,
    /// The rule that decides; `None` where none matches, `default` for `default: tunnel`.
    pub decided_by: Option<Arc<str>>,
    /// The provider's call that hands out or registers credentials which this request is, where
    /// the rule that decides does not allow those.
    pub mints: Option<Arc<str>>,
    /// Networks beside the public ones that may be dialled.
    pub networks: Vec<IpNet>,
    /// Headers that pass although they would be removed.
    pub pass_headers: Vec<HeaderName>,
}

/// What came of one rule.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is written.
    pub at: At,
    /// Why it did or did not match.
    pub verdict: TriedVerdict,
}

/// Whether a rule matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriedVerdict {
    /// It did not, for this reason.
    Missed(String),
    /// It decides.
    Decides,
    /// An earlier rule decides.
    NotReached,
}

impl Policy {
    /// Says what becomes of a request, and what each rule has to do with it.
    pub fn explain(&self, agent: &Agent, target: &Target, headers: &HeaderMap) -> Explanation {
        let outcome = self.outcome(agent, target, headers);
        let live = Live { query: target.query.as_ref(), headers };
        let asked = Asked::new(agent.name(), &target.destination, &target.method, &target.path, live);
        let mut missed = Vec::new();
        let mut mints = None;
        let decided_by = match &outcome {
            Outcome::Tunnel(_) => self.tunnel_rule(agent, &asked, &mut missed),
            _ => match self.walk(&asked, &mut |rule, miss| missed.push((rule, miss))) {
                Ruling::Allow(rule, _) => Some(rule),
                Ruling::Refuse(Why::Mints(rule, call)) => {
                    mints = Some(call.name.clone());
                    Some(rule)
                }
                Ruling::Refuse(
                    Why::Denied(rule) | Why::StrictPath(rule) | Why::OnlyTunnel(rule) | Why::Override(rule, _),
                ) => Some(rule),
                Ruling::Refuse(Why::Method | Why::NoRule) | Ruling::Unknown => None,
            },
        };
        let mut reached = true;
        let mut rules = Vec::with_capacity(self.rules.all().len());
        for rule in self.rules.all() {
            let decides = decided_by.is_some_and(|deciding| std::ptr::eq(deciding, rule));
            let miss = missed.iter().find(|(other, _)| std::ptr::eq(*other, rule)).map(|(_, miss)| *miss);
            let verdict = match miss {
                _ if decides => TriedVerdict::Decides,
                Some(miss) => TriedVerdict::Missed(reason(rule, miss, agent, target)),
                None if !reached => TriedVerdict::NotReached,
                None if rule.applies_to(target.destination.host()) => TriedVerdict::NotReached,
                None => TriedVerdict::Missed(reason(rule, Miss::Host, agent, target)),
            };
            reached &= !decides;
            rules.push(Tried { name: rule.name.clone(), at: rule.at.clone(), verdict });
        }
        Explanation {
            rules,
            outcome,
            networks: decided_by.map(|rule| rule.networks.to_vec()).unwrap_or_default(),
            pass_headers: decided_by.map(|rule| rule.pass_headers.to_vec()).unwrap_or_default(),
            decided_by: decided_by.map(|rule| rule.name.clone()),
            mints,
        }
    }

    /// Finds the rule behind a tunnel that [`Policy::at_connect`] allowed.
    fn tunnel_rule<'p, E>(
        &'p self,
        agent: &Agent,
        asked: &Asked<'_, E>,
        missed: &mut Vec<(&'p Rule, Miss<'p>)>,
    ) -> Option<&'p Rule> {
        for rule in self.rules.candidates(asked.destination.host()) {
            let tunnels = matches!(rule.effect, Effect::Tunnel(_));
            if tunnels && rule.is_for(agent.name()) && rule.takes_connect(asked.destination.port()) {
                return Some(rule);
            }
            missed.push((rule, if rule.is_for(agent.name()) { Miss::Port } else { Miss::Agent }));
        }
        self.default_tunnel.as_ref()
    }
}

pub(super) fn reason(rule: &Rule, miss: Miss<'_>, agent: &Agent, target: &Target) -> String {
    match miss {
        Miss::Agent => format!("agent {:?} is not {}", agent.name(), list(rule.agents.to_vec())),
        Miss::Host => {
            let hosts = rule.hosts.iter().map(ToString::to_string).collect();
            format!("host {} is not {}", target.destination.host(), list(hosts))
        }
        Miss::Port => port(rule, &target.destination),
        Miss::Method => {
            format!("method {} is not {}", target.method, list(rule.methods.iter().map(ToString::to_string).collect()))
        }
        Miss::Path => {
            let paths = rule.paths.iter().map(ToString::to_string).collect();
            let left_out = if rule.not_paths.is_empty() { "" } else { ", or is one that the rule leaves out" };
            format!("path {} does not match {}{left_out}", target.path, list(paths))
        }
        Miss::Item(item) => {
            let place = if item.place == Place::Query { "query item" } else { "header" };
            let denies = rule.effect == Effect::Deny;
            match &item.pattern {
                None => format!("{place} {:?} is not absent", item.name),
                Some(pattern) if denies => format!("no {place} {:?} matches {pattern:?}", item.name),
                Some(pattern) => format!("{place} {:?} is not there exactly once, matching {pattern:?}", item.name),
            }
        }
    }
}

/// Names the first few of what a rule names: a permission set's may be a hundred.
fn list(mut words: Vec<String>) -> String {
    const SHOWN: usize = 6;
    let more = words.len().saturating_sub(SHOWN);
    words.truncate(SHOWN);
    let named = words.join(", ");
    if more == 0 { named } else { format!("{named} or one of {more} more") }
}

pub(super) fn port(rule: &Rule, came: &Destination) -> String {
    let sent = rule.sent_port(came);
    let asked =
        if sent == came.port() { format!("port {sent}") } else { format!("port {sent}, to which it would be sent,") };
    if !rule.ports.is_empty() {
        let ports: Vec<String> = rule.ports.iter().map(ToString::to_string).collect();
        return format!("{asked} is not {}", ports.join(", "));
    }
    let meant = match rule.effect {
        Effect::Forward | Effect::Stub(_) | Effect::Inject { plaintext: true, .. } => match came.scheme() {
            Scheme::Http => "80, which the rule means for http",
            Scheme::Https => "443, which the rule means for https",
        },
        _ => "443, which the rule means without `port`",
    };
    format!("{asked} is not {meant}")
}
