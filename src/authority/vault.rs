//! Seals credentials: a data key for each version of a connection, itself sealed under a key
//! derived from the master key. Both are bound to what the connection is, so that a sealed value
//! that was moved to another row, or whose hosts were edited, does not open.

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::rows::ConnectionRow;
use crate::model::{Fields, Secret};
use crate::sign::{SealError, Sealer};

/// Seals and opens the credentials of connections, and other secrets of the store.
pub(super) struct Vault {
    current: MasterSeal,
    others: Vec<MasterSeal>,
}

/// A master key as the vault uses it.
pub(super) struct MasterSeal {
    /// Tells it from other master keys, and nothing else about it.
    pub(super) id: String,
    pub(super) wrap: Sealer,
}

/// A sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) sealed: Vec<u8>,
    pub(super) wrapped_key: Vec<u8>,
    pub(super) key_id: String,
}

/// What keeps credentials from being sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum VaultError {
    /// No random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// More than a field's length can say.
    #[error("they are too long")]
    TooLong,
    /// They do not open, or what opened is not what was sealed.
    #[error("they were sealed under another key, or were changed or moved in the store")]
    Open,
}

impl From<SealError> for VaultError {
    fn from(_: SealError) -> Self {
        Self::Open
    }
}

impl Vault {
    /// A vault that seals under one master key, and opens under that and the others.
    pub(super) fn new(current: MasterSeal, others: Vec<MasterSeal>) -> Self {
        Self { current, others }
    }

    /// Seals fields into a row under a fresh data key. All else of the row stands already.
    pub(super) fn seal(&self, row: &mut ConnectionRow, fields: &Fields) -> Result<(), VaultError> {
        let sealed = self.seal_bytes(&|what| bound(what, row), &encode(fields)?)?;
        row.take(sealed);
        Ok(())
    }

    /// Opens the fields of a row.
    pub(super) fn open(&self, row: &ConnectionRow) -> Result<Fields, VaultError> {
        let plain = self.open_bytes(&|what| bound(what, row), &row.sealed, &row.wrapped_key, row.key_id.as_deref())?;
        decode(plain.expose()).ok_or(VaultError::Open)
    }

    /// Seals a secret of another kind, bound to these items: its kind and what it belongs to.
    pub(super) fn seal_secret(&self, items: &[&str], secret: &Secret) -> Result<Sealed, VaultError> {
        self.seal_bytes(&|what| bound_to(what, items), secret.expose())
    }

    /// Opens a secret of another kind.
    pub(super) fn open_secret(&self, items: &[&str], sealed: &Sealed) -> Result<Secret, VaultError> {
        let key_id = Some(sealed.key_id.as_str());
        self.open_bytes(&|what| bound_to(what, items), &sealed.sealed, &sealed.wrapped_key, key_id)
    }

    /// The master key that it seals under.
    pub(super) fn key_id(&self) -> &str {
        &self.current.id
    }

    /// Wraps the data key of a row under the current master key; what it seals stays as it is.
    pub(super) fn rewrap(&self, row: &ConnectionRow) -> Result<Vec<u8>, VaultError> {
        self.rewrap_bytes(&bound("key", row), &row.wrapped_key, row.key_id.as_deref())
    }

    /// Wraps the data key of a secret of another kind.
    pub(super) fn rewrap_secret(&self, items: &[&str], sealed: &Sealed) -> Result<Vec<u8>, VaultError> {
        self.rewrap_bytes(&bound_to("key", items), &sealed.wrapped_key, Some(&sealed.key_id))
    }

    fn rewrap_bytes(&self, bound: &[u8], wrapped_key: &[u8], key_id: Option<&str>) -> Result<Vec<u8>, VaultError> {
        let key = self.unwrap_key(bound, wrapped_key, key_id)?;
        Ok(self.current.wrap.seal(*random()?, bound, key.expose())?)
    }

    fn unwrap_key(&self, bound: &[u8], wrapped_key: &[u8], key_id: Option<&str>) -> Result<Secret, VaultError> {
        let mut masters = self.masters().filter(|master| key_id.is_none_or(|id| master.id == id));
        masters.find_map(|master| master.wrap.open(bound, wrapped_key).ok()).ok_or(VaultError::Open)
    }

