//! A database in trouble: restarted, crashed, silent, read-only, with no connection or no disk left. The
//! daemon stays, says what is the matter, is not ready meanwhile, and goes on afterwards.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration};

use nix::unistd::chown;
use platform_adapters::sandbox::{HttpPartner, Misbehaviours, SftpKind, SftpPartner};
use sqlx::{AssertSqlSafe, Connection, Executor};
use test_support::{
    TestDatabase,
    wire::{Conduct, Wire},
};

use super::{
    postgres::Postgres,
    processes::{Running, until},
    site::{Site, assert_received_once},
};

/// Longer than a lease of these daemons.
const LONG: Duration = Duration::from_secs(8);
const SHORT: Duration = Duration::from_secs(2);
/// Releases that are due while each trouble lasts.
const RELEASES: u32 = 4;

/// A daemon that delivers to two partners, and its database.
struct Place {
    /// Before the site, where its log is.
    daemon: Running,
    site: Site,
    http: HttpPartner,
    sftp: SftpPartner,
    platforms: [i32; 2],
    /// Numbers of releases so far.
    numbers: u32,
    /// After the site, whose database is in it.
    postgres: Postgres,
}

impl Place {
    async fn new(scratch: &Path) -> Self {
        let postgres = Postgres::start(scratch).await;
        let site = Site::with(TestDatabase::create_on(postgres.url()).await).await;
        Self::of(postgres, site).await
    }

    async fn of(postgres: Postgres, site: Site) -> Self {
        let http = site.http("Fjordwave", Misbehaviours::none()).await;
        let sftp = site.sftp("Tidepool", SftpKind::Sftp).await;
        let platforms = [
            site.api_platform("Fjordwave", http.url()).await,
            site.sftp_platform("Tidepool", "sftp", &sftp).await,
        ];
        let daemon = site.daemon("daemon.log");
        daemon.says("queue started").await;
        Self {
            site,
            http,
            sftp,
            platforms,
            daemon,
            numbers: 0,
            postgres,
        }
    }

    /// Releases that will be due in a second, when the trouble has begun.
    async fn due_soon(&mut self) {
        self.due_in("1 s").await;
    }

    async fn due_in(&mut self, time: &str) {
        for _ in 0..RELEASES {
            self.numbers += 1;
            let release = self.site.release(self.numbers).await;
            let schedule = self.site.schedule(release, &self.platforms).await;
            sqlx::query(
                "update scheduled_distributions set scheduled_date = now() + $2::text::interval where id = $1",
            )
            .bind(schedule)
            .bind(time)
            .execute(self.site.pool())
            .await
            .unwrap();
        }
    }

    /// Everything that was due so far is delivered, by the same daemon.
    async fn all_delivered(&mut self) {
        let all = i64::from(self.numbers) * 2;
        self.site.until_accepted(all).await;
        assert_eq!(self.daemon.ended(), None, "the daemon stays");
        until("it is ready", || async {
            (self.readiness().await == Some(200)).then_some(())
        })
        .await;
    }

