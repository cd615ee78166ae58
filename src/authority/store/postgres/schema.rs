//! The tables of a database and their version, and how one version becomes the next.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use super::super::steps::{self, Step};
use super::way::say;
use super::{StoreError, failed};

/// What a database of ours says of itself.
const APPLICATION: &str = "nexus-sidecar";

/// The lock that whoever changes tables takes: "nexs" in ASCII, as in a file.
const LOCK: i64 = 0x6e65_7873;

/// Whoever writes an event says so to whoever listens, when the transaction is committed.
const NOTIFY: &str = "
    CREATE FUNCTION nexus_sidecar_notify() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('nexus_sidecar', ''); RETURN NULL; END $$;
    CREATE TRIGGER nexus_sidecar_notify AFTER INSERT ON events
        FOR EACH STATEMENT EXECUTE FUNCTION nexus_sidecar_notify();
";

/// Brings a database to the newest version. Tells whether it was new.
pub(super) async fn bring_up(client: &Client, name: &str) -> Result<bool, StoreError> {
    bring_to(client, name, steps::STEPS).await
}

/// Tells whether a database holds a store.
pub(super) async fn is_there(client: &Client, name: &str) -> Result<bool, StoreError> {
    version(client, name).await.map(|version| version > 0)
}

pub(super) async fn bring_to(client: &Client, name: &str, steps: &[Step]) -> Result<bool, StoreError> {
    let known = steps.len() as u64;
    let newer = |found| StoreError::Newer { name: name.to_owned(), found, known };
    match version(client, name).await? {
        found if found == known => return Ok(false),
        found if found > known => return Err(newer(found)),
        _ => {}
    }
    let doing = |error: Error| failed("bring up to date", name, say(&error));
    // The lock comes first: of two replicas that start at once, one changes the tables and the
    // other then finds nothing to do.
    let begin = format!("BEGIN; SET LOCAL statement_timeout = '120s'; SELECT pg_advisory_xact_lock({LOCK})");
    client.batch_execute(&begin).await.map_err(doing)?;
    let found = version(client, name).await?;
    if found > known {
        return Err(newer(found));
    }
    if found == 0 {
        not_of_others(client, name, steps).await?;
    }
    for (index, step) in (0_u64..).zip(steps).skip_while(|(index, _)| *index < found) {
        let done = client.batch_execute(&text(step)).await;
        done.map_err(|error| {
            let mut why = say(&error);
            if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                why.push_str(": the role needs CREATE there");
            }
            StoreError::Migrate { name: name.to_owned(), to: index + 1, source: why.into() }
        })?;
    }
    let mark = format!(
        "CREATE TABLE IF NOT EXISTS nexus_schema (application TEXT PRIMARY KEY, version BIGINT NOT NULL);
         INSERT INTO nexus_schema (application, version) VALUES ('{APPLICATION}', {known})
             ON CONFLICT (application) DO UPDATE SET version = excluded.version;
         COMMIT"
    );
    client.batch_execute(&mark).await.map_err(doing)?;
    Ok(found == 0)
}

/// The version of a database of ours; 0 for one that does not say that it is.
async fn version(client: &Client, name: &str) -> Result<u64, StoreError> {
    let failed = |error: Error| failed("read", name, say(&error));
    if !has_table(client, "nexus_schema").await.map_err(failed)? {
        return Ok(0);
    }
    let sql = "SELECT version FROM nexus_schema WHERE application = $1";
    let found = client.query_opt(sql, &[&APPLICATION]).await.map_err(failed)?;
    let found = found.ok_or_else(|| StoreError::Foreign { name: name.to_owned() })?;
    found.try_get::<_, i64>(0).map(i64::unsigned_abs).map_err(failed)
}

/// Refuses a database in which a table of any of our names is somebody else's.
async fn not_of_others(client: &Client, name: &str, steps: &[Step]) -> Result<(), StoreError> {
    for table in steps.iter().flat_map(|step| tables(step.both)) {
        let taken = has_table(client, table).await;
        if taken.map_err(|error| failed("read", name, say(&error)))? {
            return Err(StoreError::Foreign { name: name.to_owned() });
        }
    }
    Ok(())
}

/// Asks the catalogue itself: `to_regclass` answers from what the session remembers, which may be
/// older than the transaction that was waited for.
async fn has_table(client: &Client, table: &str) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relname = $1 AND pg_table_is_visible(oid))";
    client.query_one(sql, &[&table]).await?.try_get(0)
}

/// The names of the tables that a step makes.
fn tables(sql: &str) -> impl Iterator<Item = &str> {
    sql.split("CREATE TABLE ").skip(1).filter_map(|rest| rest.split_whitespace().next())
}

/// A step as PostgreSQL reads it.
fn text(step: &Step) -> String {
    let both = step.both.replace(" INTEGER", " BIGINT").replace(" BLOB", " BYTEA").replace(") STRICT;", ");");
    let notify = if step.both.contains("CREATE TABLE events") { NOTIFY } else { "" };
    format!("{}{}{notify}", step.postgres, both.replace("X''", "''"))
}