    fn seal_bytes(&self, bound: &dyn Fn(&str) -> Vec<u8>, plain: &[u8]) -> Result<Sealed, VaultError> {
        let key = Secret::new(random::<32>()?.as_slice());
        let wrapped_key = self.current.wrap.seal(*random()?, &bound("key"), key.expose())?;
        let sealed = Sealer::new(&key)?.seal(*random()?, &bound("fields"), plain)?;
        Ok(Sealed { sealed, wrapped_key, key_id: self.current.id.clone() })
    }

    fn open_bytes(
        &self,
        bound: &dyn Fn(&str) -> Vec<u8>,
        sealed: &[u8],
        wrapped_key: &[u8],
        key_id: Option<&str>,
    ) -> Result<Secret, VaultError> {
        let key = self.unwrap_key(&bound("key"), wrapped_key, key_id)?;
        Ok(Sealer::new(&key)?.open(&bound("fields"), sealed)?)
    }

    fn masters(&self) -> impl Iterator<Item = &MasterSeal> {
        std::iter::once(&self.current).chain(&self.others)
    }
}

impl Sealed {
    /// All of it as bytes, for a place that is no row of its own.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.key_id.as_bytes(), &self.wrapped_key, &self.sealed] {
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Reads what `to_bytes` made.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (key_id, rest) = part(bytes)?;
        let (wrapped_key, rest) = part(rest)?;
        let (sealed, _) = part(rest)?;
        let key_id = std::str::from_utf8(key_id).ok()?.to_owned();
        Some(Self { sealed: sealed.to_vec(), wrapped_key: wrapped_key.to_vec(), key_id })
    }
}

/// Random bytes, wiped after use.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes).map_err(|_| VaultError::Random)?;
    Ok(bytes)
}

/// What a sealed value is bound to: a list whose items carry their lengths, so that no two rows
/// give the same bytes. State and times of writing are left out: they change without the key.
fn bound(what: &str, row: &ConnectionRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    let mut item = |value: &[u8]| {
        bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
        bytes.extend_from_slice(value);
    };
    item(b"nexus-sidecar connection 1");
    item(what.as_bytes());
    item(row.workspace.as_bytes());
    item(row.id.as_bytes());
    item(row.name.as_bytes());
    item(row.provider.as_deref().unwrap_or_default().as_bytes());
    item(row.bindings.as_bytes());
    item(&[u8::from(row.owned)]);
    item(row.field_names.as_bytes());
    item(&row.version.to_be_bytes());
    item(row.expires_at.map(i64::to_be_bytes).as_ref().map_or(&[], |end| end.as_slice()));
    // Rows of version 1 have neither.
    if row.endpoints.is_some() || !row.user_id.is_empty() {
        item(row.endpoints.as_deref().unwrap_or_default().as_bytes());
        item(row.user_id.as_bytes());
    }
    bytes
}

/// What another secret is bound to, in the same form.
fn bound_to(what: &str, items: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    for item in ["nexus-sidecar secret 1", what].iter().chain(items) {
        bytes.extend_from_slice(&(item.len() as u64).to_be_bytes());
        bytes.extend_from_slice(item.as_bytes());
    }
    bytes
}

/// Names and values, each after its length in four bytes, big-endian.
fn encode(fields: &Fields) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let length = fields.iter().map(|(name, value)| 8 + name.len() + value.expose().len()).sum();
    // Sized once: a vector that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    for (name, value) in fields.iter() {
        for part in [name.as_bytes(), value.expose()] {
            let length = u32::try_from(part.len()).map_err(|_| VaultError::TooLong)?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part);
        }
    }
    Ok(bytes)
}

