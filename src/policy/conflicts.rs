//! Rules that cannot stand together, because a tunnel would hide what one of them looks at.

use super::rule::{Effect, Rule};
use crate::config::{Problem, RuleDefault};
use crate::model::HostPattern;

pub(super) fn find(rules: &[Rule], default: RuleDefault) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if matches!(rule.effect, Effect::Tunnel(_)) {
            let hidden = rules[..index].iter().filter(|earlier| earlier.looks_inside() && overlap(earlier, rule));
            problems.extend(hidden.map(|earlier| tunnel_hides(rule, earlier)));
        }
        if default == RuleDefault::Tunnel && rule.hosts.is_empty() {
            let plain_deny = rule.effect == Effect::Deny && !rule.looks_inside();
            if !plain_deny {
                let message = "`default: tunnel` would hide what this rule looks at: name its hosts".to_owned();
                problems.push(Problem { at: Some(rule.at.clone()), rule: Some(rule.name.to_string()), message });
            }
        }
    }
    problems
}

fn tunnel_hides(tunnel: &Rule, earlier: &Rule) -> Problem {
    let message = format!(
        "this tunnel would hide what rule {:?} at {} looks at inside: let their agents, hosts or ports differ, or put the tunnel first",
        earlier.name, earlier.at
    );
    Problem { at: Some(tunnel.at.clone()), rule: Some(tunnel.name.to_string()), message }
}

/// Tells whether some CONNECT is one of the tunnel rule's and could carry one of the other's.
fn overlap(earlier: &Rule, tunnel: &Rule) -> bool {
    let agents =
        |a: &Rule, b: &Rule| a.agents.is_empty() || b.agents.is_empty() || b.agents.iter().any(|name| a.is_for(name));
    let meets = |own: &HostPattern| tunnel.hosts.iter().any(|other| own.overlaps(other));
    let hosts = earlier.hosts.is_empty() || earlier.hosts.iter().any(meets);
    let ports: &[u16] = if tunnel.ports.is_empty() { &[443] } else { &tunnel.ports };
    agents(earlier, tunnel) && hosts && ports.iter().any(|&port| earlier.takes_connect(port))
}
