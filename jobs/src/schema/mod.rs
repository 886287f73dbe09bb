//! The database's two schemas: `public`, the web application's tables, which are created in an
//! empty database and otherwise compared and left alone; and `worker`, ours, which is migrated.
//! The SQL itself is in `migrations/`.

mod compare;
mod shape;

use std::collections::HashSet;

use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

pub use compare::{Comparison, Difference, Expected, compare, inspect};

/// The web application's tables: created in an empty database, and the one definition that an
/// existing database is compared with.
const SEED: &str = include_str!("../../../migrations/public/seed.sql");

/// The tables that the web application's diagram only names: created, never compared.
const DIAGRAM: &str = include_str!("../../../migrations/public/diagram.sql");

/// What the worker adds to the web application's tables: indexes, for speed, and triggers, so that
/// changes are known at once.
const ADDITIONS: &str = include_str!("../../../migrations/public/additions.sql");

/// Where the history of the worker's own migrations is kept.
const HISTORY: &str = "worker.migrations";

/// Held for the session while migrating, so that daemons that start together take turns.
/// The bytes spell `tmworker`.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"tmworker");

/// What [`migrate`] found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What became of the web application's tables.
    pub public: PublicTables,
    /// The worker migrations that were applied now, as `0001 queue`, in order.
    pub applied: Vec<String>,
}

/// What became of the web application's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicTables {
    /// There were none: all were created.
    Created,
    /// They were there and have what the worker needs. Nothing in them was changed.
    Verified,
}

/// Why the database was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The web application's tables lack something the worker needs. Nothing was changed.
    #[error("{}", compare::describe(.0))]
    Mismatch(Vec<Difference>),
    /// A newer worker has migrated this database.
    #[error(
        "the database has worker migration {0}, which this program does not know: \
         a newer version migrated it; use that version"
    )]
    Newer(i64),
    /// A migration was applied in another wording than this program has.
    #[error(
        "worker migration {0} was applied to the database in another wording than this program \
         has; use the version that migrated it, or one released after that"
    )]
    Changed(i64),
    /// The worker's own tables are missing or older than this program.
    #[error(
        "the database lacks worker migrations this program needs ({}): run `tunemantra-worker migrate`",
        .0.join(", ")
    )]
    Behind(Vec<String>),
    /// The role may not create temporary tables, which the comparison needs.
    #[error(
        "the database role may not create temporary tables, which comparing the schema needs \
         (GRANT TEMPORARY ON DATABASE ... TO ...): {0}"
    )]
    NoTemporaryTables(#[source] sqlx::Error),
    /// The web application's tables were missing and could not be created.
    #[error("the tables of the web application could not be created in schema public: {0}")]
    Create(#[source] sqlx::Error),
    /// A worker migration failed; it was rolled back, those before it stay.
    #[error("the schema worker could not be migrated: {0}")]
    Worker(#[source] MigrateError),
    /// The database failed or refused.
    #[error("the database's schema could not be examined: {0}")]
    Database(#[from] sqlx::Error),
}

/// Brings the database to what this version of the worker needs.
///
/// If `public` has none of the web application's tables, all are created. If it has any, every
/// table, column and enumeration label is compared first, and a database that lacks something is
/// refused with the whole list; what is there is never altered. Then the migrations of schema
/// `worker` run. Several callers at once take turns. Doing it again changes nothing.
pub async fn migrate(pool: &PgPool) -> Result<Report, SchemaError> {
    // A connection of its own: if this future is dropped half-way, the connection closes and the
    // lock is gone with it, instead of going back to the pool with the lock held.
    let mut connection = pool.acquire().await?.detach();
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut connection)
        .await?;
    let report = migrate_locked(&mut connection).await;
    // Closing gives the lock back, and a connection that cannot close is as good as closed.
    let _ = connection.close().await;
    report
}

async fn migrate_locked(connection: &mut PgConnection) -> Result<Report, SchemaError> {
    let comparison = compare::examine(connection).await?;
    let public = if comparison.is_empty {
        create_public(connection)
            .await
            .map_err(SchemaError::Create)?;
        PublicTables::Created
    } else if comparison.differences.is_empty() {
        PublicTables::Verified
    } else {
        return Err(SchemaError::Mismatch(comparison.differences));
    };
    let applied = migrate_worker(connection).await?;
    // The triggers call functions of the schema worker.
    add_to_public(connection).await?;
    Ok(Report { public, applied })
}

/// Refuses a database that [`migrate`] has not brought to this version. A newer one passes: its
/// migrations keep what the version before them needs.
pub async fn require_current(pool: &PgPool) -> Result<(), SchemaError> {
    let mut connection = pool.acquire().await?;
    let applied = applied_versions(&mut connection).await?;
    let missing: Vec<String> = worker_migrator()
        .iter()
        .filter(|migration| !applied.contains(&migration.version))
        .map(name)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(SchemaError::Behind(missing))
    }
}

/// The worker's indexes and triggers on the web application's tables that are missing, not valid or
/// disabled. The worker is right without them, and slow; `migrate` makes them again.
pub async fn missing_additions(pool: &PgPool) -> Result<Vec<String>, SchemaError> {
    Ok(missing_of_additions(&mut *pool.acquire().await?).await?)
}

async fn missing_of_additions(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let named: Vec<&str> = additions().collect();
    let present: Vec<String> = sqlx::query_scalar(
        "SELECT class.relname::text FROM pg_index AS index
         JOIN pg_class AS class ON class.oid = index.indexrelid
         WHERE index.indisvalid AND class.relnamespace = to_regnamespace('public')
           AND class.relname = ANY($1)
         UNION ALL
         SELECT tgname::text FROM pg_trigger
         JOIN pg_class AS class ON class.oid = tgrelid
         WHERE tgenabled <> 'D' AND class.relnamespace = to_regnamespace('public')
           AND tgname = ANY($1)",
    )
    .bind(&named)
    .fetch_all(connection)
    .await?;
    let is_missing = |name: &&str| !present.iter().any(|other| other == name);
    Ok(named
        .into_iter()
        .filter(is_missing)
        .map(str::to_owned)
        .collect())
}

/// The names of what `additions.sql` makes.
fn additions() -> impl Iterator<Item = &'static str> {
    ["create index if not exists ", "create or replace trigger "]
        .into_iter()
        .flat_map(|made| ADDITIONS.split(made).skip(1))
        .filter_map(|rest| rest.split_whitespace().next())
}

