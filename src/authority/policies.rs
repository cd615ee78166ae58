//! The policy that sidecars with `policy: [ authority ]` follow: documents, each with a number, none
//! of them accepted unless a sidecar would take it.

use std::time::SystemTime;

use super::Authority;
use super::connections::time;
use super::event::News;
use super::record::Record;
use super::store::{Row, StoreError, Transaction};
use crate::config::{Document, Problems};
use crate::policy::Policy;

/// The longest document, in bytes.
const LONGEST: usize = 512 << 10;

/// One version of a workspace's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// 1, 2, …
    pub version: u64,
    /// The text, as it was set.
    pub document: String,
    /// Who set it.
    pub set_by: String,
    /// When.
    pub at: SystemTime,
}

/// What keeps a document from being the policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// No sidecar would take it.
    #[error("the policy is not valid\n{0}")]
    Invalid(Problems),
    /// It says itself that it does something else than it should.
    #[error("a test of the policy fails: {request} should be {expected:?}, and is {got:?}")]
    Test {
        /// Where the first of them is written.
        line: u64,
        /// What is asked.
        request: String,
        /// What it says that it does.
        expected: String,
        /// What it does.
        got: String,
    },
    /// Too long.
    #[error("the policy is longer than 512 KiB")]
    TooLong,
    /// Somebody else was quicker.
    #[error("the policy is at version {found} meanwhile, and not at {expected}: look at it first")]
    Moved {
        /// What it was to follow.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Refuses what a sidecar would not take, and what fails its own tests.
pub fn check_policy(document: &str) -> Result<Policy, PolicyError> {
    if document.len() > LONGEST {
        return Err(PolicyError::TooLong);
    }
    let policy = Policy::compile(vec![Document::of_authority(0, document)]).map_err(PolicyError::Invalid)?;
    if let Some(failed) = policy.test().into_iter().find(|test| !test.passed) {
        let line = failed.at.line as u64;
        let (request, expected, got) = (failed.request, failed.expected, failed.got);
        return Err(PolicyError::Test { line, request, expected, got });
    }
    Ok(policy)
}

impl Authority {
    /// Makes a document the policy; tells its version, and whether that is new: the same text again
    /// changes nothing. With `after`, only if that is the version now.
    pub fn set_policy(&self, document: &str, after: Option<u64>) -> Result<(PolicyVersion, bool), PolicyError> {
        check_policy(document)?;
        let document = document.to_owned();
        self.write(move |work| {
            let workspace = work.workspace.as_str();
            let current = PolicyVersion::current(work.tx(), workspace)?;
            let number = current.as_ref().map_or(0, |current| current.version);
            if let Some(expected) = after.filter(|after| *after != number) {
                return Err(PolicyError::Moved { expected, found: number });
            }
            if let Some(current) = current.filter(|current| current.document == document) {
                return Ok((current, false));
            }
            let set =
                PolicyVersion { version: number + 1, document, set_by: work.actor.to_string(), at: time(work.now) };
            let sql = "INSERT INTO policies (workspace, version, document, set_by, at) VALUES ($1, $2, $3, $4, $5)";
            let version = set.version.cast_signed();
            let values = [
                workspace.into(),
                version.into(),
                set.document.as_str().into(),
                set.set_by.as_str().into(),
                work.now.into(),
            ];
            work.execute(sql, &values)?;
            work.record(Record::new("policy.set").with("version", set.version));
            work.announce(News::new("policy.changed"));
            Ok((set, true))
        })
    }

    /// The policy as it is now, if there is one.
    pub fn policy(&self) -> Result<Option<PolicyVersion>, StoreError> {
        self.read(|tx| PolicyVersion::current(tx, self.workspace.as_str()))
    }

    /// One version of it.
    pub fn policy_at(&self, version: u64) -> Result<Option<PolicyVersion>, StoreError> {
        let sql = "SELECT version, document, set_by, at FROM policies WHERE workspace = $1 AND version = $2";
        let values = [self.workspace.as_str().into(), version.cast_signed().into()];
        self.read(|tx| tx.find(sql, &values, PolicyVersion::read))
    }

    /// At most `limit` versions before this one, newest first.
    pub fn policies_before(&self, version: u64, limit: i64) -> Result<Vec<PolicyVersion>, StoreError> {
        let sql = "SELECT version, document, set_by, at FROM policies WHERE workspace = $1 AND version < $2
            ORDER BY version DESC LIMIT $3";
        let before = i64::try_from(version).unwrap_or(i64::MAX);
        let values = [self.workspace.as_str().into(), before.into(), limit.into()];
        self.read(|tx| tx.list(sql, &values, PolicyVersion::read))
    }
}

impl PolicyVersion {
    fn current(tx: &mut dyn Transaction, workspace: &str) -> Result<Option<Self>, StoreError> {
        let sql = "SELECT version, document, set_by, at FROM policies WHERE workspace = $1
            ORDER BY version DESC LIMIT 1";
        tx.find(sql, &[workspace.into()], Self::read)
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            version: row.int(0)?.cast_unsigned(),
            document: row.text(1)?.to_owned(),
            set_by: row.text(2)?.to_owned(),
            at: time(row.int(3)?),
        })
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    use crate::authority::for_tests::{clock, opened};

    use crate::model::Workspace;

    const ONE: &str = "version: 1\nrules:\n  - { host: a.test, action: forward }\n";
    const TWO: &str = "version: 1\nrules:\n  - { host: b.test, action: forward }\n";

    #[test]
    fn a_document_is_a_version_if_a_sidecar_would_take_it() {
        let folder = tempfile::tempdir().unwrap();
        let authority = opened(folder.path(), 7, &[], &clock()).unwrap();
        assert_eq!(authority.policy().unwrap(), None);
        let (one, new) = authority.set_policy(ONE, Some(0)).unwrap();
        assert_eq!((one.version, new, one.set_by.as_str()), (1, true, "command-line"));
        assert!(!authority.set_policy(ONE, None).unwrap().1, "the same text changes nothing");
        assert!(matches!(authority.set_policy(TWO, Some(0)), Err(PolicyError::Moved { expected: 0, found: 1 })));
        let failing = format!("{ONE}tests:\n  - {{ request: GET https://a.test/, expect: deny }}\n");
        let wrong = ["", "rules: [", "version: 2", "version: 1\nrules:\n  - { hots: a.test }\n", failing.as_str()];
        for wrong in wrong {
            assert!(authority.set_policy(wrong, None).is_err(), "{wrong}");
        }
        assert!(matches!(authority.set_policy(&" ".repeat(LONGEST + 1), None), Err(PolicyError::TooLong)));
        let (two, _) = authority.set_policy(TWO, Some(1)).unwrap();
        assert_eq!(authority.policy().unwrap(), Some(two.clone()));
        assert_eq!(authority.policy_at(1).unwrap(), Some(one.clone()));
        assert_eq!(authority.policies_before(u64::MAX, 9).unwrap(), [two, one.clone()]);
        assert_eq!(authority.policies_before(2, 9).unwrap(), [one]);
        let other = authority.within(Workspace::parse("other").unwrap());
        assert_eq!(other.policy().unwrap(), None);
    }
}
