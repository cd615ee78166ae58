//! A store as one file of lines, and back: for another day, another machine or the other kind of
//! store. What is sealed stays sealed; the file is worth what the store is worth, and needs its key.

use std::io::{self, BufRead, Write};
use std::time::SystemTime;

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value as Json, json};

use super::connections::{seconds, time};
use super::record::Record;
use super::store::{Sqlite, StoreError, Transaction, VERSION, Value};
use super::vault::Sealed;
use super::{AUDIT_KEY, Authority, AuthorityError, KEY_CHECK};
use crate::config::AuthorityConfig;
use crate::model::Secret;

/// A table: how its rows are read, and how they are written.
struct Table {
    name: &'static str,
    select: &'static str,
    insert: &'static str,
    /// It may be long: read in pages, after the text and the number of its first two columns.
    paged: bool,
}

/// The tables in the order in which they are written. Claims are not: who held them is gone.
const TABLES: [Table; 11] = [
    Table {
        name: "meta",
        select: "SELECT name, value FROM meta WHERE name NOT IN ('lock', 'epoch') ORDER BY name",
        insert: "INSERT INTO meta (name, value) VALUES ($1, $2)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        paged: false,
    },
    Table {
        name: "connections",
        select: "SELECT id, workspace, name, provider, state, version, bindings, owned, field_names, sealed,
        wrapped_key, created_at, updated_at, expires_at, user_id, why, endpoints, key_id, refresh_at, refresh_tries,
        forced_at, revocation, revocation_tries, revocation_at FROM connections ORDER BY id",
        insert: "INSERT INTO connections (id, workspace, name, provider, state, version, bindings, owned, field_names, sealed,
        wrapped_key, created_at, updated_at, expires_at, user_id, why, endpoints, key_id, refresh_at, refresh_tries,
        forced_at, revocation, revocation_tries, revocation_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
        $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)",
        paged: false,
    },
    Table {
        name: "workspaces",
        select: "SELECT workspace, last_event, frozen_at FROM workspaces ORDER BY workspace",
        insert: "INSERT INTO workspaces (workspace, last_event, frozen_at) VALUES ($1, $2, $3)",
        paged: false,
    },
    Table {
        name: "events",
        select: "SELECT workspace, number, kind, connection, name, agent, provider, detail, at FROM events
        WHERE (workspace, number) > ($1, $2) ORDER BY workspace, number LIMIT $3",
        insert: "INSERT INTO events (workspace, number, kind, connection, name, agent, provider, detail, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        paged: true,
    },
    Table {
        name: "agents",
        select: "SELECT workspace, name, created_at, revoked_at FROM agents ORDER BY workspace, name",
        insert: "INSERT INTO agents (workspace, name, created_at, revoked_at) VALUES ($1, $2, $3, $4)",
        paged: false,
    },
    Table {
        name: "grants",
        select: "SELECT workspace, agent, connection, created_at FROM grants ORDER BY workspace, agent, connection",
        insert: "INSERT INTO grants (workspace, agent, connection, created_at) VALUES ($1, $2, $3, $4)",
        paged: false,
    },
    Table {
        name: "keys",
        select: "SELECT id, workspace, hash, name, scope, agents, connections, created_at, expires_at, revoked_at FROM keys
        ORDER BY id",
        insert: "INSERT INTO keys (id, workspace, hash, name, scope, agents, connections, created_at, expires_at, revoked_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        paged: false,
    },
    Table {
        name: "providers",
        select: "SELECT id, workspace, name, version, document, sealed, wrapped_key, key_id, created_at, updated_at,
        deleted_at FROM providers ORDER BY id",
        insert: "INSERT INTO providers (id, workspace, name, version, document, sealed, wrapped_key, key_id, created_at, updated_at,
        deleted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        paged: false,
    },
    Table {
        name: "policies",
        select: "SELECT workspace, version, document, set_by, at FROM policies ORDER BY workspace, version",
        insert: "INSERT INTO policies (workspace, version, document, set_by, at) VALUES ($1, $2, $3, $4, $5)",
        paged: false,
    },
    Table {
        name: "instances",
        select: "SELECT id, host, started_at, sequence, mac, head FROM instances ORDER BY id",
        insert: "INSERT INTO instances (id, host, started_at, sequence, mac, head) VALUES ($1, $2, $3, $4, $5, $6)",
        paged: false,
    },
    Table {
        name: "audit",
        select: "SELECT instance, sequence, workspace, at, event, connection, body, mac FROM audit
        WHERE (instance, sequence) > ($1, $2) ORDER BY instance, sequence LIMIT $3",
        insert: "INSERT INTO audit (instance, sequence, workspace, at, event, connection, body, mac)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        paged: true,
    },
];

const FORMAT: &str = "nexus-sidecar backup 1";

/// What keeps a store from being backed up or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The Authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The file.
    #[error("cannot read or write the backup")]
    Io(#[from] io::Error),
    /// Not ours, or of a later release.
    #[error("line {line} of the backup {why}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The end is missing, or something before it was changed.
    #[error("the backup is not whole: it was cut off or changed, or another key made it")]
    NotWhole,
    /// There is something already.
    #[error("the store {0} is not empty: restore into a new one")]
    NotEmpty(String),
}

