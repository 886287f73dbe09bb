//! A private PostgreSQL for trying the worker out: a cluster in the state directory, run by the
//! installed PostgreSQL, on a socket of its own and a free loopback port, for as long as this
//! process wants it. It is as durable as any other PostgreSQL.
//!
//! What is in the databases is not decided here.

mod binaries;
mod place;
mod server;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sqlx::{Connection as _, PgConnection};

use place::Place;
use server::Server;

/// The role that owns the cluster, and the database the worker uses.
const NAME: &str = "tunemantra";

/// A running private PostgreSQL. It stops when this is stopped or dropped. A process that is
/// killed leaves it running; the next start in the same state directory stops it first.
pub(crate) struct Embedded {
    server: Server,
    directory: PathBuf,
    password: String,
    /// Held as long as the server runs, so that no second process uses the cluster.
    _lock: File,
}

impl Embedded {
    /// Starts the cluster of `state_dir`, which is made first if there is none, and makes sure that
    /// it has a database `tunemantra`.
    pub(crate) async fn start(state_dir: &Path) -> anyhow::Result<Self> {
        let state_dir = state_dir.to_owned();
        let embedded = tokio::task::spawn_blocking(move || start_server(&state_dir))
            .await
            .context("the task that starts PostgreSQL ended early")??;
        embedded.ensure_database().await?;
        Ok(embedded)
    }

    /// Stops a server that an earlier run left behind in `state_dir`, and deletes its cluster.
    pub(crate) async fn remove(state_dir: &Path) -> anyhow::Result<()> {
        let state_dir = state_dir.to_owned();
        tokio::task::spawn_blocking(move || {
            if !state_dir.exists() {
                return Ok(());
            }
            let _lock = lock(&state_dir)?;
            for place in Place::used_by(&state_dir)? {
                place.delete()?;
            }
            Ok(())
        })
        .await
        .context("the task that removes PostgreSQL ended early")?
    }

    /// The URL of the database `tunemantra`, with a password.
    pub(crate) fn url(&self) -> String {
        self.url_of(NAME)
    }

    /// The URL of the database `postgres`, from which others can be created and dropped.
    pub(crate) fn admin_url(&self) -> String {
        self.url_of("postgres")
    }

    /// Where the cluster, its log `postgres.log` and its socket are: in the state directory or,
    /// where PostgreSQL cannot work there, in a directory of its own under `/var/tmp`.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops the server: sessions end, what was committed is on disk.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || self.server.stop())
            .await
            .context("the task that stops PostgreSQL ended early")?
    }

    fn url_of(&self, database: &str) -> String {
        format!(
            "postgres://{NAME}:{}@127.0.0.1:{}/{database}",
            self.password, self.server.port
        )
    }

    async fn ensure_database(&self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.admin_url())
            .await
            .context("the embedded PostgreSQL runs, but cannot be connected to")?;
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(NAME)
                .fetch_one(&mut connection)
                .await?;
        if !exists {
            sqlx::query("CREATE DATABASE tunemantra")
                .execute(&mut connection)
                .await?;
        }
        connection.close().await?;
        Ok(())
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("directory", &self.directory)
            .field("port", &self.server.port)
            .finish_non_exhaustive()
    }
}

fn start_server(state_dir: &Path) -> anyhow::Result<Embedded> {
    fs::create_dir_all(state_dir).with_context(|| {
        format!(
            "the state directory {} cannot be created",
            state_dir.display()
        )
    })?;
    let lock = lock(state_dir)?;
    let place = Place::prepare(state_dir)?;
    server::stop_leftover(&place.data())?;
    let binaries = binaries::find(place.made_by())?;
    let password = if place.data().is_dir() {
        place.read_password()?
    } else {
        place.create_cluster(&binaries, NAME)?
    };
    let server = Server::start(&binaries, &place)?;
    Ok(Embedded {
        server,
        directory: place.directory().to_owned(),
        password,
        _lock: lock,
    })
}

/// One process at a time. The operating system gives the lock back when its holder dies.
fn lock(state_dir: &Path) -> anyhow::Result<File> {
    let path = state_dir.join("postgres.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!(
            "the embedded PostgreSQL in {} is in use by another process; \
             stop that, or choose another state directory",
            state_dir.display()
        ),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}
