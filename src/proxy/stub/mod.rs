//! Stubs: metadata and token endpoints that the sidecar plays for an agent, because a rule says so.
//!
//! One file each, of pure functions from a request to an answer. What they hand out are the
//! placeholders of `model::placeholder`, the same for everyone; nothing here knows a credential,
//! and nothing of such a request leaves this process.

mod aws;
mod aws_metadata;
mod aws_sts;
mod azure;
mod azure_login;
mod gcp;
mod jwt;
mod oauth;
mod reply;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};
use hyper::body::Incoming;

use self::reply::Reply;
use super::answer::Answer;
use super::held;
use super::pipeline::Pipeline;
use crate::model::{Query, Refusal, Stub, Target};
use crate::policy::Stubbed;

/// No SDK sends more than a signed assertion.
const LONGEST_BODY: usize = 64 << 10;

/// How long what is handed out claims to be good for.
const LIFE: Duration = Duration::from_secs(3600);

/// What came of a stub.
pub(super) struct Stubbing {
    pub(super) stub: Stub,
    pub(super) response: Response<Answer>,
    /// The bytes of its body.
    pub(super) down: u64,
}

/// A request, as a stub looks at it.
struct Asked<'a> {
    method: &'a Method,
    /// Host and port, as a URL writes them.
    authority: &'a str,
    path: &'a str,
    query: Option<&'a Query>,
    headers: &'a HeaderMap,
    body: &'a [u8],
    now: SystemTime,
}

impl Pipeline {
    /// Answers as a rule says. The agent may be gone, or the sidecar end, while a body comes.
    pub(super) async fn stub(
        &self,
        stubbed: &Stubbed,
        target: &Target,
        parts: &Parts,
        incoming: Option<Incoming>,
    ) -> Result<Stubbing, Refusal> {
        let stay = self.registry.connection(stubbed.terms().agent().clone());
        let body = tokio::select! {
            biased;
            body = read(incoming, self.timeouts.body) => body?,
            why = stay.closer().closed() => return Err(why),
        };
        let asked = Asked {
            method: &target.method,
            authority: &target.destination.authority(),
            path: target.path.as_str(),
            query: target.query.as_ref(),
            headers: &parts.headers,
            body: &body,
            now: self.clock.wall(),
        };
        let reply = answer(stubbed.stub(), &asked);
        let down = u64::try_from(reply.body.len()).unwrap_or_default();
        Ok(Stubbing { stub: stubbed.stub(), response: respond(reply), down })
    }
}

async fn read(incoming: Option<Incoming>, patience: Duration) -> Result<Bytes, Refusal> {
    match incoming {
        Some(incoming) => held::read(incoming, LONGEST_BODY, "what a stub reads", patience).await,
        None => Ok(Bytes::new()),
    }
}

fn answer(stub: Stub, asked: &Asked<'_>) -> Reply {
    match stub {
        Stub::AwsMetadata => aws_metadata::answer(asked),
        Stub::AwsContainer => aws::container(asked),
        Stub::AwsSts => aws_sts::answer(asked),
        Stub::GcpMetadata => gcp::answer(asked),
        Stub::AzureMetadata => azure::answer(asked),
        Stub::AzureLogin => azure_login::answer(asked),
        Stub::OauthToken => oauth::answer(asked),
    }
}

fn respond(reply: Reply) -> Response<Answer> {
    let text = Bytes::from(reply.body);
    let length = text.len();
    let mut response = Response::new(Answer::fixed(text));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.media));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in reply.headers {
        headers.insert(name, value);
    }
    response
}

impl<'a> Asked<'a> {
    /// The one value of a header; `None` where there is none, or more than one.
    fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().filter(|_| values.next().is_none())?;
        value.to_str().ok()
    }

    /// The one value of an item of the query.
    fn item(&self, name: &str) -> Option<String> {
        once(self.query?, name)
    }

    /// The items of a form, where the body is one.
    fn form(&self) -> Option<Query> {
        let media = self.header("content-type")?.split(';').next().unwrap_or_default().trim();
        let is_form = media.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        is_form.then(|| std::str::from_utf8(self.body).ok().map(Query::new))?
    }

    /// Whether it came through a proxy that says so: metadata services refuse what was relayed.
    fn is_relayed(&self) -> bool {
        self.headers.contains_key("x-forwarded-for")
    }

    /// The moment at which what is handed out ends.
    fn end(&self) -> SystemTime {
        self.now + LIFE
    }
}

/// The one value of a name; `None` where it is not there, or twice.
fn once(items: &Query, name: &str) -> Option<String> {
    let mut values = items.pairs().filter(|pair| pair.0 == name);
    let value = values.next().filter(|_| values.next().is_none())?;
    Some(value.1.into_owned())
}
