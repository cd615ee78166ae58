use crate::app::AppError;
use crate::audit::AuditError;
use crate::authority::{AuthorityError, ConnectionError};
use crate::config::Problems;
use crate::tls::CaError;

/// What keeps the demonstration from being held at all. A check that fails is no error: it is in
/// the report.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No randomness.
    #[error("the system gives no random bytes")]
    Random,
    /// A folder, a file or a socket.
    #[error("cannot {action}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A value that the demonstration makes for itself, and that is not taken: a fault of ours.
    #[error("the demonstration cannot make {0}")]
    Made(&'static str),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CaError),
    /// The store.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A connection.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] Problems),
    /// The audit.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The sidecar.
    #[error(transparent)]
    Sidecar(#[from] AppError),
    /// The shell.
    #[error("cannot run the agent, a shell script under /bin/sh")]
    Agent(#[source] std::io::Error),
    /// The script needs curl.
    #[error("the demo's agent is a shell script that needs curl, and there is no curl in PATH: install curl")]
    NoCurl,
    /// The script ended early.
    #[error("the agent ended early: {0}")]
    Broke(String),
    /// Something took too long.
    #[error("the agent did not end within 30 seconds")]
    Hung,
}
