//! Freezing: nothing is lent in a workspace, until somebody says that it is lent again.
//!
//! It ends nothing. Connections are refreshed all the same, so that what thaws is as it was: a
//! refresh token that nobody uses for long may be gone. What is under way ends by itself, since its
//! credentials have left already; to close it, revoke.

use std::time::SystemTime;

use super::Authority;
use super::connections::time;
use super::event::News;
use super::record::Record;
use super::recorder::Work;
use super::store::StoreError;

/// Whether a workspace lends, and since when it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// When it was frozen; none while it lends.
    pub since: Option<SystemTime>,
    /// It is so by this change; otherwise it had been so before.
    pub changed: bool,
}

impl Authority {
    /// Since when nothing is lent. It blocks.
    pub fn frozen(&self) -> Result<Option<SystemTime>, StoreError> {
        let sql = "SELECT frozen_at FROM workspaces WHERE workspace = $1";
        let row = self.read(|tx| tx.row(sql, &[self.workspace.as_str().into()]))?;
        Ok(row.map(|row| row.int_or_null(0)).transpose()?.flatten().map(time))
    }

    /// Lends nothing from now on. It blocks.
    pub fn freeze(&self) -> Result<Freeze, StoreError> {
        self.write(|work| {
            if let Some(since) = frozen_at(work)? {
                return Ok(Freeze { since: Some(time(since)), changed: false });
            }
            let sql = "INSERT INTO workspaces (workspace, last_event, frozen_at) VALUES ($1, 0, $2)
                ON CONFLICT (workspace) DO UPDATE SET frozen_at = excluded.frozen_at";
            work.execute(sql, &[work.workspace.as_str().into(), work.now.into()])?;
            work.record(Record::new("frozen"));
            work.announce(News::new("frozen"));
            Ok(Freeze { since: Some(time(work.now)), changed: true })
        })
    }

    /// Lends again. It blocks.
    pub fn unfreeze(&self) -> Result<Freeze, StoreError> {
        self.write(|work| {
            if frozen_at(work)?.is_none() {
                return Ok(Freeze { since: None, changed: false });
            }
            let sql = "UPDATE workspaces SET frozen_at = NULL WHERE workspace = $1";
            work.execute(sql, &[work.workspace.as_str().into()])?;
            work.record(Record::new("unfrozen"));
            work.announce(News::new("unfrozen"));
            Ok(Freeze { since: None, changed: true })
        })
    }
}

fn frozen_at(work: &mut Work<'_>) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT frozen_at FROM workspaces WHERE workspace = $1 FOR UPDATE";
    let rows = work.query(sql, &[work.workspace.as_str().into()])?;
    rows.first().map(|row| row.int_or_null(0)).transpose().map(Option::flatten)
}

#[cfg(test)]
mod tests {
    use crate::authority::tests::{bearer, lend, name, open};
    use crate::lease::LendError;

    #[tokio::test]
    async fn a_frozen_workspace_lends_nothing_and_keeps_everything() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (open(folder.path()), open(folder.path()));
        let frozen = one.freeze().unwrap();
        assert_eq!(two.frozen().unwrap(), frozen.since);
        assert!(frozen.changed && frozen.since.is_some(), "a workspace without an event can be frozen");
        assert_eq!(two.freeze().unwrap(), super::Freeze { changed: false, ..frozen });
        one.add(bearer("github", "t")).unwrap();
        let source = two.source();
        assert_eq!(lend(&*source, "github").await.unwrap_err(), LendError::Frozen(name("github")));
        assert!(two.unfreeze().unwrap().changed);
        assert_eq!(two.unfreeze().unwrap(), super::Freeze { since: None, changed: false });
        assert!(lend(&*source, "github").await.is_ok());
    }
}