fn decode(mut bytes: &[u8]) -> Option<Fields> {
    let mut fields = Fields::new();
    while !bytes.is_empty() {
        let (name, rest) = part(bytes)?;
        let (value, rest) = part(rest)?;
        fields.insert(std::str::from_utf8(name).ok()?, Secret::new(value));
        bytes = rest;
    }
    Some(fields)
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::authority::rows::State;

    fn vault(byte: u8) -> Vault {
        Vault::new(master(byte), vec![])
    }

    fn master(byte: u8) -> MasterSeal {
        MasterSeal { id: format!("key-{byte}"), wrap: Sealer::new(&Secret::new(vec![byte; 32])).unwrap() }
    }

    fn row(id: &str) -> ConnectionRow {
        ConnectionRow {
            id: id.into(),
            workspace: "local".into(),
            name: "github".into(),
            state: State::Active,
            version: 3,
            bindings: r#"[{"hosts":["api.github.com"]}]"#.into(),
            owned: false,
            field_names: r#"["access_token"]"#.into(),
            sealed: vec![],
            wrapped_key: vec![],
            created_at: 1,
            updated_at: 2,
            ..ConnectionRow::default()
        }
    }

    type Change = (&'static str, fn(&mut ConnectionRow));

    fn sealed(id: &str, value: &str) -> ConnectionRow {
        let mut row = row(id);
        let mut fields = Fields::new();
        fields.insert("access_token", Secret::new(value));
        vault(7).seal(&mut row, &fields).unwrap();
        row
    }

    #[test]
    fn what_was_sealed_opens() {
        let mut row = sealed("1", "hunter2");
        let value = |row: &ConnectionRow| vault(7).open(row).unwrap().get("access_token").unwrap().expose().to_vec();
        assert_eq!(value(&row), b"hunter2");
        row.state = State::Attention;
        row.updated_at = 99;
        assert_eq!(value(&row), b"hunter2");
        assert!(!row.sealed.windows(7).any(|bytes| bytes == b"hunter2"));
    }

    #[test]
    fn a_row_that_was_changed_does_not_open() {
        let changes: [Change; 13] = [
            ("workspace", |row| row.workspace = "other".into()),
            ("id", |row| row.id = "2".into()),
            ("name", |row| row.name = "gitlab".into()),
            ("provider", |row| row.provider = Some("github".into())),
            ("hosts", |row| row.bindings = r#"[{"hosts":["evil.example"]}]"#.into()),
            ("owned", |row| row.owned = true),
            ("fields", |row| row.field_names = r#"["access_token","x"]"#.into()),
            ("version", |row| row.version = 2),
            ("end", |row| row.expires_at = Some(4_000_000_000)),
            ("a byte of the value", |row| row.sealed[20] ^= 1),
            ("a byte of the key", |row| row.wrapped_key[20] ^= 1),
            ("all of the value", |row| row.sealed.clear()),
            ("key and value swapped", |row| std::mem::swap(&mut row.sealed, &mut row.wrapped_key)),
        ];
        for (what, change) in changes {
            let mut row = sealed("1", "hunter2");
            change(&mut row);
            assert_eq!(vault(7).open(&row).unwrap_err(), VaultError::Open, "{what}");
        }
        assert_eq!(vault(8).open(&sealed("1", "hunter2")).unwrap_err(), VaultError::Open);
    }

    #[test]
    fn values_cannot_be_moved_between_rows() {
        let (one, two) = (sealed("1", "a"), sealed("2", "b"));
        let mixes = [
            ConnectionRow { sealed: two.sealed.clone(), ..one.clone() },
            ConnectionRow { wrapped_key: two.wrapped_key.clone(), ..one.clone() },
            ConnectionRow { sealed: two.sealed, wrapped_key: two.wrapped_key, ..one.clone() },
        ];
        for mixed in mixes {
            assert_eq!(vault(7).open(&mixed).unwrap_err(), VaultError::Open);
        }
        assert!(vault(7).open(&one).is_ok());
    }

    #[test]
    fn lengths_keep_neighbours_apart() {
        let mut one = row("1");
        let mut two = row("1");
        (one.workspace, one.id) = ("ab".into(), "c".into());
        (two.workspace, two.id) = ("a".into(), "bc".into());
        assert_ne!(bound("fields", &one), bound("fields", &two));
        assert_ne!(bound("fields", &one), bound("key", &one));
    }

    proptest! {
        #[test]
        fn any_fields_come_back(given: std::collections::BTreeMap<String, Vec<u8>>) {
            let mut fields = Fields::new();
            for (name, value) in &given {
                fields.insert(name.clone(), Secret::new(value.clone()));
            }
            let back = decode(&encode(&fields).unwrap()).unwrap();
            let back: std::collections::BTreeMap<_, _> =
                back.iter().map(|(name, value)| (name.to_owned(), value.expose().to_vec())).collect();
            prop_assert_eq!(back, given);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
