//! CONNECT: refuse, tunnel, or intercept. 200 is never answered, and no leaf minted, before
//! policy was asked.

use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::answer::Answer;
use super::arrival::Arrival;
use super::classify::classify_connect;
use super::front::Front;
use super::intercept::Intercepted;
use super::tunnel::Tunnel;
use crate::model::{HostPort, Refusal};
use crate::policy::AtConnect;

/// Answers a CONNECT, and goes on with its bytes in a task of its own.
pub(super) async fn connect(
    front: &Arc<Front>,
    mut arrival: Arrival,
    mut request: Request<Incoming>,
) -> Response<Answer> {
    arrival.via = "connect";
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let named = parts.uri.authority().map_or_else(String::new, |authority| shown(authority.as_str()));
    let (target, decision) = match decide(front, &arrival, &parts) {
        Ok(decided) => decided,
        Err(refusal) => return front.pipeline.record_refusal(&arrival, &Method::CONNECT, &named, &refusal),
    };
    match decision {
        AtConnect::Deny(refusal) => return front.pipeline.record_refusal(&arrival, &Method::CONNECT, &named, &refusal),
        AtConnect::Intercept => {
            let intercepted = Intercepted { front: Arc::clone(front), arrival, target };
            front.spawn(intercepted.serve(upgrade));
        }
        AtConnect::Tunnel(permit, protocol) => match Tunnel::open(front, &arrival, &target, permit, protocol).await {
            Ok(tunnel) => front.spawn(tunnel.serve(upgrade)),
            Err(response) => return response,
        },
    }
    Response::new(Answer::empty())
}

fn decide(front: &Front, arrival: &Arrival, parts: &http::request::Parts) -> Result<(HostPort, AtConnect), Refusal> {
    let agent = arrival.agent()?;
    let target = classify_connect(parts)?;
    let decision = front.pipeline.policy.load().at_connect(agent, &target);
    Ok((target, decision))
}

/// An authority for the record: never the user information that someone put there.
fn shown(authority: &str) -> String {
    authority.rsplit('@').next().unwrap_or_default().to_owned()
}
