use crate::authority::store::{Row, StoreError, Transaction, Value};
use crate::authority::vault::Sealed;

/// A connection as it lies in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::authority) struct ConnectionRow {
    pub(in crate::authority) id: String,
    pub(in crate::authority) workspace: String,
    /// Whose it is; empty for one that belongs to the workspace.
    pub(in crate::authority) user_id: String,
    pub(in crate::authority) name: String,
    pub(in crate::authority) provider: Option<String>,
    pub(in crate::authority) state: State,
    /// Why it is in `attention` or `failed`: a word of ours, never a text of a provider.
    pub(in crate::authority) why: Option<String>,
    pub(in crate::authority) version: u64,
    /// JSON: `[{"hosts": […], "strategy": {…}}, …]`.
    pub(in crate::authority) bindings: String,
    pub(in crate::authority) owned: bool,
    /// JSON: where it is refreshed, revoked and asked who it is, as its provider said when it was made.
    pub(in crate::authority) endpoints: Option<String>,
    /// JSON: sorted names.
    pub(in crate::authority) field_names: String,
    pub(in crate::authority) sealed: Vec<u8>,
    pub(in crate::authority) wrapped_key: Vec<u8>,
    /// The master key that `wrapped_key` is under; none for a row of version 1.
    pub(in crate::authority) key_id: Option<String>,
    /// Seconds since 1970, as is every moment here.
    pub(in crate::authority) created_at: i64,
    pub(in crate::authority) updated_at: i64,
    /// When its credentials end.
    pub(in crate::authority) expires_at: Option<i64>,
    /// When to refresh it next; none for one that is not refreshed.
    pub(in crate::authority) refresh_at: Option<i64>,
    pub(in crate::authority) refresh_tries: i64,
    /// Who refreshes or revokes it now, and until when nobody else may.
    pub(in crate::authority) claimed_by: Option<String>,
    pub(in crate::authority) claimed_until: Option<i64>,
    /// When somebody last forced a refresh.
    pub(in crate::authority) forced_at: Option<i64>,
    /// How far its revocation has come at the provider.
    pub(in crate::authority) revocation: Option<String>,
    pub(in crate::authority) revocation_tries: i64,
    pub(in crate::authority) revocation_at: Option<i64>,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Asked for, and not consented to yet.
    #[default]
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
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Failed, Self::Active, Self::Attention, Self::Revoked, Self::Expired];

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

    fn read(word: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == word);
        found.ok_or_else(|| StoreError::damaged("state", word, "no such state is known"))
    }
}

/// The columns, in the order that `read` and `values` have.
macro_rules! columns {
    () => {
        "id, workspace, user_id, name, provider, state, why, version, bindings, owned, endpoints, field_names, sealed, \
         wrapped_key, key_id, created_at, updated_at, expires_at, refresh_at, refresh_tries, claimed_by, claimed_until, \
         forced_at, revocation, revocation_tries, revocation_at"
    };
}

const PUT: &str = concat!(
    "INSERT INTO connections (",
    columns!(),
    ") VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, why = excluded.why, version = excluded.version,
                bindings = excluded.bindings, owned = excluded.owned, endpoints = excluded.endpoints,
                field_names = excluded.field_names, sealed = excluded.sealed, wrapped_key = excluded.wrapped_key,
                key_id = excluded.key_id, updated_at = excluded.updated_at, expires_at = excluded.expires_at,
                refresh_at = excluded.refresh_at, refresh_tries = excluded.refresh_tries,
                claimed_by = excluded.claimed_by, claimed_until = excluded.claimed_until,
                forced_at = excluded.forced_at, revocation = excluded.revocation,
                revocation_tries = excluded.revocation_tries, revocation_at = excluded.revocation_at"
);

impl ConnectionRow {
    /// How many columns one has.
    pub(in crate::authority) const COLUMNS: usize = 26;

    /// Finds what lending looks at in one moment, by workspace, connection (id or name) and agent: the
    /// connection, and after its columns the workspace's last event, when it was frozen, how many
    /// grants the agent has for it, whether there is such an agent, and when that was revoked.
    pub(in crate::authority) const LENDING: &str = concat!(
        "SELECT ",
        columns!(),
        ", (SELECT last_event FROM workspaces WHERE workspaces.workspace = $1),
           (SELECT frozen_at FROM workspaces WHERE workspaces.workspace = $1),
           (SELECT count(*) FROM grants WHERE grants.workspace = $1 AND grants.agent = $3 AND grants.connection = connections.id),
           (SELECT count(*) FROM agents WHERE agents.workspace = $1 AND agents.name = $3),
           (SELECT revoked_at FROM agents WHERE agents.workspace = $1 AND agents.name = $3)
         FROM connections WHERE workspace = $1 AND (id = $2 OR (user_id = '' AND name = $2))"
    );

