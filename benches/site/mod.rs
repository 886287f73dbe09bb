//! A place where the built daemon works for a benchmark: a database, partners, platforms, releases.
#![allow(dead_code, reason = "not every benchmark uses all of it")]

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use platform_adapters::sandbox::{HttpPartner, HttpPartnerOptions, Misbehaviours};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use test_support::{TestDatabase, catalogue};

/// Nothing here takes nearly so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(1200);
/// What the partners ask for.
const TOKEN: &str = "bench-token";
/// Where nobody listens.
pub(crate) const DEAD: &str = "http://127.0.0.1:9";

pub(crate) struct Site {
    database: TestDatabase,
    home: TempDir,
    /// What the partners keep: in memory, for theirs is not the time that is measured.
    partners: TempDir,
}

impl Site {
    /// With a configuration of these sections beside database and assets.
    pub(crate) async fn new(config: &str) -> Self {
        let database = TestDatabase::create().await;
        // On a disk, as the database is.
        let home = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let partners = tempfile::tempdir_in("/dev/shm").unwrap();
        let site = Self {
            database,
            home,
            partners,
        };
        fs::create_dir(site.path("assets")).unwrap();
        fs::write(site.path("token"), TOKEN).unwrap();
        let assets = site.path("assets");
        let text = format!(
            "{config}\n[assets]\nroot = {:?}\n",
            assets.to_str().unwrap()
        );
        fs::write(site.path("worker.toml"), text).unwrap();
        site
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// An HTTP partner that answers at once, in this process.
    pub(crate) async fn partner(&self, name: &str) -> HttpPartner {
        self.partner_that(name, Misbehaviours::none()).await
    }

    /// As before, one that does wrong.
    pub(crate) async fn partner_that(
        &self,
        name: &str,
        misbehaviours: Misbehaviours,
    ) -> HttpPartner {
        HttpPartner::start(HttpPartnerOptions {
            name: name.into(),
            root: self.partners.path().join(name),
            port: None,
            token: TOKEN.to_owned().into(),
            undecided_asks: 0,
            misbehaviours,
        })
        .await
        .unwrap()
    }

    /// A platform of method `api` whose answer is its last word.
    pub(crate) async fn platform(&self, name: &str, url: &str, limits: Value) -> i32 {
        sqlx::query_scalar(
            r#"insert into distribution_platforms
                   (name, delivery_method, api_endpoint, api_credentials, format_specs, requirements)
               values ($1, 'api', $2, $3, $4, '{"artwork": {"min_px": 16}}') returning id"#,
        )
        .bind(name)
        .bind(url)
        .bind(json!({"bearer_token": {"file": self.path("token")}}))
        .bind(json!({"confirmation": "none", "allow_private_addresses": true, "limits": limits}))
        .fetch_one(self.pool())
        .await
        .unwrap()
    }

    pub(crate) async fn releases(&self, count: i32) -> Vec<i32> {
        catalogue::singles(self.pool(), &self.path("assets"), count).await
    }

    /// Schedules each of the releases to the platforms at `due`, in one statement.
    pub(crate) async fn schedule(
        &self,
        releases: &[i32],
        platforms: &[i32],
        due: DateTime<Utc>,
    ) -> Vec<i32> {
        sqlx::query_scalar(
            "insert into scheduled_distributions (release_id, user_id, scheduled_date, platform_ids)
             select release, $2, $3, $4 from unnest($1::int[]) as release returning id",
        )
        .bind(releases)
        .bind(catalogue::owner(self.pool()).await)
        .bind(due.naive_utc())
        .bind(platforms)
        .fetch_all(self.pool())
        .await
        .unwrap()
    }

    /// Makes deliveries of all schedules that are due, and lets the database settle.
    pub(crate) async fn fan_out(&self) {
        let now = jobs::clock::system()();
        while jobs::schedule::fan_out_due(self.pool(), 1000, now)
            .await
            .unwrap()
            .schedules
            > 0
        {}
        self.execute("vacuum analyze").await;
        self.execute("checkpoint").await;
    }

    /// Starts the built daemon; its log is the file of this name.
    pub(crate) fn daemon(&self, log: &str) -> Daemon {
        let path = self.path(log);
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tunemantra-worker"))
            .args(["run", "--config"])
            .arg(self.path("worker.toml"))
            .env("DATABASE_URL", self.database.url())
            // Several daemons may run on this machine.
            .env("TUNEMANTRA_HTTP_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Daemon { child, log: path }
    }

    pub(crate) async fn execute(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(self.pool())
            .await
            .unwrap();
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("select count(*) {query}")))
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Waits until so many deliveries are accepted.
    pub(crate) async fn until_accepted(&self, count: i64) {
        let started = Instant::now();
        loop {
            // A look at what is under way costs little; the long table is counted at the end.
            let is_busy = self
                .count("from (select from worker.deliveries where state not in ('accepted', 'rejected', 'failed', 'canceled') limit 1) one")
                .await;
            let accepted = match is_busy {
                0 => {
                    self.count("from worker.deliveries where state = 'accepted'")
                        .await
                }
                _ => 0,
            };
            if accepted >= count {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "not all of {count} are accepted; the logs lie in {}",
                self.home.path().display()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until so many rows are found.
    pub(crate) async fn until(&self, count: i64, query: &str) {
        let started = Instant::now();
        while self.count(query).await < count {
            assert!(started.elapsed() < PATIENCE, "not {count} {query}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn postgres_version(&self) -> String {
        sqlx::query_scalar("select 'PostgreSQL ' || current_setting('server_version')")
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Starts to count statements; needs `with-postgres --statistics`.
    pub(crate) async fn reset_statements(&self) {
        self.execute(
            "create extension if not exists pg_stat_statements; select pg_stat_statements_reset()",
        )
        .await;
    }

    /// Statements on this database since then, transactions' begins and ends included.
    pub(crate) async fn statements(&self) -> i64 {
        sqlx::query_scalar(
            "select coalesce(sum(calls), 0)::bigint from pg_stat_statements
             where dbid = (select oid from pg_database where datname = current_database())
               and query not like '%pg_stat_statements%' and query not like 'select count(*) from%'",
        )
        .fetch_one(self.pool())
        .await
        .unwrap()
    }
}

impl Site {
    /// What cost most, on standard error.
    pub(crate) async fn print_statements(&self) {
        let rows: Vec<(i64, f64, String)> = sqlx::query_as(
            "select calls, mean_exec_time * 1000, left(regexp_replace(query, '\\s+', ' ', 'g'), 110)
             from pg_stat_statements
             where dbid = (select oid from pg_database where datname = current_database())
             order by total_exec_time desc limit 45",
        )
        .fetch_all(self.pool())
        .await
        .unwrap();
        for (calls, mean_us, query) in rows {
            eprintln!("{calls:>8} × {mean_us:>9.1} µs  {query}");
        }
    }
}

/// A running daemon, killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it works.
    pub(crate) async fn is_up(&self) {
        let started = Instant::now();
        while !fs::read_to_string(&self.log).is_ok_and(|log| log.contains("queue started")) {
            assert!(started.elapsed() < PATIENCE, "the daemon does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it answers over HTTP; where.
    pub(crate) async fn address(&self) -> String {
        self.is_up().await;
        let log = fs::read_to_string(&self.log).unwrap();
        let (_, rest) = log.split_once("http listens address=").unwrap();
        format!("http://{}", rest.split_whitespace().next().unwrap())
    }

    /// Kills it without a warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        kill(
            Pid::from_raw(i32::try_from(self.pid()).unwrap()),
            Signal::SIGTERM,
        )
        .unwrap();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "the daemon ended with {ended}");
    }

    /// Resident memory now, in MB.
    pub(crate) fn memory_mb(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line.unwrap().trim_end_matches("kB").trim().parse().unwrap();
        kib * 1024.0 / 1e6
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
