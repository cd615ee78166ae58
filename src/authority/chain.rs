//! The chain of one instance: who replicates the Authority, or each process that shares a file,
//! numbers and authenticates the lines that it writes.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::store::{StoreError, Transaction, Value};
use crate::model::{Algorithm, Secret};
use crate::sign::hmac;

/// A line that waits for its place in the chain.
pub(super) struct Line {
    pub(super) workspace: String,
    pub(super) at: i64,
    pub(super) event: &'static str,
    pub(super) connection: Option<String>,
    pub(super) body: String,
}

/// Where a chain has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) sequence: i64,
    pub(super) mac: Vec<u8>,
}

/// The chain of this instance.
pub(super) struct Chain {
    instance: String,
    host: String,
    key: Arc<Secret>,
    /// None until it has been read or begun in the store, and after a commit that failed.
    head: Option<Head>,
}

impl Chain {
    pub(super) fn new(instance: String, host: String, key: Arc<Secret>) -> Self {
        Self { instance, host, key, head: None }
    }

    /// Appends lines, and moves the head in the same transaction. The new head holds once that
    /// has been committed: `keep` it then.
    pub(super) fn append(&mut self, tx: &mut dyn Transaction, lines: &[Line], now: i64) -> Result<Head, StoreError> {
        let mut head = match self.head.take() {
            Some(head) => head,
            None => self.read_or_begin(tx, now)?,
        };
        let mut rows = Vec::with_capacity(lines.len());
        for line in lines {
            head = head.next(&self.key, &self.instance, &line.workspace, line.at, &line.body);
            rows.push(vec![
                self.instance.as_str().into(),
                head.sequence.into(),
                line.workspace.as_str().into(),
                line.at.into(),
                line.event.into(),
                line.connection.clone().into(),
                line.body.as_str().into(),
                head.mac.as_slice().into(),
            ]);
        }
        let sql = "INSERT INTO audit (instance, sequence, workspace, at, event, connection, body, mac)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        tx.each(sql, &rows)?;
        let values: [Value; 4] = [
            head.sequence.into(),
            head.mac.as_slice().into(),
            head.sealed(&self.key, &self.instance).into(),
            self.instance.as_str().into(),
        ];
        tx.execute("UPDATE instances SET sequence = $1, mac = $2, head = $3 WHERE id = $4", &values)?;
        Ok(head)
    }

    /// The transaction of `append` was committed.
    pub(super) fn keep(&mut self, head: Head) {
        self.head = Some(head);
    }

    fn read_or_begin(&self, tx: &mut dyn Transaction, now: i64) -> Result<Head, StoreError> {
        // A commit that nobody answered for may still be under way: its lock is waited for.
        let sql = "SELECT sequence, mac FROM instances WHERE id = $1 FOR UPDATE";
        if let Some(row) = tx.row(sql, &[self.instance.as_str().into()])? {
            return Ok(Head { sequence: row.int(0)?, mac: row.bytes(1)?.to_vec() });
        }
        let head = Head::first();
        let sql = "INSERT INTO instances (id, host, started_at, sequence, mac, head) VALUES ($1, $2, $3, $4, $5, $6)";
        let values: [Value; 6] = [
            self.instance.as_str().into(),
            self.host.as_str().into(),
            now.into(),
            head.sequence.into(),
            head.mac.as_slice().into(),
            head.sealed(&self.key, &self.instance).into(),
        ];
        tx.execute(sql, &values)?;
        Ok(head)
    }
}

impl Head {
    pub(super) fn first() -> Self {
        Self { sequence: 0, mac: vec![0; 32] }
    }

    /// The head after one more line: its MAC covers the one before it and the stored bytes.
    pub(super) fn next(&self, key: &Secret, instance: &str, workspace: &str, at: i64, body: &str) -> Self {
        let sequence = self.sequence + 1;
        let parts = [
            b"line".as_slice(),
            &self.mac,
            instance.as_bytes(),
            &sequence.to_be_bytes(),
            workspace.as_bytes(),
            &at.to_be_bytes(),
            body.as_bytes(),
        ];
        Self { sequence, mac: mac(key, &parts) }
    }

    /// What the row of the instance says about its head, which only we can say.
    pub(super) fn sealed(&self, key: &Secret, instance: &str) -> Vec<u8> {
        mac(key, &[b"head", &self.mac, instance.as_bytes(), &self.sequence.to_be_bytes()])
    }

    /// Tells whether `sealed` is what we said about this head.
    pub(super) fn is_sealed_by(&self, key: &Secret, instance: &str, sealed: &[u8]) -> bool {
        verify_slices_are_equal(&self.sealed(key, instance), sealed).is_ok()
    }
}

/// A MAC over parts, each after its length, so that no two lists give the same bytes.
fn mac(key: &Secret, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    hmac(Algorithm::Sha256, key, &bytes)
}