    pub(in crate::authority) fn read(row: &Row) -> Result<Self, StoreError> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self {
            id: row.text(0)?.to_owned(),
            workspace: row.text(1)?.to_owned(),
            user_id: row.text(2)?.to_owned(),
            name: row.text(3)?.to_owned(),
            provider: owned(row.text_or_null(4)?),
            state: State::read(row.text(5)?)?,
            why: owned(row.text_or_null(6)?),
            version: row.int(7)?.cast_unsigned(),
            bindings: row.text(8)?.to_owned(),
            owned: row.flag(9)?,
            endpoints: owned(row.text_or_null(10)?),
            field_names: row.text(11)?.to_owned(),
            sealed: row.bytes(12)?.to_vec(),
            wrapped_key: row.bytes(13)?.to_vec(),
            key_id: owned(row.text_or_null(14)?),
            created_at: row.int(15)?,
            updated_at: row.int(16)?,
            expires_at: row.int_or_null(17)?,
            refresh_at: row.int_or_null(18)?,
            refresh_tries: row.int(19)?,
            claimed_by: owned(row.text_or_null(20)?),
            claimed_until: row.int_or_null(21)?,
            forced_at: row.int_or_null(22)?,
            revocation: owned(row.text_or_null(23)?),
            revocation_tries: row.int(24)?,
            revocation_at: row.int_or_null(25)?,
        })
    }

    fn values(&self) -> Vec<Value> {
        vec![
            self.id.as_str().into(),
            self.workspace.as_str().into(),
            self.user_id.as_str().into(),
            self.name.as_str().into(),
            self.provider.clone().into(),
            self.state.as_str().into(),
            self.why.clone().into(),
            self.version.cast_signed().into(),
            self.bindings.as_str().into(),
            self.owned.into(),
            self.endpoints.clone().into(),
            self.field_names.as_str().into(),
            self.sealed.as_slice().into(),
            self.wrapped_key.as_slice().into(),
            self.key_id.clone().into(),
            self.created_at.into(),
            self.updated_at.into(),
            self.expires_at.into(),
            self.refresh_at.into(),
            self.refresh_tries.into(),
            self.claimed_by.clone().into(),
            self.claimed_until.into(),
            self.forced_at.into(),
            self.revocation.clone().into(),
            self.revocation_tries.into(),
            self.revocation_at.into(),
        ]
    }

    /// Takes what the vault sealed.
    pub(in crate::authority) fn take(&mut self, sealed: Sealed) {
        (self.sealed, self.wrapped_key, self.key_id) = (sealed.sealed, sealed.wrapped_key, Some(sealed.key_id));
    }

    /// Finds a connection of the workspace itself by its name.
    pub(in crate::authority) fn find(
        tx: &mut dyn Transaction,
        workspace: &str,
        name: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql =
            concat!("SELECT ", columns!(), " FROM connections WHERE workspace = $1 AND user_id = '' AND name = $2");
        tx.find(sql, &[workspace.into(), name.into()], Self::read)
    }

    /// Finds a connection by its id or its name, and keeps every other writer from it until the end
    /// of the transaction.
    pub(in crate::authority) fn lock(
        tx: &mut dyn Transaction,
        workspace: &str,
        which: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM connections WHERE workspace = $1 AND (id = $2 OR (user_id = '' AND name = $2)) FOR UPDATE"
        );
        let rows = tx.query(sql, &[workspace.into(), which.into()])?;
        let rows = rows.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
        Ok(prefer_id(rows, which))
    }

    /// Finds a connection of any workspace by its id, and keeps every other writer from it.
    pub(in crate::authority) fn any(tx: &mut dyn Transaction, id: &str) -> Result<Option<Self>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM connections WHERE id = $1 FOR UPDATE");
        tx.find(sql, &[id.into()], Self::read)
    }

    /// At most `limit` connections of a workspace, or of one provider in it, whose ids come after
    /// this one, by id; every other writer is kept from them.
    pub(in crate::authority) fn lock_page(
        tx: &mut dyn Transaction,
        workspace: &str,
        provider: Option<&str>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Self>, StoreError> {
        let of_all = concat!(
            "SELECT ",
            columns!(),
            " FROM connections WHERE workspace = $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE"
        );
        let of_one = concat!(
            "SELECT ",
            columns!(),
            " FROM connections WHERE workspace = $1 AND id > $2 AND provider = $3 ORDER BY id LIMIT $4 FOR UPDATE"
        );
        let rows = match provider {
            None => tx.query(of_all, &[workspace.into(), after.into(), limit.into()])?,
            Some(provider) => tx.query(of_one, &[workspace.into(), after.into(), provider.into(), limit.into()])?,
        };
        rows.iter().map(Self::read).collect()
    }

    /// Connections of any workspace whose providers are to be told now that they are revoked, the
    /// longest due first; every other writer is kept from them.
    pub(in crate::authority) fn lock_revocations(
        tx: &mut dyn Transaction,
        now: i64,
        limit: i64,
    ) -> Result<Vec<Self>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM connections WHERE revocation = 'pending' AND revocation_at <= $1
               AND (claimed_until IS NULL OR claimed_until <= $1) ORDER BY revocation_at LIMIT $2 FOR UPDATE"
        );
        tx.list(sql, &[now.into(), limit.into()], Self::read)
    }

    /// Finds each of these by its id or, failing that, by its name: `(workspace, id or name)`.
    pub(in crate::authority) fn find_each(
        tx: &mut dyn Transaction,
        wanted: &[(&str, &str)],
    ) -> Result<Vec<Option<Self>>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM connections WHERE workspace = $1 AND (id = $2 OR (user_id = '' AND name = $2))"
        );
        let lists: Vec<Vec<Value>> =
            wanted.iter().map(|(workspace, which)| vec![(*workspace).into(), (*which).into()]).collect();
        let found = tx.each(sql, &lists)?;
        let pick = |(rows, (_, which)): (Vec<Row>, &(&str, &str))| {
            Ok(prefer_id(rows.iter().map(Self::read).collect::<Result<_, _>>()?, which))
        };
        found.into_iter().zip(wanted).map(pick).collect()
    }

    /// Every connection that was made for a provider of this name, whosever it is, by id.
    pub(in crate::authority) fn of_provider(
        tx: &mut dyn Transaction,
        workspace: &str,
        provider: &str,
    ) -> Result<Vec<Self>, StoreError> {
        let sql =
            concat!("SELECT ", columns!(), " FROM connections WHERE workspace = $1 AND provider = $2 ORDER BY id");
        tx.list(sql, &[workspace.into(), provider.into()], Self::read)
    }

    /// Finds a connection by its id.
    pub(in crate::authority) fn by_id(
        tx: &mut dyn Transaction,
        workspace: &str,
        id: &str,
    ) -> Result<Option<Self>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM connections WHERE workspace = $1 AND id = $2");
        tx.find(sql, &[workspace.into(), id.into()], Self::read)
    }

    /// Claims an active connection that is due to be renewed and that nobody holds; none where that is
    /// not so, or while another writer has the row: it is not waited for, so that no two wait for each
    /// other.
    pub(in crate::authority) fn claim(
        tx: &mut dyn Transaction,
        workspace: &str,
        id: &str,
        by: &str,
        now: i64,
        until: i64,
    ) -> Result<Option<Self>, StoreError> {
        let sql = concat!(
            "UPDATE connections SET claimed_by = $1, claimed_until = $2 WHERE id =
                (SELECT id FROM connections WHERE workspace = $3 AND id = $4 AND state = 'active' AND refresh_at <= $5
                    AND (claimed_until IS NULL OR claimed_until < $5) FOR UPDATE SKIP LOCKED) RETURNING ",
            columns!()
        );
        let values: [Value; 5] = [by.into(), until.into(), workspace.into(), id.into(), now.into()];
        tx.find(sql, &values, Self::read)
    }

    /// At most `limit` connections of a workspace that come after this name and id, in that order.
    pub(in crate::authority) fn page(
        tx: &mut dyn Transaction,
        workspace: &str,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<Self>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM connections WHERE workspace = $1 AND (name > $2 OR (name = $3 AND id > $4)) ORDER BY name, id LIMIT $5"
        );
        let (name, id) = after;
        let values = [workspace.into(), name.into(), name.into(), id.into(), limit.into()];
        tx.list(sql, &values, Self::read)
    }

    /// Every connection of a workspace, by name.
    pub(in crate::authority) fn list(tx: &mut dyn Transaction, workspace: &str) -> Result<Vec<Self>, StoreError> {
        Self::page(tx, workspace, ("", ""), i64::MAX)
    }

    /// Writes a connection: a new one, or what is now true of the one of this id.
    pub(in crate::authority) fn put(&self, tx: &mut dyn Transaction) -> Result<(), StoreError> {
        tx.execute(PUT, &self.values()).map(drop)
    }

    /// Writes many.
    pub(in crate::authority) fn put_all(tx: &mut dyn Transaction, rows: &[Self]) -> Result<(), StoreError> {
        let lists: Vec<Vec<Value>> = rows.iter().map(Self::values).collect();
        tx.each(PUT, &lists).map(drop)
    }

    /// Deletes a connection.
    pub(in crate::authority) fn delete(tx: &mut dyn Transaction, workspace: &str, id: &str) -> Result<(), StoreError> {
        tx.execute("DELETE FROM grants WHERE workspace = $1 AND connection = $2", &[workspace.into(), id.into()])?;
        tx.execute("DELETE FROM connections WHERE workspace = $1 AND id = $2", &[workspace.into(), id.into()]).map(drop)
    }
}

/// An id wins over a name that looks like one.
fn prefer_id(rows: Vec<ConnectionRow>, which: &str) -> Option<ConnectionRow> {
    let place = rows.iter().position(|row| row.id == which).unwrap_or_default();
    rows.into_iter().nth(place)
}
