use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Agent, failed, proto};
use crate::lease::backoff::Backoff;
use crate::lease::failed::Failed;
use crate::model::Secret;
use crate::telemetry::Clock;

/// What this workload is known by in TLS.
#[derive(Debug)]
pub struct X509Svid {
    /// `spiffe://…`.
    pub id: String,
    /// The certificates in DER, the own one first.
    pub chain: Vec<Vec<u8>>,
    /// The key of the first, in PKCS #8.
    pub key: Secret,
    /// The certificates in DER that those of the same trust domain lead to.
    pub bundle: Vec<Vec<u8>>,
}

/// The X.509-SVID of this workload, kept current for as long as it is followed.
pub struct X509Svids {
    agent: Agent,
    current: watch::Sender<Option<Arc<X509Svid>>>,
    clock: Arc<dyn Clock>,
}

impl X509Svids {
    /// The agent at a socket; `wait` bounds the time until its stream begins. Nothing is asked yet.
    pub fn new(socket: &Path, wait: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { agent: Agent::new(socket, wait), current: watch::Sender::new(None), clock }
    }

    /// The one to use now, and those that follow; none before the agent gave one.
    pub fn current(&self) -> watch::Receiver<Option<Arc<X509Svid>>> {
        self.current.subscribe()
    }

    /// Takes what the agent sends: it does so again ahead of each end. What it gave last stays until
    /// it gives another, and where it says that there is none any more, none is used.
    pub async fn follow(&self) {
        let mut backoff = Backoff::default();
        loop {
            let wait = backoff.next();
            if !wait.is_zero() {
                self.clock.sleep(wait).await;
            }
            if let Err(Failed::Unavailable(why) | Failed::Unusable(why)) = self.once(&mut backoff).await {
                tracing::warn!(why, "the stream of the SPIFFE agent ended: opening it again");
            }
        }
    }

    async fn once(&self, backoff: &mut Backoff) -> Result<(), Failed> {
        let mut stream = self.agent.x509().await?;
        loop {
            let message = match stream.next().await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(error) => {
                    // Permission denied: it has no identity any more.
                    if matches!(error, crate::dial::GrpcError::Status { code: 7, .. }) {
                        self.current.send_replace(None);
                    }
                    return Err(failed(&error));
                }
            };
            let svid = read(message.expose()).map_err(|error| {
                Failed::Unavailable(format!("the answer of the SPIFFE agent cannot be used: {error}"))
            })?;
            self.current.send_replace(Some(Arc::new(svid)));
            backoff.reset();
        }
    }
}

/// The first identity of an answer, which is the one to use without a wish.
fn read(message: &[u8]) -> Result<X509Svid, proto::Malformed> {
    let svids = proto::x509s(message)?;
    let svid = svids.first().filter(|svid| !svid.key.is_empty()).ok_or(proto::Malformed)?;
    let owned = |all: Vec<&[u8]>| all.into_iter().map(<[u8]>::to_vec).collect();
    Ok(X509Svid {
        id: svid.id.to_owned(),
        chain: owned(proto::certificates(svid.chain)?),
        key: Secret::new(svid.key),
        bundle: owned(proto::certificates(svid.bundle)?),
    })
}
