//! A database per test from a migrated template. Used by tests and benchmarks only.
//!
//! The server is the one that `DATABASE_URL` names; its role must be allowed to create databases.
//! `./scripts/test` and `./scripts/with-postgres` start a throw-away server and name it there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod bucket;
pub mod catalogue;
pub mod wire;

use std::{env, path::PathBuf};

use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

/// Connections a test's pool opens at most. The throw-away server takes 200 in all.
const POOL_CONNECTIONS: u32 = 10;

/// Held while the template is made, by all test processes on a server.
const TEMPLATE_LOCK: i64 = i64::from_be_bytes(*b"tmtmplat");

/// DDEX's schemas: `$DDEX_DIR`, or beside the workspace. They are not part of the project: where they
/// are absent that is said, and messages are held against the rules alone, except in CI.
#[expect(clippy::print_stderr, reason = "whoever runs the tests is to know")]
pub fn ddex_schemas() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/ddex");
    let directory = env::var_os("DDEX_DIR").map_or(beside, PathBuf::from);
    if directory.is_dir() {
        return Some(directory);
    }
    assert!(
        env::var_os("CI").is_none(),
        "DDEX's schemas are not in {}; set DDEX_DIR",
        directory.display()
    );
    eprintln!("messages are not validated: DDEX's schemas are absent; set DDEX_DIR");
    None
}

/// A database of a test's own, gone when this is dropped. Only a test that panics leaves its
/// database behind, to be looked at; a throw-away server takes it along when it ends.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    /// The server's URL, with a database to connect to.
    server: String,
    url: String,
    pool: PgPool,
}

impl TestDatabase {
    /// A fresh database with both schemas, as `migrate` makes them of an empty one.
    pub async fn create() -> Self {
        Self::create_on(&server_url()).await
    }

    /// The same on another server than `DATABASE_URL` names. It must outlive the database.
    pub async fn create_on(url: &str) -> Self {
        let mut server = connect_to_server(url).await;
        let template = ensure_template(&mut server, url).await;
        let database = Self::from_template(&mut server, url, &template).await;
        server
            .close()
            .await
            .expect("the connection to the server closes");
        database
    }

    /// A fresh database with nothing in it.
    pub async fn empty() -> Self {
        let url = server_url();
        let mut server = connect_to_server(&url).await;
        let database = Self::from_template(&mut server, &url, "template0").await;
        server
            .close()
            .await
            .expect("the connection to the server closes");
        database
    }

    /// A copy of this database as it is now, as often as one likes. Its pool is closed for that.
    pub async fn copy(&self) -> Self {
        self.pool.close().await;
        let mut server = connect_to_server(&self.server).await;
        let copy = Self::from_template(&mut server, &self.server, &self.name).await;
        server
            .close()
            .await
            .expect("the connection to the server closes");
        copy
    }

    /// A pool on this database, of ten connections at most, set up as the worker sets up its own.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// This database's URL, password included.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn from_template(server: &mut PgConnection, server_url: &str, template: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        execute(
            server,
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await;
        let url = url_of(server_url, &name);
        let options = jobs::database::options(&url, "test").expect("the URL is one");
        // Tests kill connections and go on at once: each is asked whether it is there.
        let pool = PgPoolOptions::new()
            .max_connections(POOL_CONNECTIONS)
            .test_before_acquire(true)
            .connect_with(options)
            .await
            .expect("a database that was just created can be connected to");
        Self {
            name,
            server: server_url.to_owned(),
            url,
            pool,
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let url = self.server.clone();
        // A thread with a runtime of its own: a destructor cannot wait for the test's runtime.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime starts")
                .block_on(async {
                    let mut server = connect_to_server(&url).await;
                    execute(&mut server, statement).await;
                });
        });
        dropped.join().expect("the test's database can be dropped");
    }
}

/// The database that holds both schemas and is copied for each test: made once, used by every
/// test process on the server, and named after the migrations, so that a change makes another.
async fn ensure_template(server: &mut PgConnection, url: &str) -> String {
    let name = format!("template_{}", jobs::schema::fingerprint().simple());
    if exists(server, &name).await {
        return name;
    }
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut *server)
        .await
        .expect("the lock on the template can be taken");
    if !exists(server, &name).await {
        // Under another name until it is complete: a process that dies here leaves no half template.
        let unfinished = format!("{name}_unfinished");
        execute(
            server,
            format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"),
        )
        .await;
        execute(
            server,
            format!("CREATE DATABASE {unfinished} TEMPLATE template0"),
        )
        .await;
        let pool = jobs::database::connect(&url_of(url, &unfinished), "test-template", 1)
            .await
            .expect("the template can be connected to");
        jobs::schema::migrate(&pool)
            .await
            .expect("an empty database can be migrated");
        pool.close().await;
        execute(
            server,
            format!("ALTER DATABASE {unfinished} ALLOW_CONNECTIONS false"),
        )
        .await;
        execute(
            server,
            format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = '{unfinished}'"
            ),
        )
        .await;
        execute(
            server,
            format!("ALTER DATABASE {unfinished} RENAME TO {name}"),
        )
        .await;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(server)
        .await
        .expect("the lock on the template can be given back");
    name
}

async fn exists(server: &mut PgConnection, database: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(database)
        .fetch_one(server)
        .await
        .expect("the server lists its databases")
}

async fn connect_to_server(url: &str) -> PgConnection {
    PgConnection::connect(url)
        .await
        .unwrap_or_else(|error| panic!("the tests' PostgreSQL server does not answer: {error}"))
}

async fn execute(server: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement.clone()))
        .execute(server)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

fn server_url() -> String {
    std::env::var("DATABASE_URL").unwrap_or_else(|_| {
        panic!(
            "DATABASE_URL is not set: run the tests with ./scripts/test, which starts a \
             throw-away PostgreSQL, or one of them with ./scripts/with-postgres cargo test ..."
        )
    })
}

/// The server's URL with another database in its path.
fn url_of(server: &str, database: &str) -> String {
    let (base, query) = match server.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (server, String::new()),
    };
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base
        .get(authority..)
        .and_then(|rest| rest.find('/'))
        .map_or(base.len(), |at| authority + at);
    format!("{}/{database}{query}", base.get(..end).unwrap_or(base))
}
