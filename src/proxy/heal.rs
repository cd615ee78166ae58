//! A destination refuses our credentials: asked once more with others, or passed on and marked.

use std::time::Duration;

use http::header::CONTENT_ENCODING;
use http::{HeaderName, HeaderValue, Method};

use super::body::Body;
use super::upstream::Sent;
use crate::lease::{Blame, Healed, Lease, Leases, Lent};
use crate::model::{ByStatus, Credential};

/// On an answer that refuses what we put on the request: whose doing it is. A destination's own header
/// of this name never passes.
pub(super) const X_NEXUS_CREDENTIAL: HeaderName = HeaderName::from_static("x-nexus-credential");

/// A piece of an error's body comes soon, or is not looked at.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an answer calls for.
pub(super) enum Next {
    /// The request, once more, with this.
    Again(Lease),
    /// The answer; with a word where something is to be said about the credentials.
    Done(Option<Credential>),
}

/// Judges an answer, and makes others for credentials that were refused. `replayed` says that these
/// are such others: there is no third time.
pub(super) async fn heal(
    leases: &Leases,
    lent: &Lent,
    sent: &mut Sent,
    method: &Method,
    body: &Body,
    replayed: bool,
    now: Duration,
) -> Next {
    let Lent::Lease(lease) = lent else { return Next::Done(None) };
    if !is_refused(lease, sent).await {
        if sent.response.status().is_success() {
            lease.accepted(now);
        }
        if replayed {
            leases.replayed(lease, false);
        }
        return Next::Done(replayed.then_some(Credential::Renewed));
    }
    if replayed {
        leases.replayed(lease, true);
        return Next::Done(Some(Credential::RequestRefused));
    }
    let may_repeat = method.is_idempotent() || lease.refused_as().before_effect;
    // Others are made though this request cannot be sent again: the next one goes with them.
    match leases.heal(lease).await {
        Healed::Again(lease) if may_repeat && body.can_be_sent_again() => Next::Again(lease),
        Healed::Again(_) | Healed::Not(Blame::Credential) => Next::Done(Some(Credential::Refused)),
        Healed::Not(Blame::Request) => Next::Done(Some(Credential::RequestRefused)),
    }
}

async fn is_refused(lease: &Lease, sent: &mut Sent) -> bool {
    let words = match lease.refused_as().by_status(sent.response.status()) {
        ByStatus::Refused => return true,
        ByStatus::Other => return false,
        ByStatus::IfBodyHolds(words) => words,
    };
    !sent.response.headers().contains_key(CONTENT_ENCODING) && sent.response.body_mut().holds(&words, PATIENCE).await
}

/// An answer that nobody wants any more: its connection serves again if it ends soon.
pub(super) async fn pass_over(sent: Sent) {
    const SOON: Duration = Duration::from_millis(250);
    let Sent { response, mut checkout } = sent;
    if response.into_body().pass_over(SOON).await {
        checkout.give_back();
    }
}

/// The mark of an answer, where one is due.
pub(super) fn mark(credential: Option<Credential>) -> Option<HeaderValue> {
    match credential {
        Some(refused @ (Credential::Refused | Credential::RequestRefused)) => {
            Some(HeaderValue::from_static(refused.word()))
        }
        Some(Credential::Renewed) | None => None,
    }
}
