use std::borrow::Cow;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::IpAddr;

use rustls::CertificateError;
use rustls::pki_types::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Kind;
use crate::model::{Cause, Code, Destination, Refusal};
use crate::tls::IdentityError;

/// What keeps a destination from being reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("cannot resolve the name of {destination}")]
    Resolve {
        /// What was asked for.
        destination: Destination,
        /// The resolver's word.
        #[source]
        source: io::Error,
    },
    /// Every address is special, and the rule lists no network that holds one.
    #[error("{destination} resolves to {ip}, a {kind} address that no network of the rule allows")]
    Forbidden {
        /// What was asked for.
        destination: Destination,
        /// The first address.
        ip: IpAddr,
        /// What it is for.
        kind: Kind,
    },
    /// Every address is special, and the networks for calls on the word of data hold none.
    #[error("{destination} resolves to {ip}, a {kind} address that authority.networks does not list")]
    NotListed {
        /// What was asked for.
        destination: Destination,
        /// The first address.
        ip: IpAddr,
        /// What it is for.
        kind: Kind,
    },
    /// Data named a public address without TLS.
    #[error("{destination} resolves to {ip}, a public address: data alone sends nothing there in cleartext")]
    Cleartext {
        /// What was asked for.
        destination: Destination,
        /// The first address.
        ip: IpAddr,
    },
    /// It is one of our own listeners.
    #[error("{destination} resolves to {ip}, where this sidecar listens itself")]
    Own {
        /// What was asked for.
        destination: Destination,
        /// The address.
        ip: IpAddr,
    },
    /// No address took the connection.
    #[error("cannot connect to {destination}")]
    Connect {
        /// What was asked for.
        destination: Destination,
        /// What the last address said.
        #[source]
        source: io::Error,
    },
    /// We have no certificate of our own to show.
    #[error("cannot show a certificate to {destination}")]
    Identity {
        /// What was asked for.
        destination: Destination,
        /// Why not.
        #[source]
        source: IdentityError,
    },
    /// No TLS, or not with the right certificate.
    #[error("cannot agree on TLS with {destination}")]
    Tls {
        /// What was asked for.
        destination: Destination,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The time for all of it is over.
    #[error("{destination} took too long to {stage}")]
    Timeout {
        /// What was asked for.
        destination: Destination,
        /// Where the time went.
        stage: Stage,
    },
}

/// The steps of reaching a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The name.
    Resolve,
    /// TCP.
    Connect,
    /// The TLS handshake.
    Tls,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "complete the TLS handshake",
        })
    }
}

impl From<DialError> for Refusal {
    fn from(error: DialError) -> Self {
        let log = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let (code, message) = match &error {
            DialError::Resolve { destination, .. } => {
                (Code::UpstreamFailed, format!("the name of {destination} could not be resolved"))
            }
            DialError::Forbidden { .. } => (
                Code::PolicyDenied,
                "the destination resolves to an address that is not allowed: networks: in the rule must list it"
                    .to_owned(),
            ),
            DialError::NotListed { .. } => (
                Code::PolicyDenied,
                "the destination resolves to an address that is not allowed: authority.networks must list it"
                    .to_owned(),
            ),
            DialError::Cleartext { destination, .. } => {
                (Code::PolicyDenied, format!("nothing is sent to {destination} in cleartext"))
            }
            DialError::Own { .. } => (Code::PolicyDenied, "the destination is this sidecar itself".to_owned()),
            DialError::Connect { destination, source } => {
                (Code::UpstreamFailed, format!("no connection to {destination}: {}", connect_reason(source)))
            }
            DialError::Identity { destination, .. } => {
                (Code::UpstreamFailed, format!("this sidecar has no certificate to show to {destination}"))
            }
            DialError::Tls { destination, source } => (Code::UpstreamFailed, tls_reason(destination, source)),
            DialError::Timeout { .. } => (Code::UpstreamTimeout, error.to_string()),
        };
        let cause = match error {
            DialError::Resolve { .. } => Cause::Name,
            DialError::Forbidden { ip, .. } | DialError::NotListed { ip, .. } | DialError::Cleartext { ip, .. } => {
                Cause::Address(ip)
            }
            DialError::Own { .. } => Cause::Own,
            DialError::Connect { .. } => Cause::Connect,
            DialError::Tls { source, .. } if is_certificate(&source) => Cause::Certificate,
            DialError::Tls { .. } | DialError::Identity { .. } => Cause::Tls,
            DialError::Timeout { .. } => return Self::new(code, message).with_log(log),
        };
        Self::new(code, message).with_log(log).with_cause(cause)
    }
}

/// Tells whether a handshake failed since the certificate did not hold.
fn is_certificate(error: &io::Error) -> bool {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}

fn connect_reason(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "it was refused",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "there is no route to it",
        io::ErrorKind::TimedOut => "it did not answer",
        io::ErrorKind::ConnectionReset => "it was reset",
        _ => "the system refused it",
    }
}

/// Says what is wrong with the other side, in words that the agent may read.
fn tls_reason(destination: &Destination, error: &io::Error) -> String {
    use rustls::Error;
    let host = destination.host();
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(why)) => {
            format!("the certificate of {host} is not valid: {}; nothing was sent", certificate_reason(why))
        }
        Some(Error::NoCertificatesPresented) => format!("{host} showed no certificate; nothing was sent"),
        Some(Error::AlertReceived(alert)) => format!("{host} ended the TLS handshake with the alert {alert:?}"),
        Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => {
            format!("what answers at {destination} does not speak TLS")
        }
        Some(Error::PeerIncompatible(_)) => format!("{host} speaks no version or cipher of TLS that is accepted here"),
        Some(_) => format!("the TLS handshake with {host} failed"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => format!("{host} hung up during the TLS handshake"),
        None => format!("the connection to {host} broke during the TLS handshake"),
    }
}

/// Why a certificate is not taken, and what to do. Times that do not fit may be the clock's fault,
/// so that both are named.
fn certificate_reason(why: &CertificateError) -> Cow<'static, str> {
    use CertificateError::*;
    let clock = |what: &str, limit: UnixTime, now: UnixTime| {
        let (limit, now) = (moment(limit), moment(now));
        Cow::from(format!("{what} {limit}, and the clock here says {now} (if that is not now, set the clock)"))
    };
    Cow::from(match why {
        ExpiredContext { time, not_after } => return clock("it ended at", *not_after, *time),
        NotValidYetContext { time, not_before } => return clock("it starts at", *not_before, *time),
        Expired => "it has expired, by the clock here",
        NotValidYet => "it is not valid yet, by the clock here",
        UnknownIssuer => "its issuer is unknown (if it is a CA of your own, name its file in upstream.ca_files)",
        NotValidForName | NotValidForNameContext { .. } => "it is for another name",
        InvalidPurpose | InvalidPurposeContext { .. } => "it is not for servers",
        Revoked => "it was revoked",
        BadSignature => "its signature is wrong",
        BadEncoding | UnhandledCriticalExtension => "it cannot be read",
        _ => "its verification failed",
    })
}

/// A time as RFC 3339 has it, in UTC.
fn moment(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok());
    time.unwrap_or_else(|| "another age".to_owned())
}
