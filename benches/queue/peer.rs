//! Another program that works the same jobs: a process that inserts them, says "ready", starts at a
//! line on its standard input, and says "done" when all are acknowledged in the database.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use test_support::TestDatabase;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{Found, Task, Watch};

/// Nothing here takes nearly so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// A peer, and how it is started.
pub(crate) struct Peer {
    /// Name and version, for the report.
    pub(crate) name: String,
    program: PathBuf,
    script: Option<PathBuf>,
}

impl Peer {
    /// The peers that `scripts/bench` has installed where `BENCH_PEERS` says; graphile-worker first.
    pub(crate) fn all() -> Vec<Self> {
        let Some(home) = std::env::var_os("BENCH_PEERS").map(PathBuf::from) else {
            eprintln!("queue: BENCH_PEERS is not set, so ours is measured alone");
            return Vec::new();
        };
        vec![
            Self::node(&home, "graphile-worker"),
            Self::node(&home, "pg-boss"),
            Self::apalis(&home),
            Self::procrastinate(&home),
        ]
    }

    /// One that runs on Node.
    fn node(home: &Path, package: &str) -> Self {
        let manifest = home.join("node_modules").join(package).join("package.json");
        let manifest = std::fs::read_to_string(manifest).expect("the peer is installed");
        let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("a manifest");
        let version = manifest["version"].as_str().expect("a version");
        Self {
            name: format!("{package} {version}"),
            program: home.join("node"),
            script: Some(home.join(format!("{package}.mjs"))),
        }
    }

    /// The one in Rust.
    fn apalis(home: &Path) -> Self {
        let lock = std::fs::read_to_string(home.join("apalis/Cargo.lock")).expect("a lock file");
        let version = lock
            .split("name = \"apalis-postgres\"\nversion = \"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .expect("the lock file has the version");
        Self {
            name: format!("apalis-postgres {version}"),
            program: home.join("apalis/peer-apalis-postgres"),
            script: None,
        }
    }

    /// The one in Python, in an environment of its own.
    fn procrastinate(home: &Path) -> Self {
        let pinned = std::fs::read_to_string(home.join("requirements.txt")).expect("its versions");
        let version = pinned
            .lines()
            .find_map(|line| line.strip_prefix("procrastinate=="))
            .expect("the version is pinned");
        Self {
            name: format!("procrastinate {version}"),
            program: home.join("python/bin/python"),
            script: Some(home.join("procrastinate-peer.py")),
        }
    }

    /// On a database of its own.
    pub(crate) async fn measure(&self, task: &Task) -> Found {
        let database = TestDatabase::empty().await;
        let mut command = Command::new(&self.program);
        command
            .args(&self.script)
            .args([task.jobs.to_string(), task.sleep.as_millis().to_string()])
            .arg(task.slots.to_string())
            .env("DATABASE_URL", database.url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the peer starts");
        let mut said = BufReader::new(child.stdout.take().expect("its output")).lines();
        self.expect(&mut said, "ready").await;
        checkpoint(&database).await;
        let pid = child.id().expect("it runs");
        let watch = Watch::start(&database, pid).await;
        tell(&mut child).await;
        self.expect(&mut said, "done").await;
        let found = watch.stop(task);
        drop(child.stdin.take());
        let ended = child.wait().await.expect("the peer ends");
        assert!(ended.success(), "{}: {ended}", self.name);
        found
    }

    async fn expect(&self, said: &mut Lines<BufReader<ChildStdout>>, word: &str) {
        let line = tokio::time::timeout(PATIENCE, said.next_line()).await;
        let line = line.expect("the peer says something in time");
        assert_eq!(
            line.expect("its output can be read").as_deref(),
            Some(word),
            "{}",
            self.name
        );
    }
}

async fn tell(child: &mut Child) {
    let stdin = child.stdin.as_mut().expect("its input");
    stdin.write_all(b"go\n").await.expect("it listens");
    stdin.flush().await.expect("it listens");
}

/// What filled the database is on the disk: nobody pays for it later.
pub(crate) async fn checkpoint(database: &TestDatabase) {
    sqlx::raw_sql("checkpoint")
        .execute(database.pool())
        .await
        .expect("a checkpoint");
}
