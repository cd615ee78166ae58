//! The words of a refusal: what was asked, which rule said no, and never what others may do.

use super::decide::Why;
use super::rule::Rule;
use crate::identity::Agent;
use crate::model::{Code, HostPort, Refusal, Target};

/// The longest path that a message repeats.
const LONGEST_PATH: usize = 200;

pub(super) fn request(why: &Why<'_>, agent: &Agent, target: &Target) -> Refusal {
    let asked = describe(target);
    let name = agent.name();
    let by = |rule: &Rule, message: String| Refusal::new(Code::PolicyDenied, message).with_rule(&*rule.name);
    match why {
        Why::Method => {
            let message = format!("{} is always refused: its answer repeats the request", target.method);
            Refusal::new(Code::PolicyDenied, message)
        }
        Why::NoRule => Refusal::new(Code::PolicyDenied, format!("no rule allows {asked} for agent {name:?}")),
        Why::Denied(rule) => by(rule, format!("{asked} is denied by rule {:?}", rule.name)),
        Why::StrictPath(rule) => by(
            rule,
            format!(
                "{asked} is refused by rule {:?}: some servers read another path in it (strict_path); send it without //, %2F, ';', a final slash or double escapes",
                rule.name
            ),
        ),
        Why::OnlyTunnel(rule) => {
            by(rule, format!("rule {:?} passes tunnels to this host alone: send {asked} through CONNECT", rule.name))
        }
        Why::Override(rule, item) => by(
            rule,
            format!(
                "{asked} is refused by rule {:?}: the query item {item:?} may make the origin see another method",
                rule.name
            ),
        ),
        Why::Mints(rule, call) => by(
            rule,
            format!(
                "{asked} is refused: by this call ({}) the service hands out or registers credentials, and rule {:?} does not say `mints: true`",
                call.name, rule.name
            ),
        ),
    }
}

pub(super) fn connect(agent: &Agent, target: &HostPort) -> Refusal {
    let port = target.port.map(|port| format!(":{port}")).unwrap_or_default();
    let message = format!("no rule names {}{port} for agent {:?}", target.host, agent.name());
    Refusal::new(Code::PolicyDenied, message)
}

pub(super) fn connect_port(agent: &Agent, target: &HostPort, port: u16) -> Refusal {
    let message = format!("no rule allows port {port} of {} for agent {:?}", target.host, agent.name());
    Refusal::new(Code::PolicyDenied, message)
}

pub(super) fn connect_denied(rule: &Rule, target: &HostPort) -> Refusal {
    let message = format!("CONNECT to {} is denied by rule {:?}", target.host, rule.name);
    Refusal::new(Code::PolicyDenied, message).with_rule(&*rule.name)
}

fn describe(target: &Target) -> String {
    // Visible ASCII, so that every byte is a place to cut.
    let path = target.path.as_str();
    let cut = if path.len() > LONGEST_PATH { "…" } else { "" };
    let path = path.get(..LONGEST_PATH).unwrap_or(path);
    format!("{} {}{path}{cut}", target.method, target.destination)
}
