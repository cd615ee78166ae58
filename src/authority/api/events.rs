//! The stream of events, which sidecars hold.

use std::time::Duration;

use http::Method;

use super::answer::Answer;
use super::call::Call;
use super::caller::Role;
use super::endpoint::{Bucket, Endpoint, Handler, Kind, Parameter, Place, Shape};
use super::problem::{Problem, Surface};
use super::sse::{self, Event, Source};
use crate::authority::access::Principal;
use crate::authority::stream::{Item, Known, Subscription, Whose};

/// A stream says this often that it is there. Whoever hears nothing for a few of them knows that it
/// may be missing something.
const BEAT: Duration = Duration::from_secs(2);

/// A number that counts events: more of them than there will ever be are no number of ours.
const NUMBER: Kind = Kind::Number { least: 0, most: 9_007_199_254_740_991, default: None };

const LAST: Parameter = Parameter {
    name: "Last-Event-ID",
    place: Place::Header,
    kind: NUMBER,
    says: "The last event that the caller has; without it, the stream starts with what happens next",
};

const AFTER: Parameter = Parameter {
    name: "after",
    place: Place::Query,
    kind: NUMBER,
    says: "The same, for who cannot set a header, which counts where both are there",
};

const STORE: Parameter = Parameter {
    name: "store",
    place: Place::Query,
    kind: Kind::Any,
    says: "The store that gave that number, as hello named it: for another one the caller starts anew",
};

pub(super) fn endpoints() -> [Endpoint; 1] {
    [Endpoint {
        method: Method::GET,
        path: "/api/v2/events",
        name: "followEvents",
        surface: Surface::New,
        summary: "Follows what makes leases worthless: hello, then each change, a beat every 2 s, and resync where \
            events are gone; a sidecar hears of its agents alone",
        parameters: vec![LAST, AFTER, STORE],
        body: None,
        answers: vec![(200, "A stream that does not end", Some(Shape::Text("text/event-stream")))],
        bucket: Bucket::Requests,
        handler: Handler::Waits(&[Role::Admin, Role::Sidecar], |call, caller| Box::pin(follow(call, caller))),
    }]
}

async fn follow(call: Call, caller: Principal) -> Result<Answer, Problem> {
    let whose = Whose::of(&caller.follow()?);
    let given = call.given(LAST.name).or(call.given(AFTER.name));
    let known = Known {
        number: given.and_then(|number| number.parse().ok()),
        store: call.given(STORE.name).map(str::to_owned),
    };
    let subscription = call.authority(&caller).subscribe(whose, known).await?;
    let (sender, feed) = sse::feed();
    let pump = sse::pump(subscription, sender, BEAT, call.api.waits.stalled, call.stopping());
    // A key that was revoked since opens nothing, and keeps nothing open.
    tokio::spawn(async move {
        tokio::select! {
            () = pump => {}
            () = call.dismissed(caller, BEAT) => {}
        }
    });
    Ok(Answer::events(feed))
}

impl Source for Subscription {
    async fn next(&mut self) -> Option<Event> {
        match Self::next(self).await {
            Ok(item) => item.map(|item| Event { id: item.id(), event: item.name(), data: item.data() }),
            // Whoever follows comes back, and hears what it missed.
            Err(error) => {
                tracing::warn!(%error, "cannot read the events: a stream of them ends");
                None
            }
        }
    }

    fn beat(&self) -> Option<Event> {
        let number = Self::beat(self)?;
        Some(Event { id: None, event: "beat", data: Item::numbered(number) })
    }
}