    async fn readiness(&self) -> Option<u16> {
        let url = format!("{}/health/ready", self.site.base(&self.daemon).await);
        let answer = reqwest::get(url).await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Waits until the daemon's log has this word once more than before.
    async fn says_anew(&self, word: &str, before: usize) {
        until(word, || async { (self.said(word) > before).then_some(()) }).await;
    }

    fn said(&self, word: &str) -> usize {
        self.daemon.log().matches(word).count()
    }

    async fn end(self) {
        let Self {
            site,
            http,
            sftp,
            daemon,
            numbers,
            postgres,
            ..
        } = self;
        site.stop(daemon).await;
        for ledger in [http.ledger(), sftp.ledger()] {
            assert_received_once(ledger, numbers as usize);
        }
        drop(site);
        drop(postgres);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_restarted_or_crashes_only_delays() {
    let scratch = tempfile::tempdir().unwrap();
    let mut place = Place::new(scratch.path()).await;
    for (is_crash, lasts) in [(false, SHORT), (true, SHORT), (false, LONG)] {
        place.due_soon().await;
        match is_crash {
            true => place.postgres.crash().await,
            false => place.postgres.stop().await,
        }
        tokio::time::sleep(lasts).await;
        assert_eq!(place.readiness().await, Some(503));
        place.postgres.start_again().await;
        place.all_delivered().await;
    }
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_nothing_in_is_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    let mut place = Place::new(scratch.path()).await;

    let refusal = "read-only transaction";
    let before = place.said(refusal);
    place.due_soon().await;
    place.postgres.set("default_transaction_read_only = on");
    place.says_anew(refusal, before).await;
    tokio::time::sleep(LONG).await;
    place.postgres.set("default_transaction_read_only = off");
    place.all_delivered().await;

    place.due_soon().await;
    let taken = place.postgres.take_all().await;
    tokio::time::sleep(LONG).await;
    assert_eq!(place.readiness().await, Some(503));
    for connection in taken {
        connection.close().await.unwrap();
    }
    place.all_delivered().await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_noticed() {
    let scratch = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(scratch.path()).await;
    let site = Site::with(TestDatabase::create_on(postgres.url()).await).await;
    let wire = Wire::start(postgres.port(), Duration::ZERO);
    let (own, by) = (postgres.port(), wire.port());
    let url = site.database.url();
    let url = url.replacen(&format!(":{own}/"), &format!(":{by}/"), 1);
    site.configure("database", "url", url.as_str());
    site.configure("database", "silence_s", 2);
    let mut place = Place::of(postgres, site).await;

    // All connections are dead, and nobody was told; new ones could be had.
    let silent = "the database has not answered for 2 s";
    for _ in 0..2 {
        let before = place.said(silent);
        place.due_soon().await;
        wire.forget_all();
        place.says_anew(silent, before).await;
        place.all_delivered().await;
    }
    // Nor are there new ones for a while.
    let before = place.said(silent);
    place.due_soon().await;
    wire.conduct(Conduct::Silent);
    wire.forget_all();
    place.says_anew(silent, before).await;
    assert_eq!(place.readiness().await, Some(503));
    tokio::time::sleep(LONG).await;
    wire.conduct(Conduct::Sound);
    place.all_delivered().await;

    // Who starts then is told.
    wire.conduct(Conduct::Silent);
    let refused = place.site.cli(&["run"]).await;
    refused.expect(
        69,
        &["the database cannot be connected to", "no answer within"],
    );
    wire.conduct(Conduct::Sound);
    place.end().await;
}

/// A file system of a few megabytes, on which the server may write. Gone when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None`: whoever runs the tests may not mount anything.
    fn mount(scratch: &Path, postgres: &Postgres) -> Option<Self> {
        let at = scratch.join("small-disk");
        fs::create_dir(&at).unwrap();
        // The server runs as somebody else.
        fs::set_permissions(scratch, fs::Permissions::from_mode(0o755)).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tunemantra-test"])
            .arg(&at)
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let disk = Self(at);
        let (user, group) = postgres.owner();
        chown(&disk.0, Some(user.into()), Some(group.into())).unwrap();
        Some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_disk_is_full_is_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(scratch.path()).await;
    let Some(disk) = SmallDisk::mount(scratch.path(), &postgres) else {
        eprintln!("NOT TESTED: a full disk under the database; mounting a file system takes root");
        return;
    };
    let site = Site::with(TestDatabase::create_on(postgres.url()).await).await;
    let name = site.database.url().rsplit_once('/').unwrap().1.to_owned();
    let mut admin = postgres.connect("postgres").await;
    for statement in [
        format!("create tablespace small location '{}'", disk.0.display()),
        // The test's own connections, which come back when they are needed.
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
        format!("alter database {name} set tablespace small"),
    ] {
        admin.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    admin.close().await.unwrap();
    let mut place = Place::of(postgres, site).await;

    place.due_in("1 h").await;
    let mut filler = place.postgres.connect(&name).await;
    filler
        .execute("create table public.filler (text text)")
        .await
        .unwrap();
    let fill = "insert into public.filler
                select string_agg(md5(random()::text), '') from generate_series(1, 2000) n, generate_series(1, 60) m
                group by n";
    while filler.execute(fill).await.is_ok() {}
    // And the room that smaller rows find.
    while filler
        .execute(
            "insert into public.filler select md5(random()::text) from generate_series(1, 1000)",
        )
        .await
        .is_ok()
    {}
    // The rows that say when have room where they lie; the deliveries to come have none.
    sqlx::query("update scheduled_distributions set scheduled_date = now()")
        .execute(place.site.pool())
        .await
        .unwrap();
    place.says_anew("No space left on device", 0).await;
    tokio::time::sleep(LONG).await;
    filler.execute("drop table public.filler").await.unwrap();
    filler.close().await.unwrap();
    place.all_delivered().await;
    place.end().await;
    drop(disk);
}
