use http::{HeaderMap, Method};

use super::item::{Evidence, Live, Place};
use super::rule::{Asked, Effect, Met, Miss, Rule};
use super::verdict::{Decision, Grant, Permit, Stubbed, Terms, Verdict};
use super::{Policy, refuse};
use crate::identity::Agent;
use crate::model::{Destination, Refusal, Target};

/// What the rules say of a request.
pub(super) enum Ruling<'p> {
    /// This rule allows it, at this destination.
    Allow(&'p Rule, Destination),
    /// It is refused.
    Refuse(Why<'p>),
    /// A rule looks at what was not kept of the request.
    Unknown,
}

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) enum Why<'p> {
    /// TRACE and TRACK, which echo what was injected.
    Method,
    /// No rule matches.
    NoRule,
    /// A deny rule does.
    Denied(&'p Rule),
    /// The rule refuses paths that may be read in two ways.
    StrictPath(&'p Rule),
    /// The rule that matches passes bytes of a tunnel, and this is a request.
    OnlyTunnel(&'p Rule),
    /// The query holds an item that claims another method.
    Override(&'p Rule, String),
    /// The rule allows it, and it is a call that hands out or registers credentials.
    Mints(&'p Rule, &'p Rule),
}

impl Policy {
    /// Decides on a request: the first rule that matches, each rule tried against the target as
    /// that rule would send it.
    ///
    /// # Errors
    /// `POLICY_DENIED`, with the rule that denied it, if one did.
    pub fn decide(&self, agent: &Agent, target: &Target, headers: &HeaderMap) -> Result<Decision, Refusal> {
        let live = Live { query: target.query.as_ref(), headers };
        let asked = Asked::new(agent.name(), &target.destination, &target.method, &target.path, live);
        match self.walk(&asked, &mut |_, _| {}) {
            Ruling::Allow(rule, destination) => {
                let path = target.path.clone();
                let terms = Terms::of(rule, self.version(), agent, destination, target.method.clone(), path);
                Ok(match &rule.effect {
                    Effect::Inject { connection, .. } => {
                        Decision::Send(Verdict::Inject(Grant::new(terms, connection.clone())))
                    }
                    Effect::Stub(stub) => Decision::Stub(Stubbed::new(terms, *stub)),
                    _ => Decision::Send(Verdict::Forward(Permit::new(terms))),
                })
            }
            Ruling::Refuse(why) => Err(refuse::request(&why, agent, target)),
            Ruling::Unknown => Err(refuse::request(&Why::NoRule, agent, target)),
        }
    }

    /// Tries the rules in order. `missed` hears of each that does not match.
    pub(super) fn walk<'p, E: Evidence>(
        &'p self,
        asked: &Asked<'_, E>,
        missed: &mut dyn FnMut(&'p Rule, Miss<'p>),
    ) -> Ruling<'p> {
        if is_echo(asked.method) {
            return Ruling::Refuse(Why::Method);
        }
        let host = asked.destination.host();
        for rule in self.rules.candidates(host) {
            match rule.tries(asked, rule.sent_port(asked.destination)) {
                Met::Yes => return self.matched(rule, asked),
                Met::StrictPath => return Ruling::Refuse(Why::StrictPath(rule)),
                Met::Unknown => return Ruling::Unknown,
                Met::No(miss) => missed(rule, miss),
            }
        }
        Ruling::Refuse(Why::NoRule)
    }

    pub(super) fn matched<'p, E: Evidence>(&'p self, rule: &'p Rule, asked: &Asked<'_, E>) -> Ruling<'p> {
        match &rule.effect {
            Effect::Deny => return Ruling::Refuse(Why::Denied(rule)),
            Effect::Tunnel(_) => return Ruling::Refuse(Why::OnlyTunnel(rule)),
            Effect::Forward | Effect::Stub(_) => return Ruling::Allow(rule, asked.destination.clone()),
            Effect::Inject { .. } => {}
        }
        let looks_at = |name: &str| rule.items.iter().any(|item| item.place == Place::Query && item.name == name);
        if let Some(name) = asked.evidence.override_item(&looks_at) {
            return Ruling::Refuse(Why::Override(rule, name));
        }
        match self.mints(rule, asked) {
            None => {}
            Some((_, Met::Unknown)) => return Ruling::Unknown,
            Some((call, _)) => return Ruling::Refuse(Why::Mints(rule, call)),
        }
        let port = rule.sent_port(asked.destination);
        if port != asked.destination.port() {
            // A deny rule that stands before this one and names the port that the request is
            // now sent to was tried against the port that it came to.
            let before =
                self.rules.candidates(asked.destination.host()).take_while(|other| !std::ptr::eq(*other, rule));
            for deny in before.filter(|other| other.effect == Effect::Deny) {
                match deny.tries(asked, port) {
                    Met::No(_) => {}
                    Met::Unknown => return Ruling::Unknown,
                    Met::Yes | Met::StrictPath => return Ruling::Refuse(Why::Denied(deny)),
                }
            }
        }
        Ruling::Allow(rule, rule.sends(asked.destination))
    }

    /// The call of a provider by which it hands out or registers credentials, where this is one
    /// and the rule does not allow those. Asked as a deny rule is, in every common reading.
    pub(super) fn mints<'p, E: Evidence>(&'p self, rule: &Rule, asked: &Asked<'_, E>) -> Option<(&'p Rule, Met<'p>)> {
        if rule.mints {
            return None;
        }
        let calls = self.minting.candidates(asked.destination.host());
        let mut tried = calls.map(|call| (call, call.tries(asked, asked.destination.port())));
        tried.find(|(_, met)| !matches!(met, Met::No(_)))
    }
}

/// Methods whose answer repeats the request, credentials included (RFC 9110, section 9.3.8).
pub(super) fn is_echo(method: &Method) -> bool {
    method.as_str().eq_ignore_ascii_case("TRACE") || method.as_str().eq_ignore_ascii_case("TRACK")
}
