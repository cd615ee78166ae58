//! Proves the audit in the store: the chain of every instance from its first line to its head, and
//! against heads that were kept elsewhere. It reads only, also while replicas write.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Authority;
use super::chain::Head;
use super::store::{StoreError, Transaction};
use crate::model::Secret;

/// Lines read at once.
const PAGE: i64 = 2000;
/// Findings of one chain that are told one by one.
const MOST: usize = 20;

/// A head that was kept elsewhere: `INSTANCE:SEQUENCE:MAC`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreHead {
    /// The instance.
    pub instance: String,
    /// How many lines it had.
    pub sequence: i64,
    /// The last line's MAC, in hexadecimal digits.
    pub mac: String,
}

/// What the audit of a store holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    /// The instances: each process that has written.
    pub instances: u64,
    /// Lines of all of them.
    pub lines: u64,
    /// Edits, removals and foreign parts. Empty: nothing was found.
    pub findings: Vec<String>,
    /// What to keep elsewhere.
    pub heads: Vec<StoreHead>,
}

impl StoreHead {
    /// Reads `INSTANCE:SEQUENCE:MAC`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split(':');
        let (instance, sequence, mac) = (parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let whole = parts.next().is_none() && instance.len() == 16 && mac.len() == 64 && hex(instance) && hex(mac);
        let sequence = sequence.parse().ok().filter(|sequence| *sequence > 0)?;
        whole.then(|| Self { instance: instance.to_owned(), sequence, mac: mac.to_ascii_lowercase() })
    }
}

impl std::fmt::Display for StoreHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.instance, self.sequence, self.mac)
    }
}

impl Authority {
    /// Checks the audit of every workspace, and against heads that were kept elsewhere. It blocks.
    ///
    /// Not found: the last lines of an instance that were removed together with its head, or a whole
    /// instance, unless a head of it is given; and what whoever holds the key has forged.
    pub fn verify_audit(&self, heads: &[StoreHead]) -> Result<StoreReport, StoreError> {
        self.read(|tx| {
            let mut proof = Proof { key: &self.audit_key, report: StoreReport::default(), faults: 0 };
            let instances = proof.instances(tx)?;
            for (instance, head) in &instances {
                let given = heads.iter().filter(|given| given.instance == *instance).collect();
                proof.chain(tx, instance, head, given)?;
            }
            for head in heads.iter().filter(|head| !instances.contains_key(&head.instance)) {
                proof.fault(format!("the instance {} of a given head is gone", head.instance));
            }
            proof.strangers(tx, &instances)?;
            Ok(proof.report)
        })
    }
}

struct Proof<'a> {
    key: &'a Secret,
    report: StoreReport,
    faults: usize,
}

impl Proof<'_> {
    fn fault(&mut self, what: String) {
        self.faults += 1;
        if self.faults <= MOST {
            self.report.findings.push(what);
        }
    }

    fn instances(&mut self, tx: &mut dyn Transaction) -> Result<BTreeMap<String, Head>, StoreError> {
        let mut found = BTreeMap::new();
        for row in tx.query("SELECT id, sequence, mac, head FROM instances ORDER BY id", &[])? {
            let (id, head) = (row.text(0)?.to_owned(), Head { sequence: row.int(1)?, mac: row.bytes(2)?.to_vec() });
            if !head.is_sealed_by(self.key, &id, row.bytes(3)?) {
                self.fault(format!("the head of the instance {id} was not written by us"));
            }
            found.insert(id, head);
        }
        self.report.instances = found.len() as u64;
        Ok(found)
    }

    fn chain(
        &mut self,
        tx: &mut dyn Transaction,
        instance: &str,
        end: &Head,
        mut given: Vec<&StoreHead>,
    ) -> Result<(), StoreError> {
        self.faults = 0;
        let mut head = Head::first();
        loop {
            let sql = "SELECT sequence, workspace, at, event, connection, body, mac FROM audit
                WHERE instance = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
            let rows = tx.query(sql, &[instance.into(), head.sequence.into(), PAGE.into()])?;
            for row in &rows {
                let next = head.next(self.key, instance, row.text(1)?, row.int(2)?, row.text(5)?);
                let found = row.int(0)?;
                if found != next.sequence {
                    self.fault(format!("{instance}: the lines {} to {} are missing", next.sequence, found - 1));
                } else if next.mac != row.bytes(6)? {
                    self.fault(format!("{instance}: the line {found}, or one before it, was changed"));
                } else if !copies_agree(row.text(3)?, row.text_or_null(4)?, row.text(5)?) {
                    self.fault(format!("{instance}: the line {found} was changed where one searches it"));
                }
                self.report.lines += 1;
                // From what is there, so that one edit is one finding.
                head = Head { sequence: found, mac: row.bytes(6)?.to_vec() };
                given.retain(|given| !(given.sequence == found && hex::encode(&head.mac) == given.mac));
            }
            if rows.len() < PAGE as usize {
                break;
            }
        }
        if head != *end {
            let what = format!("{instance}: its last line is {}, and its head says {}", head.sequence, end.sequence);
            self.fault(what);
        }
        for head in given {
            self.fault(format!("{instance}: no line is the given head {}", head.sequence));
        }
        if self.faults > MOST {
            self.report.findings.push(format!("{instance}: and {} more", self.faults - MOST));
        }
        if end.sequence > 0 {
            let (instance, sequence) = (instance.to_owned(), end.sequence);
            self.report.heads.push(StoreHead { instance, sequence, mac: hex::encode(&end.mac) });
        }
        Ok(())
    }

    fn strangers(&mut self, tx: &mut dyn Transaction, known: &BTreeMap<String, Head>) -> Result<(), StoreError> {
        let rows = tx.query("SELECT DISTINCT instance FROM audit", &[])?;
        let found = rows.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<BTreeSet<_>, _>>()?;
        self.faults = 0;
        for stranger in found.into_iter().filter(|instance| !known.contains_key(instance)) {
            self.fault(format!("the instance {stranger} has lines, and is not known"));
        }
        Ok(())
    }
}

/// Columns that are searched repeat what the chain covers.
fn copies_agree(event: &str, connection: Option<&str>, body: &str) -> bool {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    body["event"].as_str() == Some(event) && (connection.is_none() || body["connection"].as_str() == connection)
}

#[cfg(test)]
mod tests;
