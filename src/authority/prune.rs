//! Forgets old events. Who asks for one that is gone is told to start anew.

use super::Authority;
use super::recorder::Work;
use super::rows::Tip;
use super::store::{Intent, StoreError};

/// Events are kept this long, in seconds: a sidecar that was away for longer starts anew.
const AGE: i64 = 7 * 24 * 3600;

/// And no more of a workspace than this.
const MOST: i64 = 100_000;

/// Events that one transaction deletes.
const AT_ONCE: i64 = 5_000;

impl Authority {
    /// Forgets the old events of every workspace. It blocks.
    pub(super) fn prune_events(&self) -> Result<(), StoreError> {
        let tips = Tip::all(&mut *self.desk.store.begin(Intent::Read)?)?;
        for (workspace, tip) in tips {
            loop {
                let name = workspace.clone();
                let deleted = self.write(move |work| prune(work, &name, tip.last_event - MOST))?;
                if deleted == 0 {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Deletes some of those up to the newest that is too old or too far back. What is left is always
/// all that came after its first one, whatever the clocks said.
fn prune(work: &mut Work<'_>, workspace: &str, last: i64) -> Result<u64, StoreError> {
    let sql = "SELECT min(number), max(CASE WHEN at < $2 OR number <= $3 THEN number ELSE 0 END)
        FROM events WHERE workspace = $1";
    let rows = work.query(sql, &[workspace.into(), (work.now - AGE).into(), last.into()])?;
    let Some(row) = rows.first() else { return Ok(0) };
    let (Some(first), Some(last)) = (row.int_or_null(0)?, row.int_or_null(1)?) else { return Ok(0) };
    let last = last.min(first + AT_ONCE - 1);
    work.execute("DELETE FROM events WHERE workspace = $1 AND number <= $2", &[workspace.into(), last.into()])
}
