use crate::authority::store::{Row, StoreError, Transaction, Value};
use crate::authority::vault::Sealed;

/// A provider as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct ProviderRow {
    pub(in crate::authority) id: String,
    pub(in crate::authority) workspace: String,
    pub(in crate::authority) name: String,
    /// 1, 2, …: another one for every change of the document or of the secret.
    pub(in crate::authority) version: i64,
    /// JSON: the canonical text of its definition.
    pub(in crate::authority) document: String,
    /// Its client secret.
    pub(in crate::authority) secret: Option<Sealed>,
    /// Seconds since 1970, as is every moment here.
    pub(in crate::authority) created_at: i64,
    pub(in crate::authority) updated_at: i64,
    /// When it was deleted: its connections name it still.
    pub(in crate::authority) deleted_at: Option<i64>,
}

/// The columns, in the order that `read` has.
macro_rules! columns {
    () => {
        "id, workspace, name, version, document, sealed, wrapped_key, key_id, created_at, updated_at, deleted_at"
    };
}

impl ProviderRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let secret = match (row.is_null(5), row.is_null(6), row.is_null(7)) {
            (false, false, false) => Some(Sealed {
                sealed: row.bytes(5)?.to_vec(),
                wrapped_key: row.bytes(6)?.to_vec(),
                key_id: row.text(7)?.to_owned(),
            }),
            _ => None,
        };
        Ok(Self {
            id: row.text(0)?.to_owned(),
            workspace: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            version: row.int(3)?,
            document: row.text(4)?.to_owned(),
            secret,
            created_at: row.int(8)?,
            updated_at: row.int(9)?,
            deleted_at: row.int_or_null(10)?,
        })
    }

    /// Finds one that was not deleted by its id.
    pub(in crate::authority) fn by_id(
        tx: &mut dyn Transaction,
        workspace: &str,
        id: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql =
            concat!("SELECT ", columns!(), " FROM providers WHERE workspace = $1 AND id = $2 AND deleted_at IS NULL");
        tx.find(sql, &[workspace.into(), id.into()], Self::read)
    }

    /// Finds one by its id, whether or not it was deleted.
    pub(in crate::authority) fn with_deleted(
        tx: &mut dyn Transaction,
        workspace: &str,
        id: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM providers WHERE workspace = $1 AND id = $2");
        tx.find(sql, &[workspace.into(), id.into()], Self::read)
    }

    /// Finds one that was not deleted by its name.
    pub(in crate::authority) fn by_name(
        tx: &mut dyn Transaction,
        workspace: &str,
        name: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql =
            concat!("SELECT ", columns!(), " FROM providers WHERE workspace = $1 AND name = $2 AND deleted_at IS NULL");
        tx.find(sql, &[workspace.into(), name.into()], Self::read)
    }

    /// Finds one by its id, and keeps every other writer from it until the end of the transaction.
    pub(in crate::authority) fn lock(
        tx: &mut dyn Transaction,
        workspace: &str,
        id: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM providers WHERE workspace = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"
        );
        tx.find(sql, &[workspace.into(), id.into()], Self::read)
    }

    /// Finds one of any workspace by its id, whether or not it was deleted, and keeps every other writer
    /// from it.
    pub(in crate::authority) fn lock_any(tx: &mut dyn Transaction, id: &str) -> Result<Option<Self>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM providers WHERE id = $1 FOR UPDATE");
        tx.find(sql, &[id.into()], Self::read)
    }

    /// At most `limit` of those that were not deleted, whose names come after this one, by name.
    pub(in crate::authority) fn page(
        tx: &mut dyn Transaction,
        workspace: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Self>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM providers WHERE workspace = $1 AND name > $2 AND deleted_at IS NULL ORDER BY name LIMIT $3"
        );
        tx.list(sql, &[workspace.into(), after.into(), limit.into()], Self::read)
    }

    /// Writes a new one; tells whether its name was free.
    pub(in crate::authority) fn insert(&self, tx: &mut dyn Transaction) -> Result<bool, StoreError> {
        let sql = concat!(
            "INSERT INTO providers (",
            columns!(),
            ") VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)
             ON CONFLICT (workspace, name) WHERE deleted_at IS NULL DO NOTHING"
        );
        let (sealed, wrapped_key, key_id) = self.parts();
        let values: [Value; 11] = [
            self.id.as_str().into(),
            self.workspace.as_str().into(),
            self.name.as_str().into(),
            self.version.into(),
            self.document.as_str().into(),
            sealed,
            wrapped_key,
            key_id,
            self.created_at.into(),
            self.updated_at.into(),
            self.deleted_at.into(),
        ];
        Ok(tx.execute(sql, &values)? == 1)
    }

    /// Writes what is now true of the one of this id.
    pub(in crate::authority) fn update(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        let sql = "UPDATE providers SET name = $1, version = $2, document = $3, sealed = $4, wrapped_key = $5,
            key_id = $6, updated_at = $7, deleted_at = $8 WHERE workspace = $9 AND id = $10";
        let (sealed, wrapped_key, key_id) = self.parts();
        let values: [Value; 10] = [
            self.name.as_str().into(),
            self.version.into(),
            self.document.as_str().into(),
            sealed,
            wrapped_key,
            key_id,
            self.updated_at.into(),
            self.deleted_at.into(),
            self.workspace.as_str().into(),
            self.id.as_str().into(),
        ];
        tx.execute(sql, &values).map(drop)
    }

    fn parts(&self) -> (Value, Value, Value) {
        match &self.secret {
            None => (Value::Null, Value::Null, Value::Null),
            Some(Sealed { sealed, wrapped_key, key_id }) => {
                (sealed.as_slice().into(), wrapped_key.as_slice().into(), key_id.as_str().into())
            }
        }
    }
}