/// How many rows of each table were written or read.
pub type Counts = Vec<(&'static str, u64)>;

/// What a restore has put into a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// How many rows of each table.
    pub counts: Counts,
    /// When the backup was made: what changed since is as it was then.
    pub made_at: SystemTime,
}

/// Rows that are read or written at once.
const PAGE: usize = 1000;

impl Authority {
    /// Writes the store as it is at one moment. It blocks.
    pub fn back_up(&self, to: &mut dyn Write) -> Result<Counts, BackupError> {
        let mut out = Sealing { to, mac: context(&self.audit_key) };
        let head = json!({ "format": FORMAT, "schema": VERSION, "at": self.now(), "store": self.store_name() });
        out.line(&head)?;
        let counts = self.read(|tx| {
            let mut counts = Counts::new();
            for table in &TABLES {
                counts.push((table.name, table.dump(tx, &mut out)?));
            }
            Ok::<_, BackupError>(counts)
        })?;
        out.end(counts.iter().map(|(_, count)| count).sum())?;
        Ok(counts)
    }

    /// Fills this store, which nobody has used, with a backup that was made under one of its keys.
    /// All of it or nothing. It blocks.
    ///
    /// What was revoked or changed since the backup is as it was then: sidecars that held leases ask
    /// again, since the store counts as another one.
    pub fn restore(&self, from: &mut dyn BufRead) -> Result<Restored, BackupError> {
        let mut tx = self.desk.store.begin(super::store::Intent::Write)?;
        for table in TABLES.iter().filter(|table| table.name != "meta") {
            let rows = match table.paged {
                true => tx.query(table.select, &["".into(), 0.into(), 1.into()])?,
                false => tx.query(table.select, &[])?,
            };
            if !rows.is_empty() {
                return Err(BackupError::NotEmpty(self.store_name()));
            }
        }
        let mut reading = Reading { from, line: 0, seen: Vec::new(), mac: None };
        let restored = reading.fill(&mut *tx, self)?;
        tx.commit()?;
        Ok(restored)
    }

    /// Says to the audit that a backup was made: whoever has it and the key has every credential.
    pub fn note_backup(&self) -> Result<(), StoreError> {
        self.write(|work| {
            work.record(Record::new("store.backed_up"));
            Ok(())
        })
    }

    /// Says to the audit that the store begins with a backup. Asked of an Authority that was opened
    /// after that: it has the chains' key of the backup.
    pub fn note_restore(&self, made_at: SystemTime) -> Result<(), StoreError> {
        self.write(move |work| {
            work.record(Record::new("store.restored").with("backup_of", seconds(made_at)));
            Ok(())
        })
    }

    /// Takes away the store of a configuration, which was made for a restore that failed.
    pub fn unmake(self, config: &AuthorityConfig) -> io::Result<()> {
        if !self.made {
            return Ok(());
        }
        drop(self);
        let path = Sqlite::path_in(&config.data_dir);
        for end in ["", "-wal", "-shm"] {
            let mut name = path.clone().into_os_string();
            name.push(end);
            match std::fs::remove_file(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Table {
    fn dump(&self, tx: &mut dyn Transaction, out: &mut Sealing<'_>) -> Result<u64, BackupError> {
        let (mut count, mut text, mut number) = (0, String::new(), i64::MIN);
        loop {
            let rows = match self.paged {
                true => tx.query(self.select, &[text.as_str().into(), number.into(), (PAGE as i64).into()])?,
                false => tx.query(self.select, &[])?,
            };
            for row in &rows {
                out.line(&json!([self.name, row.values().iter().map(to_json).collect::<Vec<_>>()]))?;
            }
            count += rows.len() as u64;
            match rows.last() {
                Some(last) if self.paged => (text, number) = (last.text(0)?.to_owned(), last.int(1)?),
                _ => return Ok(count),
            }
        }
    }
}

/// Lines on their way out, and their MAC.
struct Sealing<'a> {
    to: &'a mut dyn Write,
    mac: hmac::Context,
}

impl Sealing<'_> {
    fn line(&mut self, line: &Json) -> Result<(), BackupError> {
        let line = format!("{line}\n");
        self.mac.update(line.as_bytes());
        Ok(self.to.write_all(line.as_bytes())?)
    }

    fn end(self, rows: u64) -> Result<(), BackupError> {
        let mac = hex::encode(self.mac.sign());
        writeln!(self.to, "{}", json!({ "rows": rows, "mac": mac }))?;
        Ok(self.to.flush()?)
    }
}

/// Lines on their way in. What stands before the key of the MAC waits for it.
struct Reading<'a> {
    from: &'a mut dyn BufRead,
    line: u64,
    seen: Vec<u8>,
    mac: Option<hmac::Context>,
}

impl Reading<'_> {
    fn fill(&mut self, tx: &mut dyn Transaction, authority: &Authority) -> Result<Restored, BackupError> {
        let made_at = self.head()?;
        let mut counts: Counts = TABLES.iter().map(|table| (table.name, 0)).collect();
        let mut waiting: Vec<Vec<Value>> = Vec::new();
        let mut place = 0;
        loop {
            let line = self.next()?.ok_or(BackupError::NotWhole)?;
            let Json::Array(parts) = &line else {
                flush(tx, place, &mut waiting)?;
                self.end(&line, counts.iter().map(|(_, count)| count).sum())?;
                return Ok(Restored { counts, made_at });
            };
            let name = parts.first().and_then(Json::as_str).unwrap_or_default();
            let at = TABLES.iter().position(|table| table.name == name);
            let at = at.ok_or_else(|| self.wrong(format!("names no table of this version: {name:?}")))?;
            if at != place || waiting.len() == PAGE {
                flush(tx, place, &mut waiting)?;
                place = at;
            }
            let values =
                parts.get(1).and_then(Json::as_array).and_then(|values| values.iter().map(from_json).collect());
            let values: Vec<Value> = values.ok_or_else(|| self.wrong("is no row".to_owned()))?;
            if name == "meta" {
                self.meet(&values, authority)?;
            }
            counts[at].1 += 1;
            waiting.push(values);
        }
    }

