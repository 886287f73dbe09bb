//! A PostgreSQL of a test's own that can be stopped, crashed and started again: the server that
//! `scripts/with-postgres` starts for others is shared.

use std::{
    fs,
    io::Write,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection};

use super::processes::{send, until, until_gone};

/// Has `with-postgres` start a server and keep it until its standard input is closed.
const KEEP: &str = r#"printf '%s\n' "$DATABASE_URL" >"$0"; exec cat"#;

/// See the module. Gone, with all it held, when dropped.
pub(crate) struct Postgres {
    keeper: Child,
    alive: Option<ChildStdin>,
    url: String,
    data: PathBuf,
    program: PathBuf,
    /// Whom it runs as, and that user's group.
    owner: (u32, u32),
}

impl Postgres {
    /// Starts one. `scratch` is a directory for a file.
    pub(crate) async fn start(scratch: &Path) -> Self {
        let told = scratch.join("database.url");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/with-postgres");
        let mut keeper = Command::new(script)
            .args(["sh", "-c", KEEP])
            .arg(&told)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let alive = keeper.stdin.take();
        let url = until("a PostgreSQL", || async {
            let text = fs::read_to_string(&told).ok()?;
            text.strip_suffix('\n').map(str::to_owned)
        })
        .await;
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let data: String = sqlx::query_scalar("select current_setting('data_directory')")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let data = PathBuf::from(data);
        let process = PathBuf::from(format!("/proc/{}", postmaster(&data).unwrap()));
        let owner = fs::metadata(&data).unwrap();
        let postgres = Self {
            keeper,
            alive,
            url,
            program: fs::read_link(process.join("exe")).unwrap(),
            owner: (owner.uid(), owner.gid()),
            data,
        };
        // What it has confirmed outlives its crash, if not the machine's.
        postgres.set("synchronous_commit = on");
        postgres
    }

    /// The superuser's URL of its database `postgres`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn port(&self) -> u16 {
        let port = self.url.rsplit_once(':').unwrap().1;
        port.split_once('/').unwrap().0.parse().unwrap()
    }

    /// Whom it runs as.
    pub(crate) fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// Ends it in order, but without waiting for those who are connected.
    pub(crate) async fn stop(&self) {
        self.end(Signal::SIGINT).await;
    }

    /// Ends it as a crash does: the next start recovers.
    pub(crate) async fn crash(&self) {
        self.end(Signal::SIGQUIT).await;
    }

    async fn end(&self, signal: Signal) {
        let Some(pid) = self.postmaster() else {
            return;
        };
        let started = super::processes::family(pid);
        send(pid, signal);
        until_gone(&started).await;
    }

    /// Starts it again on the same port, unless it runs.
    pub(crate) async fn start_again(&self) {
        if self.postmaster().is_some() {
            return;
        }
        let control = self.program.with_file_name("pg_ctl");
        let mut command = Command::new(control);
        command
            .arg("-D")
            .arg(&self.data)
            .arg("-l")
            .arg(self.data.with_file_name("postgres.log"))
            .args(["-o", &format!("-p {}", self.port())])
            .args(["-w", "-t", "120", "-s", "start"])
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        if nix::unistd::Uid::effective().is_root() {
            command.uid(self.owner.0).gid(self.owner.1);
        }
        let started = tokio::task::spawn_blocking(move || command.status());
        assert!(started.await.unwrap().unwrap().success(), "it starts again");
    }

    /// Whether it takes connections.
    pub(crate) async fn is_up(&self) -> bool {
        match PgConnection::connect(&self.url).await {
            Ok(connection) => connection.close().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Connects to a database of it, whatever the server's default for transactions is.
    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        let server = self.url.rsplit_once('/').unwrap().0;
        let mut connection = PgConnection::connect(&format!("{server}/{database}"))
            .await
            .unwrap();
        sqlx::query("set default_transaction_read_only = off")
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }

    /// Takes every connection that the server has, those of the daemons included: these wait for one
    /// until the connections given here are closed.
    pub(crate) async fn take_all(&self) -> Vec<PgConnection> {
        /// More than the server has.
        const MORE_THAN_ALL: usize = 220;
        /// Whoever wins this race so often is at work with few.
        const TURNS: usize = 10;
        let mut taken: Vec<PgConnection> = Vec::new();
        for _ in 0..TURNS {
            let asked = (0..MORE_THAN_ALL).map(|_| PgConnection::connect(&self.url));
            taken.extend(join_all(asked).await.into_iter().flatten());
            let Some(connection) = taken.first_mut() else {
                break;
            };
            let ended: Result<i64, _> = sqlx::query_scalar(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity
                 where application_name like 'tunemantra-worker%'",
            )
            .fetch_one(connection)
            .await;
            if !matches!(ended, Ok(1..)) {
                break;
            }
        }
        taken
    }

    /// Sets something for the whole server: at once if it runs, and from the next start on.
    pub(crate) fn set(&self, setting: &str) {
        let file = self.data.join("postgresql.conf");
        let mut file = fs::File::options().append(true).open(file).unwrap();
        writeln!(file, "{setting}").unwrap();
        if let Some(pid) = self.postmaster() {
            send(pid, Signal::SIGHUP);
        }
    }

    /// The number of the server's first process, while it has one.
    fn postmaster(&self) -> Option<i32> {
        let pid = postmaster(&self.data)?;
        // A crash leaves the file.
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        line.contains(&*self.data.to_string_lossy()).then_some(pid)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its standard input closes, and it stops the server and removes all.
        drop(self.alive.take());
        let _ended = self.keeper.wait();
    }
}

/// The number that the server's first process wrote down.
fn postmaster(data: &Path) -> Option<i32> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}
