//! Reads the Authority's audit, newest first. What proves it is in `proof`.

use std::time::SystemTime;

use super::Authority;
use super::connections::time;
use super::store::{Row, StoreError, Value};

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Search {
    /// Older than this one: seconds, instance, sequence.
    pub(super) before: Option<(i64, String, i64)>,
    /// Not before this moment, in seconds since 1970.
    pub(super) since: Option<i64>,
    pub(super) event: Option<String>,
    pub(super) connection: Option<String>,
    pub(super) limit: i64,
}

/// A line of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) instance: String,
    pub(super) sequence: i64,
    pub(super) at: SystemTime,
    pub(super) seconds: i64,
    pub(super) event: String,
    pub(super) connection: Option<String>,
    /// The text that the chain covers.
    pub(super) body: String,
}

impl Authority {
    /// The newest lines of the workspace that match. It blocks.
    pub(super) fn records(&self, search: &Search) -> Result<Vec<Recorded>, StoreError> {
        let sql = "SELECT instance, sequence, at, event, connection, body FROM audit
            WHERE workspace = $1 AND (at, instance, sequence) < ($2, $3, $4) AND at >= $5
                AND ($6 = '' OR event = $6) AND ($7 = '' OR connection = $7)
            ORDER BY at DESC, instance DESC, sequence DESC LIMIT $8";
        let newest = || (i64::MAX, String::new(), 0);
        let (at, instance, sequence) = search.before.clone().unwrap_or_else(newest);
        let values: [Value; 8] = [
            self.workspace.as_str().into(),
            at.into(),
            instance.into(),
            sequence.into(),
            search.since.unwrap_or(i64::MIN).into(),
            search.event.as_deref().unwrap_or_default().into(),
            search.connection.as_deref().unwrap_or_default().into(),
            search.limit.into(),
        ];
        self.read(|tx| tx.list(sql, &values, Recorded::read))
    }
}

impl Recorded {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            instance: row.text(0)?.to_owned(),
            sequence: row.int(1)?,
            at: time(row.int(2)?),
            seconds: row.int(2)?,
            event: row.text(3)?.to_owned(),
            connection: row.text_or_null(4)?.map(str::to_owned),
            body: row.text(5)?.to_owned(),
        })
    }
}
