use http::Method;

use super::rule::{Effect, Rule};
use super::verdict::{AtConnect, Permit, Terms};
use super::{Policy, refuse};
use crate::config::Protocol;
use crate::identity::Agent;
use crate::model::{Destination, HostPort, Path, Scheme};

impl Policy {
    /// Decides on a CONNECT.
    ///
    /// A tunnel only if the first rule that can apply to the agent, the host and the port is a
    /// tunnel rule. A host that another rule of the agent names is intercepted and perhaps
    /// refused inside, where clients can read why; any other host is refused here.
    pub fn at_connect(&self, agent: &Agent, target: &HostPort) -> AtConnect {
        let port = target.port.unwrap_or(443);
        let (mut named_by_any, mut named_for_agent, mut tunnelled_elsewhere) = (false, false, false);
        for rule in self.rules.candidates(&target.host) {
            let names = !rule.hosts.is_empty();
            named_by_any |= names;
            if !rule.is_for(agent.name()) {
                continue;
            }
            let takes = rule.takes_connect(port);
            match &rule.effect {
                Effect::Tunnel(protocol) if takes => return self.tunnel(rule, *protocol, agent, target, port),
                Effect::Tunnel(_) => tunnelled_elsewhere = true,
                Effect::Deny if !names => {
                    if rule.takes_all_of_connect(port) {
                        return AtConnect::Deny(refuse::connect_denied(rule, target));
                    }
                }
                _ if takes => return AtConnect::Intercept,
                _ => named_for_agent |= names,
            }
        }
        if named_for_agent {
            return AtConnect::Intercept;
        }
        match &self.default_tunnel {
            Some(rule) if !named_by_any && port == 443 => self.tunnel(rule, Protocol::Tls, agent, target, port),
            Some(_) if !named_by_any => AtConnect::Deny(refuse::connect_port(agent, target, port)),
            _ if tunnelled_elsewhere => AtConnect::Deny(refuse::connect_port(agent, target, port)),
            _ => AtConnect::Deny(refuse::connect(agent, target)),
        }
    }

    fn tunnel(&self, rule: &Rule, protocol: Protocol, agent: &Agent, target: &HostPort, port: u16) -> AtConnect {
        let Ok(root) = Path::parse("/") else {
            return AtConnect::Deny(refuse::connect(agent, target));
        };
        let destination = Destination::new(Scheme::Https, target.host.clone(), port);
        let terms = Terms::of(rule, self.version(), agent, destination, Method::CONNECT, root);
        AtConnect::Tunnel(Permit::new(terms), protocol)
    }
}
