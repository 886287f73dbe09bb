//! What the worker stands on: database, schema, assets, DDEX's schemas.

use jobs::{queue, schema};
use platform_adapters::{ConnectOptions, Fault, ddex, package::AssetStore};
use sqlx::PgPool;

use super::Finding;
use crate::{cli, config::Config};

/// The oldest PostgreSQL that the worker's statements are made for.
const OLDEST_POSTGRES: u32 = 150_000;

/// What platforms are checked with.
pub(super) struct Environment {
    pub(super) assets: Option<AssetStore>,
    pub(super) options: ConnectOptions,
}

impl Environment {
    pub(super) async fn examine(config: &Config, findings: &mut Vec<Finding>) -> Self {
        let root = &config.assets.root;
        let assets = match assets(root).await {
            Ok(store) => {
                let message = format!("{root} can be read");
                findings.push(Finding::ok("assets", message));
                Some(store)
            }
            Err(fault) => {
                findings.push(Finding::fail(
                    "assets",
                    fault.message,
                    "Set assets.root to the directory or store that releases.artwork and \
                     tracks.audio_file are paths in, and let the worker's user read it.",
                ));
                None
            }
        };
        let ddex_schemas = config.ddex.schemas().and_then(|directory| {
            let found = ddex::find_schemas(&directory);
            findings.push(match &found {
                Ok(_) => Finding::ok("ddex", format!("schemas are in {}", directory.display())),
                Err(fault) => Finding::fail(
                    "ddex",
                    fault.message.clone(),
                    "Set ddex.schemas to the directory with DDEX's .xsd files, or to nothing.",
                ),
            });
            found.ok()
        });
        Self {
            assets,
            options: ConnectOptions {
                ddex_schemas,
                keyring: Some(config.secrets.keyring()),
            },
        }
    }
}

async fn assets(root: &str) -> Result<AssetStore, Fault> {
    let store = AssetStore::open(root)?;
    store.check().await?;
    Ok(store)
}

/// The database, if it can be asked further.
pub(super) async fn database(
    config: &Config,
    connections: u32,
    findings: &mut Vec<Finding>,
) -> Option<PgPool> {
    let url = &config.database.url.0;
    let pool = match cli::connect(url, "tunemantra-worker check", connections).await {
        Ok(pool) => pool,
        Err(failure) => {
            findings.push(Finding::fail(
                "database",
                failure.to_string(),
                "See that the server runs, and that DATABASE_URL or database.url names it.",
            ));
            return None;
        }
    };
    match pool.acquire().await {
        Ok(connection) => findings.push(server(connection.server_version_num())),
        Err(error) => {
            findings.push(Finding::fail(
                "database",
                format!("the connection broke: {error}"),
                "Look at the database server's log.",
            ));
            return None;
        }
    }
    connections_suffice(config, &pool, findings).await;
    if let Err(failure) = cli::require_sessions(&config.database).await {
        findings.push(Finding::fail(
            "pooler",
            failure.to_string(),
            "See docs/pgbouncer.md.",
        ));
    }
    if config.database.direct_url.0.is_empty() {
        schemas(&pool, findings).await;
        return Some(pool);
    }
    // The comparison has tables of its session.
    match cli::connect(config.database.direct(), "tunemantra-worker check", 1).await {
        Ok(direct) => schemas(&direct, findings).await,
        Err(failure) => findings.push(Finding::fail(
            "database.direct_url",
            failure.to_string(),
            "See that database.direct_url leads to the same database, past the connection pooler.",
        )),
    }
    Some(pool)
}

/// Of one daemon; several on one database add up.
async fn connections_suffice(config: &Config, pool: &PgPool, findings: &mut Vec<Finding>) {
    let (own, slots) = (config.database.max_connections, config.queue.slots);
    if usize::try_from(own).is_ok_and(|own| own < slots) {
        findings.push(Finding::warn(
            "connections",
            format!("{slots} deliveries at once share {own} connections, and wait for each other"),
            "Raise database.max_connections to queue.slots at least, or lower queue.slots.",
        ));
    }
    let http = match config.http.listen.is_empty() {
        true => 0,
        false => config.http.database_connections,
    };
    // The last two listen for schedules, and ask whether the database answers.
    let most = own + queue::CONNECTIONS + http + 2;
    let granted: Result<i32, _> = sqlx::query_scalar(
        "select current_setting('max_connections')::int
             - current_setting('superuser_reserved_connections')::int",
    )
    .fetch_one(pool)
    .await;
    match granted {
        Ok(granted) if i64::from(granted) < i64::from(most) => findings.push(Finding::warn(
            "connections",
            format!(
                "a daemon opens up to {most} connections, and the server grants {granted} in all"
            ),
            "Raise PostgreSQL's max_connections, or lower database.max_connections.",
        )),
        Ok(_) => {}
        Err(error) => findings.push(Finding::fail(
            "connections",
            format!("the server does not say how many it grants: {error}"),
            "Look at the database server's log.",
        )),
    }
}

fn server(version: Option<u32>) -> Finding {
    match version {
        Some(version) if version < OLDEST_POSTGRES => Finding::fail(
            "database",
            format!("PostgreSQL {} is too old", version / 10_000),
            "Use PostgreSQL 15 or newer.",
        ),
        Some(version) => Finding::ok(
            "database",
            format!(
                "connected; PostgreSQL {}.{}",
                version / 10_000,
                version % 10_000
            ),
        ),
        None => Finding::ok("database", "connected"),
    }
}

async fn schemas(pool: &PgPool, findings: &mut Vec<Finding>) {
    match schema::inspect(pool).await {
        Ok(found) if found.is_empty => {
            findings.push(Finding::fail(
                "schema public",
                "none of the web application's tables is there",
                "Name the web application's database in DATABASE_URL or database.url, or run \
                 `tunemantra-worker migrate` to create the tables in this one.",
            ));
            return;
        }
        Ok(found) if found.differences.is_empty() => findings.push(Finding::ok(
            "schema public",
            "the web application's tables have what the worker needs",
        )),
        Ok(found) => findings.extend(found.differences.iter().map(|difference| {
            Finding::fail(
                "schema public",
                difference.to_string(),
                "Bring it to the documented schema, in the web application by its own push.",
            )
        })),
        Err(error) => findings.push(Finding::fail(
            "schema public",
            error.to_string(),
            "Let the worker's role use the schema public and temporary tables.",
        )),
    }
    findings.push(match schema::require_current(pool).await {
        Ok(()) => Finding::ok("schema worker", "is up to date"),
        Err(error) => Finding::fail(
            "schema worker",
            error.to_string(),
            "Run `tunemantra-worker migrate`; nothing of the web application's is changed.",
        ),
    });
    match schema::missing_additions(pool).await {
        Ok(missing) if missing.is_empty() => findings.push(Finding::ok(
            "additions",
            "the worker's indexes and triggers on the web application's tables are there",
        )),
        Ok(missing) => findings.extend(missing.iter().map(|name| {
            Finding::warn(
                "additions",
                format!("{name} is missing; the worker is right without it, and slower to follow"),
                "Run `tunemantra-worker migrate` as the owner of the web application's tables.",
            )
        })),
        Err(error) => findings.push(Finding::fail(
            "additions",
            error.to_string(),
            "Let the worker's role read PostgreSQL's catalogs.",
        )),
    }
}
