use crate::authority::store::{StoreError, Transaction};

/// Where a workspace stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(in crate::authority) struct Tip {
    /// The number of its last event; numbers follow the order of commits.
    pub(in crate::authority) last_event: i64,
    /// Nothing is lent.
    pub(in crate::authority) frozen: bool,
}

impl Tip {
    /// Reads it. Whoever says that an answer saw this event reads it before anything else of the
    /// answer, so that the number is never too new.
    pub(in crate::authority) fn read(tx: &mut dyn Transaction, workspace: &str) -> Result<Self, StoreError> {
        let sql = "SELECT last_event, frozen_at FROM workspaces WHERE workspace = $1";
        let Some(row) = tx.row(sql, &[workspace.into()])? else { return Ok(Self::default()) };
        Ok(Self { last_event: row.int(0)?, frozen: row.int_or_null(1)?.is_some() })
    }

    /// Reads those of every workspace.
    pub(in crate::authority) fn all(tx: &mut dyn Transaction) -> Result<Vec<(String, Self)>, StoreError> {
        let rows = tx.query("SELECT workspace, last_event, frozen_at FROM workspaces", &[])?;
        let tip = |row: &crate::authority::store::Row| {
            let tip = Self { last_event: row.int(1)?, frozen: row.int_or_null(2)?.is_some() };
            Ok((row.text(0)?.to_owned(), tip))
        };
        rows.iter().map(tip).collect()
    }
}

/// The number of the first event of a workspace that is still there.
pub(in crate::authority) fn oldest_event(tx: &mut dyn Transaction, workspace: &str) -> Result<Option<i64>, StoreError> {
    let row = tx.row("SELECT min(number) FROM events WHERE workspace = $1", &[workspace.into()])?;
    row.map(|row| row.int_or_null(0)).transpose().map(Option::flatten)
}
