//! Every code of a refusal: what it means and what to do next, as a table.

use crate::model::{Cause, Code};

/// What a code means, and the next steps.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) means: &'static str,
    /// `{connection}`, `{host}`, `{agent}`, `{trace}` and `{add}` stand for the request's own.
    pub(super) then: &'static [&'static str],
}

/// Finds what to say of a refusal.
pub(super) const fn of(code: Code, cause: Option<Cause>) -> Advice {
    match (code, cause) {
        (Code::PolicyDenied, Some(cause)) => of_policy(cause),
        (Code::UpstreamFailed, Some(cause)) => of_upstream(cause),
        (code, _) => of_code(code),
    }
}

const fn of_policy(cause: Cause) -> Advice {
    let (means, then): (_, &[_]) = match cause {
        Cause::Address(_) => (
            "the host's name leads to an address that is not public, and no network of the rule holds it",
            &["list the address only if the agent is meant to reach that machine"],
        ),
        Cause::Own => (
            "the request would have come back to this sidecar",
            &["reach the sidecar's own pages without the proxy: NO_PROXY, or `run --no-proxy {host}`"],
        ),
        Cause::Unbound => (
            "the rule borrows connection {connection}, and its credential goes to the hosts that it is bound to alone",
            &[
                "see its hosts: nexus-sidecar connection show {connection}",
                "let the rule name a connection of {host}, or make one: {add}",
            ],
        ),
        Cause::PolicyChanged => ("the policy changed while the request was under way", &["send it again"]),
        Cause::Signature => (
            "the request's AWS signature names a service or a region that {host} or the connection does not take",
            &[
                "let the client sign for the host's own service and region",
                "see what the connection allows: nexus-sidecar connection show {connection}",
            ],
        ),
        Cause::Placeholder => (
            "the request holds a placeholder where no credential is put",
            &["leave it out of the request, or borrow its connection in the rule for {host}, as the reason says"],
        ),
        _ => return of_code(Code::PolicyDenied),
    };
    Advice { means, then }
}

const fn of_upstream(cause: Cause) -> Advice {
    let (means, then): (_, &[_]) = match cause {
        Cause::Name => (
            "the name {host} has no address here",
            &["look for a typing error in it", "resolve it on this machine: getent hosts {host}"],
        ),
        Cause::Connect => {
            ("{host} took no connection", &["see that the service runs, and that this machine reaches it on that port"])
        }
        Cause::Certificate => (
            "the certificate of {host} is not one to trust, and nothing was sent",
            &[
                "if it comes from an authority of your own: name that authority's file in upstream.ca_files",
                "otherwise ask whoever runs {host}: verification cannot be turned off",
            ],
        ),
        Cause::Tls => (
            "{host} did not speak TLS as it must",
            &["see that the port is one of HTTPS: a destination in the clear needs http:// and a rule for it"],
        ),
        _ => return of_code(Code::UpstreamFailed),
    };
    Advice { means, then }
}

const fn of_code(code: Code) -> Advice {
    let (means, then): (_, &[_]) = match code {
        Code::InvalidRequest => (
            "the request is malformed or of a form that is never passed on; the policy was not asked",
            &["let the client send it otherwise, as the reason says: no rule changes this"],
        ),
        Code::ProxyAuthenticationRequired => (
            "the caller did not prove which agent it is",
            &[
                "under `run`: let the client take HTTPS_PROXY as it is set, password included; only the command and its children are known",
                "under `proxy`: HTTPS_PROXY=http://AGENT:PASSWORD@HOST:PORT, with a name and a password of `agents:`",
                "git waits to be asked: git config --global http.proxyAuthMethod basic",
            ],
        ),
        Code::PolicyDenied => ("the policy does not allow it", &[]),
        Code::ConnectionNotFound
        | Code::ConnectionNotReady
        | Code::ConnectionRevoked
        | Code::ConnectionExpired
        | Code::AttentionRequired
        | Code::CredentialUnusable => return of_connection(code),
        Code::BodyTooLarge => (
            "the connection's strategy signs the body, which is longer than is held",
            &["raise limits.buffer in the configuration, or send less at once"],
        ),
        Code::MisdirectedRequest => (
            "CONNECT, TLS server name, URL and Host header do not name one host",
            &["let the client name {host} in all of them: a Host header of one's own is never needed"],
        ),
        Code::NotSupported => ("it is understood, and not done by this version", &["see the reason for what is"]),
        Code::Internal => (
            "something went wrong in the sidecar",
            &["look for {trace} in its log, and report it: it is a mistake of ours"],
        ),
        Code::UpstreamFailed => (
            "{host} did not answer as an HTTP server does",
            &["try it again; see that the service is well if it stays so"],
        ),
        Code::AuthorityUnavailable => (
            "the source of the credentials could not be asked",
            &["check store and key: nexus-sidecar doctor", "then try it again"],
        ),
        Code::UpstreamTimeout => (
            "{host} did not answer in time",
            &["try it again; raise `timeouts` in the configuration for answers that take longer"],
        ),
        Code::RequestTimeout => (
            "the agent's side was too slow, or idle for too long",
            &["send it again; raise `timeouts` in the configuration for slow clients"],
        ),
        Code::Unavailable => (
            "the sidecar was shutting down, or at a limit of its own",
            &["try it again", "if the audit cannot be written, make room: nexus-sidecar doctor"],
        ),
    };
    Advice { means, then }
}

const fn of_connection(code: Code) -> Advice {
    let (means, then): (_, &[_]) = match code {
        Code::ConnectionNotFound => (
            "the rule borrows connection {connection}, and there is none of that name",
            &["make it: {add}", "or see those that there are: nexus-sidecar connection list"],
        ),
        Code::ConnectionNotReady => (
            "connection {connection} has no credentials yet",
            &["give it some: nexus-sidecar connection set {connection}"],
        ),
        Code::ConnectionRevoked => {
            ("connection {connection} was revoked or deleted", &["make it again, with a new credential: {add}"])
        }
        Code::ConnectionExpired => (
            "the credentials of connection {connection} have expired",
            &["give it new ones, which running sidecars follow: nexus-sidecar connection set {connection}"],
        ),
        Code::AttentionRequired => {
            ("connection {connection} waits for a person", &["look at it: nexus-sidecar connection show {connection}"])
        }
        _ => (
            "what connection {connection} holds cannot be put on a request",
            &[
                "see its fields and settings: nexus-sidecar connection show {connection}",
                "give it others: nexus-sidecar connection set {connection}",
            ],
        ),
    };
    Advice { means, then }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_and_cause_has_a_meaning_and_a_next_step() {
        for code in Code::ALL {
            for cause in Cause::ALL.into_iter().map(Some).chain([None]) {
                let advice = of(code, cause);
                let steps = advice.means.is_empty() || advice.then.iter().any(|step| step.is_empty());
                assert!(!steps, "{code:?} {cause:?}");
                // What the policy refused by itself is answered by its review.
                let reviewed = advice == of(Code::PolicyDenied, None);
                assert_eq!(advice.then.is_empty(), reviewed, "{code:?} {cause:?}");
                assert!(!reviewed || code == Code::PolicyDenied);
            }
        }
        for cause in [Cause::Name, Cause::Connect, Cause::Certificate, Cause::Tls] {
            assert_ne!(of(Code::UpstreamFailed, Some(cause)), of(Code::UpstreamFailed, None), "{cause:?}");
        }
    }
}
