//! What the store holds. Each step makes version N+1 of version N; a step that was released never
//! changes, and takes nothing away that the release before it reads.
//!
//! Written as SQLite reads it. PostgreSQL's text is the same but for the names of types (`INTEGER`
//! is `BIGINT`, `BLOB` is `BYTEA`), without `STRICT`, and `X''` is `''`; what one of the two cannot
//! do stands apart, and comes first.

/// One version's changes.
pub(super) struct Step {
    /// What SQLite alone does first.
    pub(super) sqlite: &'static str,
    /// What PostgreSQL alone does first, in its own words.
    pub(super) postgres: &'static str,
    /// What both do.
    pub(super) both: &'static str,
}

impl Step {
    /// A step that both do alike.
    pub(super) const fn alike(both: &'static str) -> Self {
        Self { sqlite: "", postgres: "", both }
    }
}

/// The steps, oldest first.
pub(super) const STEPS: &[Step] =
    &[Step::alike(CONNECTIONS), Step { sqlite: CONNECTIONS_ANEW, postgres: CONNECTIONS_ALTERED, both: AUTHORITY }];

/// Version 1: an embedded store of connections.
const CONNECTIONS: &str = "
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT;
    CREATE TABLE connections (
        id TEXT PRIMARY KEY,
        workspace TEXT NOT NULL,
        name TEXT NOT NULL,
        provider TEXT,
        state TEXT NOT NULL,
        version INTEGER NOT NULL,
        bindings TEXT NOT NULL,
        owned INTEGER NOT NULL,
        field_names TEXT NOT NULL,
        sealed BLOB NOT NULL,
        wrapped_key BLOB NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        expires_at INTEGER,
        UNIQUE (workspace, name)
    ) STRICT;
";

/// Version 2, on SQLite: the table of connections is made anew, since what makes a row unique cannot
/// be changed; every column of version 1 is still there.
const CONNECTIONS_ANEW: &str = "
    CREATE TABLE connections_2 (
        id TEXT PRIMARY KEY,
        workspace TEXT NOT NULL,
        name TEXT NOT NULL,
        provider TEXT,
        state TEXT NOT NULL,
        version INTEGER NOT NULL,
        bindings TEXT NOT NULL,
        owned INTEGER NOT NULL,
        field_names TEXT NOT NULL,
        sealed BLOB NOT NULL,
        wrapped_key BLOB NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        expires_at INTEGER,
        user_id TEXT NOT NULL DEFAULT '',
        why TEXT,
        endpoints TEXT,
        key_id TEXT,
        refresh_at INTEGER,
        refresh_tries INTEGER NOT NULL DEFAULT 0,
        claimed_by TEXT,
        claimed_until INTEGER,
        forced_at INTEGER,
        revocation TEXT,
        revocation_tries INTEGER NOT NULL DEFAULT 0,
        revocation_at INTEGER,
        UNIQUE (workspace, user_id, name)
    ) STRICT;
    INSERT INTO connections_2 (id, workspace, name, provider, state, version, bindings, owned, field_names, sealed,
        wrapped_key, created_at, updated_at, expires_at)
        SELECT id, workspace, name, provider, state, version, bindings, owned, field_names, sealed,
            wrapped_key, created_at, updated_at, expires_at FROM connections;
    DROP TABLE connections;
    ALTER TABLE connections_2 RENAME TO connections;
";

/// Version 2, on PostgreSQL: the same columns.
const CONNECTIONS_ALTERED: &str = "
    ALTER TABLE connections
        ADD COLUMN user_id TEXT NOT NULL DEFAULT '',
        ADD COLUMN why TEXT,
        ADD COLUMN endpoints TEXT,
        ADD COLUMN key_id TEXT,
        ADD COLUMN refresh_at BIGINT,
        ADD COLUMN refresh_tries BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN claimed_by TEXT,
        ADD COLUMN claimed_until BIGINT,
        ADD COLUMN forced_at BIGINT,
        ADD COLUMN revocation TEXT,
        ADD COLUMN revocation_tries BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN revocation_at BIGINT,
        DROP CONSTRAINT connections_workspace_name_key,
        ADD UNIQUE (workspace, user_id, name);
";

/// Version 2: the Authority.
const AUTHORITY: &str = "
    CREATE INDEX connections_by_refresh ON connections (refresh_at);
    CREATE INDEX connections_by_revocation ON connections (revocation, revocation_at);
    CREATE INDEX connections_by_end ON connections (state, expires_at);
    CREATE INDEX connections_by_key ON connections (key_id);
    CREATE INDEX connections_by_provider ON connections (workspace, provider);

    INSERT INTO meta (name, value) VALUES ('lock', X'');

    CREATE TABLE workspaces (
        workspace TEXT PRIMARY KEY,
        last_event INTEGER NOT NULL,
        frozen_at INTEGER
    ) STRICT;
    CREATE TABLE events (
        workspace TEXT NOT NULL,
        number INTEGER NOT NULL,
        kind TEXT NOT NULL,
        connection TEXT,
        name TEXT,
        agent TEXT,
        provider TEXT,
        detail TEXT,
        at INTEGER NOT NULL,
        PRIMARY KEY (workspace, number)
    ) STRICT;

    CREATE TABLE agents (
        workspace TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        revoked_at INTEGER,
        PRIMARY KEY (workspace, name)
    ) STRICT;
    CREATE TABLE grants (
        workspace TEXT NOT NULL,
        agent TEXT NOT NULL,
        connection TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (workspace, agent, connection)
    ) STRICT;
    CREATE INDEX grants_by_connection ON grants (workspace, connection);
    CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        workspace TEXT NOT NULL,
        hash BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        scope TEXT NOT NULL,
        agents TEXT NOT NULL,
        connections TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER
    ) STRICT;

    CREATE TABLE providers (
        id TEXT PRIMARY KEY,
        workspace TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        document TEXT NOT NULL,
        sealed BLOB,
        wrapped_key BLOB,
        key_id TEXT,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        deleted_at INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX providers_by_name ON providers (workspace, name) WHERE deleted_at IS NULL;
    CREATE INDEX providers_by_key ON providers (key_id);
    CREATE TABLE policies (
        workspace TEXT NOT NULL,
        version INTEGER NOT NULL,
        document TEXT NOT NULL,
        set_by TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (workspace, version)
    ) STRICT;

    CREATE TABLE instances (
        id TEXT PRIMARY KEY,
        host TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        mac BLOB NOT NULL,
        head BLOB NOT NULL
    ) STRICT;
    CREATE TABLE audit (
        instance TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        workspace TEXT NOT NULL,
        at INTEGER NOT NULL,
        event TEXT NOT NULL,
        connection TEXT,
        body TEXT NOT NULL,
        mac BLOB NOT NULL,
        PRIMARY KEY (instance, sequence)
    ) STRICT;
    CREATE INDEX audit_by_time ON audit (workspace, at);
";
