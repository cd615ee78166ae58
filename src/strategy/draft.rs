use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::surviving::{self, Stance};
use super::{Head, Outbound, Signable, Watch, placeholder};
use crate::lease::{Lease, Memo};
use crate::model::{Code, Query, Refusal, is_same_header};
use crate::policy::{Permit, Verdict};

/// A request between what survived of it and what leaves.
pub(super) struct Draft {
    verdict: Verdict,
    connection: Option<(Arc<str>, u64)>,
    strategy: Option<&'static str>,
    pub(super) headers: HeaderMap,
    pub(super) query: Option<Query>,
    pub(super) content_length: Option<u64>,
    watched: Vec<Zeroizing<Vec<u8>>>,
    memo: Option<Arc<Memo>>,
}

impl Draft {
    pub(super) fn forward(head: &Head<'_>, permit: &Permit) -> Self {
        Self {
            verdict: Verdict::Forward(permit.clone()),
            connection: None,
            strategy: None,
            headers: surviving::headers(head.headers, Stance::Forward),
            query: head.query.cloned(),
            content_length: head.content_length,
            watched: vec![],
            memo: None,
        }
    }

    pub(super) fn inject(head: &Head<'_>, signable: Signable<'_>, lease: &Lease) -> Self {
        let grant = lease.grant();
        let (pass, keys) = (grant.terms().pass_headers(), grant.terms().key_headers());
        let held = match signable {
            Signable::Bytes(body) => u64::try_from(body.len()).ok(),
            Signable::Nothing => None,
        };
        Self {
            verdict: Verdict::Inject(grant.clone()),
            connection: Some((lease.id().clone(), lease.version())),
            strategy: Some(lease.strategy().kind()),
            headers: surviving::headers(head.headers, Stance::Inject { pass, keys }),
            query: head.query.cloned(),
            content_length: held.or(head.content_length),
            watched: vec![],
            memo: Some(Arc::clone(lease.memo())),
        }
    }

    /// Sets a header, in place of whatever the agent sent under that name. The value holds no
    /// line break, so a refusal here is a bug of ours or an answer to one.
    pub(super) fn set(&mut self, name: &HeaderName, value: &str) -> Result<(), Refusal> {
        let mut value = HeaderValue::from_str(value).map_err(|_| {
            Refusal::new(Code::Internal, format!("the header {name} could not be written with the connection's value"))
        })?;
        value.set_sensitive(true);
        let others = self.headers.keys().filter(|other| is_same_header(other, name)).cloned();
        for other in others.collect::<Vec<_>>() {
            self.headers.remove(other);
        }
        self.headers.insert(name, value);
        Ok(())
    }

    /// Remembers a value that must not come back to the agent.
    pub(super) fn watch(&mut self, value: &str) {
        self.watched.push(Zeroizing::new(value.as_bytes().to_vec()));
    }

    /// The request that leaves, unless it holds a placeholder: the only way to an [`Outbound`].
    pub(super) fn finish(self) -> Result<Outbound, Refusal> {
        let path = self.verdict.terms().path().as_str();
        let target = match &self.query {
            None => path.to_owned(),
            Some(query) => format!("{path}?{}", query.as_str()),
        };
        placeholder::refuse(&self.verdict, &target, &self.headers, &self.watched)?;
        Ok(Outbound {
            verdict: self.verdict,
            connection: self.connection,
            strategy: self.strategy,
            query: self.query,
            target,
            headers: self.headers,
            content_length: self.content_length,
            watch: Watch::over(self.watched, self.memo.as_deref()),
        })
    }
}
