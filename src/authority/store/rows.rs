use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

/// A connection as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Row {
    pub(in crate::authority) id: String,
    pub(in crate::authority) workspace: String,
    pub(in crate::authority) name: String,
    pub(in crate::authority) provider: Option<String>,
    pub(in crate::authority) state: State,
    pub(in crate::authority) version: u64,
    /// JSON: `[{"hosts": […], "strategy": {…}}, …]`.
    pub(in crate::authority) bindings: String,
    pub(in crate::authority) owned: bool,
    /// JSON: sorted names.
    pub(in crate::authority) field_names: String,
    pub(in crate::authority) sealed: Vec<u8>,
    pub(in crate::authority) wrapped_key: Vec<u8>,
    /// Seconds since 1970, as are the next two.
    pub(in crate::authority) created_at: i64,
    pub(in crate::authority) updated_at: i64,
    pub(in crate::authority) expires_at: Option<i64>,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Asked for, and not consented to yet.
    Pending,
    /// Consent failed.
    Failed,
    /// It can be lent.
    Active,
    /// A person has to look.
    Attention,
    /// It must not be lent again.
    Revoked,
    /// Past its end.
    Expired,
}

impl State {
    const ALL: [Self; 6] = [Self::Pending, Self::Failed, Self::Active, Self::Attention, Self::Revoked, Self::Expired];

    /// The word in the store and in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Active => "active",
            Self::Attention => "attention",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or(FromSqlError::InvalidType)
    }
}

const COLUMNS: &str = "id, workspace, name, provider, state, version, bindings, owned, field_names, sealed, \
                       wrapped_key, created_at, updated_at, expires_at";

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            workspace: row.get(1)?,
            name: row.get(2)?,
            provider: row.get(3)?,
            state: row.get(4)?,
            version: row.get::<_, i64>(5)?.cast_unsigned(),
            bindings: row.get(6)?,
            owned: row.get(7)?,
            field_names: row.get(8)?,
            sealed: row.get(9)?,
            wrapped_key: row.get(10)?,
            created_at: row.get(11)?,
            updated_at: row.get(12)?,
            expires_at: row.get(13)?,
        })
    }

    /// Finds a connection by its name.
    pub(in crate::authority) fn find(
        database: &Connection,
        workspace: &str,
        name: &str,
    ) -> rusqlite::Result<Option<Self>> {
        let sql = format!("SELECT {COLUMNS} FROM connections WHERE workspace = ?1 AND name = ?2");
        database.prepare_cached(&sql)?.query_row([workspace, name], Self::read).optional()
    }

    /// Every connection of a workspace, by name.
    pub(in crate::authority) fn list(database: &Connection, workspace: &str) -> rusqlite::Result<Vec<Self>> {
        let sql = format!("SELECT {COLUMNS} FROM connections WHERE workspace = ?1 ORDER BY name");
        database.prepare(&sql)?.query_map([workspace], Self::read)?.collect()
    }

    /// Writes a connection: a new one, or a new version of the one of this id.
    pub(in crate::authority) fn put(&self, database: &Connection) -> rusqlite::Result<()> {
        let sql = format!(
            "INSERT INTO connections ({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = excluded.version,
                bindings = excluded.bindings, owned = excluded.owned, field_names = excluded.field_names,
                sealed = excluded.sealed, wrapped_key = excluded.wrapped_key,
                updated_at = excluded.updated_at, expires_at = excluded.expires_at"
        );
        let values = params![
            self.id,
            self.workspace,
            self.name,
            self.provider,
            self.state,
            self.version.cast_signed(),
            self.bindings,
            self.owned,
            self.field_names,
            self.sealed,
            self.wrapped_key,
            self.created_at,
            self.updated_at,
            self.expires_at,
        ];
        database.execute(&sql, values).map(drop)
    }

    /// Deletes a connection; tells whether it was there.
    pub(in crate::authority) fn delete(database: &Connection, workspace: &str, name: &str) -> rusqlite::Result<bool> {
        let sql = "DELETE FROM connections WHERE workspace = ?1 AND name = ?2";
        database.execute(sql, [workspace, name]).map(|rows| rows > 0)
    }
}

/// What the store says about itself, by name.
pub(in crate::authority) fn meta(database: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    database.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// Says something about the store.
pub(in crate::authority) fn set_meta(database: &Connection, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    database.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", params![name, value]).map(drop)
}