fn name(migration: &Migration) -> String {
    format!("{:04} {}", migration.version, migration.description)
}

/// Adds what makes the worker's questions to the web application's tables fast, and tells it of
/// changes. A role that does not own those tables may not; the worker is right without it.
async fn add_to_public(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let refused = |error: &sqlx::Error| {
        error
            .as_database_error()
            .and_then(|error| error.code())
            .is_some_and(|code| {
                // insufficient_privilege
                code == "42501"
            })
    };
    // Even what finds them there takes locks that writers wait for.
    if missing_of_additions(connection).await?.is_empty() {
        return Ok(());
    }
    match sqlx::raw_sql(ADDITIONS).execute(connection).await {
        Ok(_) => Ok(()),
        Err(error) if refused(&error) => {
            tracing::warn!(
                "the worker's indexes and triggers on the web application's tables could not be \
                 made; without them looking for due schedules is slow, and daily statistics follow \
                 changes only once a night; run migrate once as the owner of those tables: {error}"
            );
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn create_public(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SET LOCAL search_path = public")
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(SEED).execute(&mut *transaction).await?;
    sqlx::raw_sql(DIAGRAM).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn migrate_worker(connection: &mut PgConnection) -> Result<Vec<String>, SchemaError> {
    let before = applied_versions(connection).await?;
    let mut migrator = worker_migrator();
    migrator.set_locking(false);
    // CREATE SCHEMA IF NOT EXISTS asks for the privilege even where the schema exists.
    let schema_exists: bool = sqlx::query_scalar("SELECT to_regnamespace('worker') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !schema_exists {
        migrator.create_schema("worker");
    }
    migrator
        .run(&mut *connection)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(version) => SchemaError::Newer(version),
            MigrateError::VersionMismatch(version) => SchemaError::Changed(version),
            error => SchemaError::Worker(error),
        })?;
    Ok(migrator
        .iter()
        .filter(|migration| !before.contains(&migration.version))
        .map(name)
        .collect())
}

async fn applied_versions(connection: &mut PgConnection) -> Result<HashSet<i64>, sqlx::Error> {
    let migrated: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(HISTORY)
        .fetch_one(&mut *connection)
        .await?;
    if !migrated {
        return Ok(HashSet::new());
    }
    let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM worker.migrations")
        .fetch_all(connection)
        .await?;
    Ok(versions.into_iter().collect())
}

fn worker_migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/worker");
    migrator.dangerous_set_table_name(HISTORY);
    migrator
}

/// Names the schema that [`migrate`] makes of an empty database: another after any change in
/// `migrations/`. Whoever keeps a migrated database to copy from names it after this.
pub fn fingerprint() -> Uuid {
    let mut content = Vec::from(SEED.as_bytes());
    content.extend_from_slice(DIAGRAM.as_bytes());
    content.extend_from_slice(ADDITIONS.as_bytes());
    for migration in worker_migrator().iter() {
        content.extend_from_slice(&migration.checksum);
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &content)
}
