use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderValue;

use super::basic::{self, Claim};
use super::{Agent, Fingerprint, Peer, Proof, Unproved};
use crate::config::ANONYMOUS;
use crate::model::Secret;

/// Decides who may use the port. Replaced as a whole on a reload.
///
/// Only hashes of passwords are kept.
pub struct Gate {
    agents: HashMap<Arc<str>, Hash>,
    silent: Silent,
}

/// What a caller is that sends no credentials.
enum Silent {
    Nobody,
    Anonymous(Arc<str>),
    /// This agent, if the command (0: not noted yet) or one of its descendants holds the
    /// socket.
    Descendant {
        agent: Arc<str>,
        command: AtomicU32,
    },
}

type Hash = [u8; 32];

impl Gate {
    /// `proxy`: agents with passwords, and perhaps callers without.
    ///
    /// A caller without a password is named [`ANONYMOUS`]; where an agent with a password has that
    /// name, which a configuration refuses, no caller passes without one.
    pub fn named(agents: Vec<(String, Secret)>, anonymous: bool) -> Self {
        let agents: HashMap<Arc<str>, Hash> =
            agents.into_iter().map(|(name, password)| (name.into(), hash(&password))).collect();
        let anonymous = anonymous && !agents.contains_key(ANONYMOUS);
        let silent = if anonymous { Silent::Anonymous(ANONYMOUS.into()) } else { Silent::Nobody };
        Self { agents, silent }
    }

    /// `run`: one agent behind a password of this run; a caller that sends none passes if a
    /// descendant of the command (whose pid is set once it was started) holds its socket.
    pub fn for_run(agent: &str, password: Secret) -> Self {
        let agent: Arc<str> = agent.into();
        let agents = HashMap::from([(agent.clone(), hash(&password))]);
        Self { agents, silent: Silent::Descendant { agent, command: AtomicU32::new(0) } }
    }

    /// Tells the gate of `run` which process it started.
    pub fn started(&self, pid: u32) {
        if let Silent::Descendant { command, .. } = &self.silent {
            command.store(pid, Ordering::Release);
        }
    }

    /// Recognises a caller by its `Proxy-Authorization` and its socket.
    ///
    /// Credentials that were sent decide: wrong ones are never forgiven for the socket's sake.
    /// Under `run`, a caller that sends none costs a few hundred microseconds of `/proc`; the
    /// answer holds for the connection.
    pub fn prove(&self, authorization: Option<&HeaderValue>, peer: Peer) -> Result<Agent, Unproved> {
        match authorization {
            Some(value) => self.check(&basic::parse(value)?).ok_or(Unproved::Wrong),
            None => self.without_credentials(peer),
        }
    }

    /// Tells whether an agent that the gate before this one recognised would still be: its name
    /// exists and its password did not change.
    pub fn still(&self, agent: &Agent) -> bool {
        match agent.proof {
            Proof::Anonymous => matches!(self.silent, Silent::Anonymous(_)),
            Proof::Password => self.agents.get(&agent.name).is_some_and(|hash| fingerprint(hash) == agent.fingerprint),
            Proof::Descendant => matches!(&self.silent, Silent::Descendant { agent: own, .. } if *own == agent.name),
            Proof::Operator => true,
            Proof::Hypothetical => false,
        }
    }

    fn check(&self, claim: &Claim) -> Option<Agent> {
        let sent = hash(&claim.password);
        let known = self.agents.get_key_value(claim.name.as_str());
        // An unknown name costs the same comparison, against a hash that nothing has.
        let (name, kept) = known.map_or((None, &[0; 32]), |(name, kept)| (Some(name), kept));
        let same = verify_slices_are_equal(&sent, kept).is_ok();
        let name = name.filter(|_| same)?.clone();
        Some(Agent { name, proof: Proof::Password, fingerprint: fingerprint(kept) })
    }

    fn without_credentials(&self, peer: Peer) -> Result<Agent, Unproved> {
        let (name, proof) = match &self.silent {
            Silent::Nobody => return Err(Unproved::Missing),
            Silent::Anonymous(name) => (name, Proof::Anonymous),
            Silent::Descendant { agent, command } => {
                if !holds_socket(peer, command.load(Ordering::Acquire)) {
                    return Err(Unproved::Missing);
                }
                (agent, Proof::Descendant)
            }
        };
        Ok(Agent { name: name.clone(), proof, fingerprint: Fingerprint::NONE })
    }
}

#[cfg(target_os = "linux")]
fn holds_socket(peer: Peer, command: u32) -> bool {
    // Under `run` orphans of the command become our own children, and we start nothing else that
    // would call this port. The command itself may call before its starter has noted its number.
    let own = std::process::id();
    if command == 0 { super::descendant::holds(peer, &[own]) } else { super::descendant::holds(peer, &[command, own]) }
}

#[cfg(not(target_os = "linux"))]
fn holds_socket(_peer: Peer, _command: u32) -> bool {
    false
}

fn hash(password: &Secret) -> Hash {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, password.expose()).as_ref());
    out
}

fn fingerprint(hash: &Hash) -> Fingerprint {
    let mut out = [0; 16];
    out.copy_from_slice(&digest(&SHA256, hash).as_ref()[..16]);
    Fingerprint(out)
}

#[cfg(test)]
mod tests;
