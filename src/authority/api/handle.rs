//! The life of a call: endpoint, version, caller, limit, role, parameters, body, handler, answer.
//!
//! Whatever happens is answered, in the shape of the surface that was called; nothing of what was
//! sent goes into the log.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::answer::{Answer, AnswerBody};
use super::call::{Arguments, Call};
use super::caller::{self, Role};
use super::endpoint::{Endpoint, Handler};
use super::problem::{ApiCode, Problem, Surface};
use super::rate::Standing;
use super::{Api, version};
use crate::authority::access::{Presented, Principal};
use crate::authority::vault;
use crate::model::TraceId;

/// Whose connection it is.
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// The certificate that it showed, verified.
    pub(super) certificate: Option<Arc<[u8]>>,
}

/// What is known of a call before it is known what comes of it.
#[derive(Default)]
struct Course<'a> {
    endpoint: Option<&'a Endpoint>,
    standing: Option<Standing>,
}

/// Answers one request.
pub(super) async fn handle<B>(api: &Arc<Api>, peer: &Peer, request: Request<B>) -> Response<AnswerBody>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let started = api.clock.boot();
    let trace = TraceId::from_random(vault::random().map(|bytes| *bytes).unwrap_or_default());
    let (parts, body) = request.into_parts();
    let mut course = Course::default();
    let result = match guard(attempt(api, peer, &parts, body, &mut course)).await {
        Some(result) => result,
        None => Err(Problem::internal("a handler made this program panic")),
    };
    // Whoever is not known, or not let in, is counted by the address.
    let (standing, result) = match course.standing {
        Some(standing) => (standing, result),
        None => {
            let standing = api.limits.stranger(peer.address, api.clock.boot());
            (standing, standing.check().and(result))
        }
    };
    let mut response = match result {
        Ok(answer) => answer.into_response(),
        Err(problem) => {
            if let Some(reason) = problem.log() {
                tracing::error!(%trace, reason, "a call failed");
            }
            let surface = course.endpoint.map_or_else(|| Surface::of(parts.uri.path()), |endpoint| endpoint.surface);
            Answer::refusal(&problem, surface, trace)
        }
    };
    standing.write(response.headers_mut());
    response.headers_mut().insert(version::HEADER, HeaderValue::from_static(version::SPOKEN));
    if parts.method == Method::HEAD {
        *response.body_mut() = AnswerBody::Whole(Bytes::new());
    }
    api.metrics.answered(course.endpoint, response.status(), api.clock.boot().saturating_sub(started));
    response
}

async fn attempt<'a, B>(
    api: &'a Arc<Api>,
    peer: &Peer,
    parts: &Parts,
    body: B,
    course: &mut Course<'a>,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let found = api.router.find(&parts.method, parts.uri.path())?;
    let endpoint = found.endpoint;
    course.endpoint = Some(endpoint);
    version::check(&parts.headers)?;
    let (principal, presented) = match endpoint.handler.roles() {
        None => (None, None),
        Some(_) => {
            let (principal, presented) = admit(api, peer, &parts.headers, endpoint).await?;
            (Some(principal), Some(presented))
        }
    };
    let now = api.clock.boot();
    let standing = match &principal {
        Some(principal) => api.limits.known(principal.id(), endpoint.bucket, now),
        None => api.limits.stranger(peer.address, now),
    };
    course.standing = Some(standing);
    standing.check()?;
    let (Some(principal), Some(roles)) = (&principal, endpoint.handler.roles()) else {
        return run(api, endpoint, call(api, parts, body, found.path, endpoint).await?, None).await;
    };
    if !roles.contains(&Role::of(principal)) {
        let message = format!("this call is not for the scope {}", principal.scope().word());
        return Err(Problem::new(ApiCode::PermissionDenied, message));
    }
    let call = call(api, parts, body, found.path, endpoint).await?;
    run(api, endpoint, Call { presented, ..call }, Some(principal.clone())).await
}

async fn admit(
    api: &Arc<Api>,
    peer: &Peer,
    headers: &HeaderMap,
    endpoint: &Endpoint,
) -> Result<(Principal, Arc<Presented>), Problem> {
    let admitted = match Presented::of(headers, peer.certificate.as_deref()) {
        Ok(presented) => {
            let (gate, presented) = (Arc::clone(&api.gate), Arc::new(presented));
            let shown = Arc::clone(&presented);
            api.blocking.run(move || gate.admit(&shown)).await?.map(|principal| (principal, presented))
        }
        Err(why) => Err(why),
    };
    admitted.map_err(|why| caller::refused(&why, endpoint))
}

/// Reads what the handler will work with.
async fn call<B>(
    api: &Arc<Api>,
    parts: &Parts,
    body: B,
    path: Vec<String>,
    endpoint: &Endpoint,
) -> Result<Call, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let arguments = Arguments::read(endpoint, &path, parts.uri.query(), &parts.headers)?;
    let body = match &endpoint.body {
        None => Bytes::new(),
        Some(_) => {
            if endpoint.surface == Surface::New {
                is_json(&parts.headers)?;
            }
            read(api, body).await?
        }
    };
    Ok(Call { api: Arc::clone(api), presented: None, arguments, body })
}

/// The reference looks at no content type; what is new wants one, so that no form of a web page can
/// send it.
fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(ApiCode::UnsupportedMediaType, "the body must be application/json, and its content-type say so"))
}

async fn read<B>(api: &Api, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let most = api.waits.body_limit;
    let too_large = || Problem::new(ApiCode::BodyTooLarge, format!("the body is longer than {most} bytes"));
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match timeout(api.waits.body, Limited::new(body, most).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::invalid("the body did not come to its end")),
        Err(_) => Err(Problem::new(ApiCode::RequestTimeout, "the body did not arrive in time")),
    }
}

async fn run(api: &Arc<Api>, endpoint: &Endpoint, call: Call, principal: Option<Principal>) -> Result<Answer, Problem> {
    let done = async {
        match (&endpoint.handler, principal) {
            (Handler::Open(work), _) => {
                let work = *work;
                api.blocking.run(move || work(&call)).await?
            }
            (Handler::Blocks(_, work), Some(principal)) => {
                let work = *work;
                api.blocking.run(move || work(&call, &principal)).await?
            }
            (Handler::Waits(_, work), Some(principal)) => work(call, principal).await,
            (Handler::Blocks(..) | Handler::Waits(..), None) => Err(Problem::internal("nobody was admitted")),
        }
    };
    timeout(api.waits.deadline, done).await.unwrap_or_else(|_| {
        let log = format!("{} {} took longer than it may", endpoint.method, endpoint.path);
        Err(Problem::new(ApiCode::Unavailable, "the Authority did not get done in time").with_log(log))
    })
}

/// A panicking call ends alone.
async fn guard<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let result =
        std::future::poll_fn(|cx| match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(Some(result)),
            Err(_) => Poll::Ready(None),
        });
    result.await
}
