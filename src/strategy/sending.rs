//! A request of an agent, written down for tests, and what becomes of it.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use time::PrimitiveDateTime;
use time::macros::format_description;

use super::{Ambient, BodyNeed, Head, Outbound, Signable, apply, body_need};
use crate::lease::{Lease, Lent};
use crate::model::{Query, Refusal, Strategy};
use crate::policy::{Grant, Permit};
use crate::sign::verifier::{Received, verify};

/// What the agent sent and which connection is used; the host is `api.example.test`.
pub(super) struct Sending<'a> {
    pub(super) strategy: Value,
    pub(super) credentials: &'a [(&'a str, &'a str)],
    pub(super) method: &'a str,
    /// Path and query at `https://api.example.test`, or a whole URL.
    pub(super) target: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    /// As `X-Amz-Date` has it.
    pub(super) date: &'a str,
    pub(super) pass_headers: &'a [HeaderName],
}

impl Sending<'_> {
    pub(super) fn get(strategy: Value) -> Self {
        Self {
            strategy,
            credentials: &[],
            method: "GET",
            target: "/r",
            headers: &[],
            body: b"",
            date: "20261121T092751Z",
            pass_headers: &[],
        }
    }

    pub(super) fn need(&self) -> Result<BodyNeed, Refusal> {
        self.with_head(|head, lent| body_need(lent, head))
    }

    /// Applies, with the body held where it must be.
    pub(super) fn outbound(&self) -> Result<Outbound, Refusal> {
        self.with_head(|head, lent| {
            let signable = match body_need(lent, head)? {
                BodyNeed::Streamed => Signable::Nothing,
                BodyNeed::Buffered => Signable::Bytes(self.body),
            };
            apply(head, signable, lent, Ambient { now: moment(self.date) })
        })
    }

    /// Applies, and has an independent verifier check the signature; gives the signed headers.
    pub(super) fn verified(&self, secret: &str) -> (Outbound, String) {
        let outbound = self.outbound().unwrap();
        let mut headers = vec![("host".to_owned(), outbound.terms().destination().authority().into_bytes())];
        if !self.body.is_empty() {
            headers.push(("content-length".to_owned(), self.body.len().to_string().into_bytes()));
        }
        headers.extend(outbound.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())));
        let received = Received { method: self.method, target: outbound.request_target(), headers, body: self.body };
        let signed = verify(&received, secret).unwrap();
        (outbound, signed.join(";"))
    }

    fn with_head<T>(&self, ask: impl FnOnce(&Head<'_>, &Lent) -> T) -> T {
        let (url, query) = self.split();
        let lent = if self.strategy.is_null() {
            Lent::Nothing(Permit::for_tests(self.method, &url))
        } else {
            let grant = Grant::for_tests(self.method, &url, "the-connection", self.pass_headers);
            let strategy = Strategy::from_json(&self.strategy).unwrap();
            let credentials: Vec<_> = self.credentials.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            Lent::Lease(Lease::for_tests(grant, strategy, &credentials))
        };
        let headers = header_map(self.headers);
        let content_length = u64::try_from(self.body.len()).ok();
        ask(&Head { headers: &headers, query: query.as_ref(), content_length }, &lent)
    }

    fn split(&self) -> (String, Option<Query>) {
        let whole = if self.target.starts_with('/') {
            format!("https://api.example.test{}", self.target)
        } else {
            self.target.to_owned()
        };
        match whole.split_once('?') {
            Some((url, query)) => (url.to_owned(), Some(Query::new(query))),
            None => (whole, None),
        }
    }
}

pub(super) fn header_map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

pub(super) fn moment(text: &str) -> SystemTime {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    PrimitiveDateTime::parse(text, format).unwrap().assume_utc().into()
}