    fn head(&mut self) -> Result<SystemTime, BackupError> {
        let line = self.next()?.ok_or(BackupError::NotWhole)?;
        if line["format"].as_str() != Some(FORMAT) {
            return Err(self.wrong("is not the beginning of a backup of nexus-sidecar".to_owned()));
        }
        match line["schema"].as_u64() {
            Some(found) if found == VERSION => Ok(time(line["at"].as_i64().unwrap_or_default())),
            Some(found) => Err(self.wrong(format!(
                "says that it is of a store of version {found}, and this program restores version {VERSION}: \
                 use the release that made it, and let a newer one bring the store up to date"
            ))),
            None => Err(self.wrong("says no version".to_owned())),
        }
    }

    /// The store's own words tell whether the key is ours, and give the key of the MAC.
    fn meet(&mut self, row: &[Value], authority: &Authority) -> Result<(), BackupError> {
        let [Value::Text(name), Value::Bytes(value)] = row else { return Err(self.wrong("is no row".to_owned())) };
        let other = || AuthorityError::OtherKey { name: "of the backup".to_owned() };
        if name == KEY_CHECK {
            authority.check.open(KEY_CHECK.as_bytes(), value).map_err(|_| other())?;
        }
        if name == AUDIT_KEY {
            let sealed = Sealed::from_bytes(value).ok_or(BackupError::NotWhole)?;
            let key = authority.desk.vault.open_secret(&[AUDIT_KEY], &sealed).map_err(|_| other())?;
            let mut mac = context(&key);
            mac.update(&std::mem::take(&mut self.seen));
            self.mac = Some(mac);
        }
        Ok(())
    }

    fn end(&mut self, line: &Json, rows: u64) -> Result<(), BackupError> {
        let said = line["mac"].as_str().and_then(|mac| hex::decode(mac).ok()).unwrap_or_default();
        let mac = self.mac.take().ok_or(BackupError::NotWhole)?.sign();
        let whole = aws_lc_rs::constant_time::verify_slices_are_equal(mac.as_ref(), &said).is_ok();
        let mut rest = Vec::new();
        self.from.read_until(b'\n', &mut rest)?;
        if whole && line["rows"].as_u64() == Some(rows) && rest.is_empty() {
            Ok(())
        } else {
            Err(BackupError::NotWhole)
        }
    }

    /// The next line; the last one, which holds the MAC, is not under it.
    fn next(&mut self) -> Result<Option<Json>, BackupError> {
        let mut text = Vec::new();
        self.from.read_until(b'\n', &mut text)?;
        if text.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let line: Json = serde_json::from_slice(&text).map_err(|error| self.wrong(format!("is no JSON: {error}")))?;
        if line.get("mac").is_none() {
            match &mut self.mac {
                Some(mac) => mac.update(&text),
                None => self.seen.extend_from_slice(&text),
            }
        }
        Ok(Some(line))
    }

    fn wrong(&self, why: String) -> BackupError {
        BackupError::Line { line: self.line, why }
    }
}

fn flush(tx: &mut dyn Transaction, place: usize, rows: &mut Vec<Vec<Value>>) -> Result<(), StoreError> {
    let rows = std::mem::take(rows);
    if rows.is_empty() { Ok(()) } else { tx.each(TABLES[place].insert, &rows).map(drop) }
}

fn context(key: &Secret) -> hmac::Context {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    mac.update(FORMAT.as_bytes());
    mac
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(value) => (*value).into(),
        Value::Text(value) => value.as_str().into(),
        Value::Bytes(value) => json!({ "b": BASE64_STANDARD.encode(value) }),
    }
}

fn from_json(value: &Json) -> Option<Value> {
    match value {
        Json::Null => Some(Value::Null),
        Json::Number(value) => value.as_i64().map(Value::Int),
        Json::String(value) => Some(Value::Text(value.clone())),
        Json::Object(value) => BASE64_STANDARD.decode(value.get("b")?.as_str()?).ok().map(Value::Bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
