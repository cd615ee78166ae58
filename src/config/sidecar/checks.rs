use std::net::SocketAddr;

use super::Config;
use crate::config::{Problem, Problems};

impl Config {
    /// Checks what the long-running sidecar asks of a configuration beyond its being well-formed.
    ///
    /// # Errors
    /// Everything that keeps `proxy` from starting with it.
    pub fn check_for_proxy(&self) -> Result<(), Problems> {
        let mut messages = Vec::new();
        let far = |addresses: &[SocketAddr]| addresses.iter().find(|address| !address.ip().is_loopback()).copied();
        if self.listen.proxy.is_empty() {
            messages.push("`listen.proxy` names no address".to_owned());
        }
        if self.agents.is_empty() && !self.anonymous {
            messages.push("nobody may use the port: name `agents`, or say `anonymous: allow`".to_owned());
        }
        if let Some(address) = far(&self.listen.proxy) {
            if self.anonymous {
                messages.push(format!(
                    "`anonymous: allow` needs loopback addresses alone, and the proxy listens on {address}"
                ));
            }
            if !self.cleartext {
                messages.push(format!(
                    "the proxy would take passwords in the clear on {address}: listen on loopback, or say `cleartext: true`"
                ));
            }
        }
        if let Some(address) = far(&self.listen.admin) {
            messages.push(format!(
                "`listen.admin` is for loopback addresses alone, not {address}: `listen.health` may be elsewhere"
            ));
        }
        if self.policy.is_empty() && !self.policy_of_authority {
            messages.push("there is no policy, so that nothing would be allowed: name files under `policy`".to_owned());
        }
        self.problems(messages)
    }

    /// Checks what serving the Authority asks of a configuration beyond its being well-formed.
    ///
    /// # Errors
    /// Everything that keeps `authority serve` from starting with it.
    pub fn check_for_authority(&self) -> Result<(), Problems> {
        let mut messages = Vec::new();
        let service = &self.service;
        if service.listen.is_empty() {
            messages.push("`authority.listen` names no address".to_owned());
        }
        let far = service.listen.iter().find(|address| !address.ip().is_loopback());
        if let (Some(address), None, false) = (far, &service.tls, service.cleartext) {
            messages.push(format!(
                "the Authority would send credentials in the clear on {address}: give it a certificate under \
                 `authority.tls`, listen on loopback, or say `authority.cleartext: true`"
            ));
        }
        self.problems(messages)
    }

    fn problems(&self, messages: Vec<String>) -> Result<(), Problems> {
        if messages.is_empty() {
            return Ok(());
        }
        let of = self.file.as_ref().map(|file| format!("{}: ", file.display())).unwrap_or_default();
        let problem = |message| Problem { at: None, rule: None, message: format!("{of}{message}") };
        Err(Problems(messages.into_iter().map(problem).collect()))
    }

    /// The sections that differ from those a running sidecar was started with and that it cannot
    /// take over while it runs. What it can: `agents`, `anonymous` and the files of `policy`.
    pub fn needs_restart(&self, running: &Self) -> Vec<&'static str> {
        let drain = self.timeouts.drain != running.timeouts.drain;
        let upstream = self.timeouts.connect != running.timeouts.connect || self.timeouts.idle != running.timeouts.idle;
        let own_waits = |config: &Self| {
            let t = &config.timeouts;
            (t.header, t.handshake, t.keep_alive, t.response, t.body, t.tunnel, t.lease)
        };
        let changed = [
            ("listen", self.listen != running.listen || self.cleartext != running.cleartext),
            (
                "authority",
                (&self.authority.key, &self.authority.store) != (&running.authority.key, &running.authority.store),
            ),
            ("sources", self.authority.data_dir != running.authority.data_dir || self.sources != running.sources),
            ("policy", self.policy_of_authority != running.policy_of_authority),
            ("connections", self.connections != running.connections),
            ("ca", self.ca_dir != running.ca_dir),
            ("upstream", upstream || self.upstream != running.upstream),
            ("limits", drain || self.limits != running.limits),
            ("lease", self.lease != running.lease),
            ("timeouts", own_waits(self) != own_waits(running)),
            ("audit", self.audit != running.audit),
            ("log", self.log != running.log),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| section).collect()
    }
}
