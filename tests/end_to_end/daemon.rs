//! Starting and stopping the daemon, and what it survives.

use std::{collections::HashSet, fs, process::Stdio, time::Duration};

use nix::sys::signal::Signal;
use platform_adapters::sandbox::{HttpPartner, Misbehaviour, Misbehaviours, SftpKind};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};

use super::{
    processes::{Running, answer, family, program, until, until_gone},
    site::{Site, assert_received_once},
};

/// Longer than any test waits.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn slow(by: Duration) -> Misbehaviours {
    Misbehaviours::none().then(1, Misbehaviour::Slow { by })
}

/// A site with one release on the way to a partner that is as slow as this, once.
async fn sending(by: Duration, drain_s: i64) -> (Site, HttpPartner, Running, i32, i32) {
    let site = Site::new().await;
    site.configure("queue", "drain_s", drain_s);
    let partner = site.http("Fjordwave", slow(by)).await;
    let platform = site.api_platform("Fjordwave", partner.url()).await;
    let release = site.scheduled(1..2, &[platform]).await[0];
    let daemon = site.daemon("daemon.log");
    // The misbehaviour is written down when it begins.
    let begun = site.path("Fjordwave").join("misbehaved");
    until("a slow upload", || async {
        fs::read_to_string(&begun)
            .is_ok_and(|text| !text.is_empty())
            .then_some(())
    })
    .await;
    (site, partner, daemon, release, platform)
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_a_running_delivery_finish() {
    let (site, partner, daemon, release, platform) = sending(Duration::from_secs(3), 120).await;
    site.stop(daemon).await;
    let state = site.state(release, platform).await.unwrap();
    assert!(matches!(state.as_str(), "sent" | "accepted"), "{state}");
    assert_received_once(partner.ledger(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_gives_back_what_does_not_finish() {
    let (site, partner, daemon, release, platform) = sending(Duration::from_secs(15), 1).await;
    site.stop(daemon).await;
    let (state, attempts): (String, i32) =
        sqlx::query_as("select state, attempts from worker.deliveries")
            .fetch_one(site.pool())
            .await
            .unwrap();
    assert_ne!(state, "sending");
    assert_eq!(attempts, 0, "a stop is no attempt");
    let leases: i64 =
        sqlx::query_scalar("select count(*) from worker.jobs where lease_token is not null")
            .fetch_one(site.pool())
            .await
            .unwrap();
    assert_eq!(leases, 0);
    let next = site.daemon("next.log");
    site.until_state(release, platform, "accepted").await;
    site.stop(next).await;
    assert_received_once(partner.ledger(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_with_twenty_uploads_finishes_or_gives_back_each() {
    const EACH: u32 = 10;
    let site = Site::new().await;
    site.configure("queue", "slots", i64::from(2 * EACH));
    site.configure("queue", "platform_concurrency", i64::from(EACH));
    site.configure("queue", "drain_s", 25);
    let mut partners = Vec::new();
    let mut platforms = Vec::new();
    for (name, by) in [
        ("Fjordwave", Duration::from_secs(5)),
        ("Sandstorm", Duration::from_secs(50)),
    ] {
        let partner = site.http(name, slow(by).for_each_handover()).await;
        platforms.push(site.api_platform(name, partner.url()).await);
        partners.push(partner);
    }
    site.scheduled(1..EACH + 1, &platforms).await;
    let daemon = site.daemon("daemon.log");
    for name in ["Fjordwave", "Sandstorm"] {
        // A line for each upload that has begun.
        let begun = site.path(name).join("misbehaved");
        until("ten uploads", || async {
            let text = fs::read_to_string(&begun).ok()?;
            (text.lines().count() == EACH as usize).then_some(())
        })
        .await;
    }
    site.stop(daemon).await;
    let states: Vec<(i32, String, i32)> = sqlx::query_as(
        "select platform_id, state, attempts from worker.deliveries order by platform_id",
    )
    .fetch_all(site.pool())
    .await
    .unwrap();
    assert_eq!(states.len(), 2 * EACH as usize);
    let mut given_back = 0;
    for (platform, state, attempts) in states {
        if matches!(state.as_str(), "sent" | "accepted") {
            continue;
        }
        assert_eq!(platform, platforms[1], "there was time to finish: {state}");
        assert_ne!(state, "sending");
        assert_eq!(attempts, 0, "a stop is no attempt");
        given_back += 1;
    }
    assert!(given_back > 0, "all ended within the drain");
    let next = site.daemon("next.log");
    site.until_accepted(i64::from(2 * EACH)).await;
    site.stop(next).await;
    for partner in &partners {
        assert_received_once(partner.ledger(), EACH as usize);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_takes_over_and_cuts_nothing_off() {
    // What runs longer than the drain is not given back by a reload.
    let (site, partner, daemon, release, platform) = sending(Duration::from_secs(5), 1).await;
    site.configure("catalog", "require_verified_rights", true);
    daemon.signal(Signal::SIGHUP);
    daemon.says("the configuration was read again").await;
    let under_new = site.scheduled(2..3, &[platform]).await[0];
    site.until_state(under_new, platform, "failed").await;
    let why = site.error_details(under_new, platform).await;
    assert!(why.contains("rights"), "{why}");
    site.until_state(release, platform, "accepted").await;
    daemon
        .says("what ran under the configuration before is finished")
        .await;
    let attempts: i32 =
        sqlx::query_scalar("select attempts from worker.deliveries where release_id = $1")
            .bind(release)
            .fetch_one(site.pool())
            .await
            .unwrap();
    assert_eq!(attempts, 1);
    assert_received_once(partner.ledger(), 1);

    // One that cannot be changes nothing, and says where it is wrong.
    site.configure("catalog", "require_verified_rights", false);
    site.configure("queue", "lease_s", 0);
    daemon.signal(Signal::SIGHUP);
    daemon.says("the configuration stays as it was").await;
    daemon.says("queue.lease_s").await;
    let under_old = site.scheduled(3..4, &[platform]).await[0];
    site.until_state(under_old, platform, "failed").await;

    site.configure("queue", "lease_s", 30);
    daemon.signal(Signal::SIGHUP);
    until("another reload", || async {
        let log = daemon.log();
        let said = log.matches("the configuration was read again");
        (said.count() == 2).then_some(())
    })
    .await;
    let under_newest = site.scheduled(4..5, &[platform]).await[0];
    site.until_state(under_newest, platform, "accepted").await;
    site.stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_daemon_at_once() {
    let (site, _partner, mut daemon, release, platform) = sending(FOR_EVER, 3600).await;
    daemon.signal(Signal::SIGTERM);
    daemon.says("once more to stop at once").await;
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.end().await.code(), Some(130));
    // Nothing was given back; the lease has to expire.
    assert_eq!(
        site.state(release, platform).await.as_deref(),
        Some("sending")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_share_the_work_and_one_may_be_killed() {
    let site = Site::new().await;
    let http = site.http("Fjordwave", Misbehaviours::none()).await;
    let sftp = site.sftp("Tidepool", SftpKind::Sftp).await;
    let ddex = site.sftp("Lumiere", SftpKind::Ddex).await;
    let platforms = [
        site.api_platform("Fjordwave", http.url()).await,
        site.sftp_platform("Tidepool", "sftp", &sftp).await,
        site.sftp_platform("Lumiere", "ddex", &ddex).await,
    ];
    const RELEASES: u32 = 25;
    let mut doomed = site.daemon("doomed.log");
    let survivor = site.daemon("survivor.log");
    doomed.says("queue started").await;
    survivor.says("queue started").await;
    site.scheduled(1..RELEASES + 1, &platforms).await;
    site.until_accepted(10).await;
    doomed.signal(Signal::SIGKILL);
    doomed.end().await;
    let all = i64::from(RELEASES) * 3;
    assert!(
        site.accepted().await < all,
        "nothing was left to be survived"
    );
    site.until_accepted(all).await;
    site.stop(survivor).await;
    for ledger in [http.ledger(), sftp.ledger(), ddex.ledger()] {
        assert_received_once(ledger, RELEASES as usize);
    }
    let workers: Vec<String> =
        sqlx::query_scalar("select worker from worker.attempts where delivery_id is not null")
            .fetch_all(site.pool())
            .await
            .unwrap();
    let workers: HashSet<String> = workers.into_iter().collect();
    assert_eq!(workers.len(), 2, "both worked: {workers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_suspended_finds_its_work_done_and_leaves_it() {
    let site = Site::new().await;
    let http = site.http("Fjordwave", Misbehaviours::none()).await;
    let sftp = site.sftp("Tidepool", SftpKind::Sftp).await;
    let ddex = site.sftp("Lumiere", SftpKind::Ddex).await;
    let platforms = [
        site.api_platform("Fjordwave", http.url()).await,
        site.sftp_platform("Tidepool", "sftp", &sftp).await,
        site.sftp_platform("Lumiere", "ddex", &ddex).await,
    ];
    const RELEASES: u32 = 25;
    site.scheduled(1..RELEASES + 1, &platforms).await;
    let sleeper = site.daemon("sleeper.log");
    site.until_accepted(10).await;
    sleeper.signal(Signal::SIGSTOP);
    let all = i64::from(RELEASES) * 3;
    assert!(site.accepted().await < all, "nothing was left for another");
    let other = site.daemon("other.log");
    site.until_accepted(all).await;
    sleeper.signal(Signal::SIGCONT);
    // It works as before, alone.
    site.stop(other).await;
    site.scheduled(RELEASES + 1..RELEASES + 4, &platforms).await;
    site.until_accepted(all + 9).await;
    site.stop(sleeper).await;
    for ledger in [http.ledger(), sftp.ledger(), ddex.ledger()] {
        assert_received_once(ledger, RELEASES as usize + 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_whose_logs_find_no_room_goes_on() {
    let site = Site::new().await;
    // Something to complain of, again and again.
    let stumbles = Misbehaviours::none()
        .then(3, Misbehaviour::Garbage)
        .for_each_handover();
    let http = site.http("Fjordwave", stumbles).await;
    let platform = site.api_platform("Fjordwave", http.url()).await;
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let log = site.path("nothing.log");
    fs::write(&log, "").unwrap();
    let mut daemon = Running::start_saying(&mut site.run(), log, full(), full());
    site.scheduled(1..6, &[platform]).await;
    site.until_accepted(5).await;
    outage(&site, Duration::from_secs(2)).await;
    site.scheduled(6..11, &[platform]).await;
    site.until_accepted(10).await;
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.end().await.code(), Some(0));
    assert_received_once(http.ledger(), 10);
}

/// Lets nobody connect to the site's database and ends the daemon's connections, as a restart of
/// the server does; then lets them in again.
async fn outage(site: &Site, lasts: Duration) {
    let (server, name) = site.database.url().rsplit_once('/').unwrap();
    let mut admin = PgConnection::connect(&format!("{server}/postgres"))
        .await
        .unwrap();
    let allow =
        |allowed: bool| AssertSqlSafe(format!("alter database {name} allow_connections {allowed}"));
    raw_sql(allow(false)).execute(&mut admin).await.unwrap();
    let ended: i64 = sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = $1 and application_name = 'tunemantra-worker'",
    )
    .bind(name)
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(ended > 0);
    tokio::time::sleep(lasts).await;
    raw_sql(allow(true)).execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_survives_a_database_that_goes_away() {
    let site = Site::new().await;
    let http = site.http("Fjordwave", Misbehaviours::none()).await;
    let sftp = site.sftp("Tidepool", SftpKind::Sftp).await;
    let platforms = [
        site.api_platform("Fjordwave", http.url()).await,
        site.sftp_platform("Tidepool", "sftp", &sftp).await,
    ];
    const RELEASES: u32 = 30;
    site.scheduled(1..RELEASES + 1, &platforms).await;
    let daemon = site.daemon("daemon.log");
    // The second is longer than a lease.
    for (after, lasts) in [(5, Duration::ZERO), (20, Duration::from_secs(8))] {
        site.until_accepted(after).await;
        outage(&site, lasts).await;
    }
    site.until_accepted(i64::from(RELEASES) * 2).await;
    site.stop(daemon).await;
    assert_received_once(http.ledger(), RELEASES as usize);
    assert_received_once(sftp.ledger(), RELEASES as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_database_starts_and_stops_with_the_daemon() {
    let site = Site::new().await;
    let start = |log: &str| {
        let mut command = program();
        command.env("TUNEMANTRA_HTTP_LISTEN", "127.0.0.1:0");
        command.args(["run", "--embedded", "--state-dir"]);
        command.arg(site.path("state"));
        command.env("TUNEMANTRA_ASSETS_ROOT", site.assets());
        Running::start(&mut command, site.path(log))
    };
    for log in ["first.log", "again.log"] {
        let mut daemon = start(log);
        daemon.says("queue started").await;
        let processes = family(daemon.pid());
        assert!(processes.len() > 2, "PostgreSQL runs: {processes:?}");
        daemon.signal(Signal::SIGINT);
        assert_eq!(daemon.end().await.code(), Some(0), "{}", daemon.log());
        until_gone(&processes).await;
    }
    // Killed, it leaves PostgreSQL behind, and the next one clears that away.
    let mut killed = start("killed.log");
    killed.says("queue started").await;
    let left = family(killed.pid());
    killed.signal(Signal::SIGKILL);
    killed.end().await;
    let mut next = start("next.log");
    next.says("queue started").await;
    until_gone(&left).await;
    next.signal(Signal::SIGTERM);
    assert_eq!(next.end().await.code(), Some(0), "{}", next.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_at_the_start_is_said_with_its_place() {
    let site = Site::new().await;
    let wrong = site.path("wrong.toml");
    fs::write(&wrong, "[queue]\nslots = 4\nslotz = 5\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    let refused = site.cli(&["run", "--config", wrong]).await;
    refused.expect(78, &[wrong, "line 3", "slotz"]);
    let refused = site
        .cli(&["run", "--config", "/nonexistent/worker.toml"])
        .await;
    refused.expect(78, &["/nonexistent/worker.toml"]);

    for arguments in [
        &["fly"][..],
        &["run", "--wings"],
        &["deliveries", "list", "--state", "flown"],
        &[],
    ] {
        assert_eq!(
            answer(program().args(arguments)).await.code,
            Some(64),
            "{arguments:?}"
        );
    }
    let mut run = program();
    run.arg("run").env("TUNEMANTRA_ASSETS_ROOT", site.assets());
    let nowhere = answer(&mut run).await;
    nowhere.expect(78, &["no database is configured", "DATABASE_URL"]);
    let unreachable = "postgres://tm:s3cret-pw@127.0.0.1:1/none";
    let away = answer(run.env("DATABASE_URL", unreachable)).await;
    away.expect(69, &["the database"]);
    site.keep_secret("s3cret-pw");
    site.assert_no_secret(&away.stderr);
    let missing = site.cli(&["platforms", "check", "4711"]).await;
    missing.expect(66, &["there is no platform 4711"]);
    let missing = site
        .cli(&["deliveries", "show", "00000000-0000-7000-8000-000000000000"])
        .await;
    missing.expect(66, &["there is no delivery"]);

    let nowhere = "/nonexistent/directory";
    site.configure("ddex", "schemas", nowhere);
    site.cli(&["run"])
        .await
        .expect(78, &["ddex.schemas", nowhere]);
    site.configure("assets", "root", nowhere);
    site.cli(&["run"])
        .await
        .expect(78, &["assets.root", nowhere]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let site = Site::new().await;
    for arguments in [
        ["platforms", "list"].as_slice(),
        &["deliveries", "list", "--json"],
    ] {
        let mut command = program();
        command
            .args(arguments)
            .arg("--config")
            .arg(site.config_file());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().await.unwrap().code(), Some(0), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_database_url_is_not_repeated() {
    let site = Site::new().await;
    site.keep_secret("s3cret-pw");
    let file = site.path("wrong.toml");
    for (text, line) in [
        (
            "[database]\nurll = \"postgres://tm:s3cret-pw@127.0.0.1/tm\"\n",
            "line 2",
        ),
        (
            "[database]\nurl = \"postgres://tm:s3cret-pw@127.0.0.1/tm\n",
            "line 2",
        ),
        (
            "[database]\nurl = \"postgres://tm:s3cret-pw@127.0.0.1:port/tm\"\n",
            "database.url",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let mut run = program();
        run.args(["run", "--config"]).arg(&file);
        run.env("TUNEMANTRA_ASSETS_ROOT", site.assets());
        let refused = answer(&mut run).await;
        refused.expect(78, &[line]);
        site.assert_no_secret(&refused.stderr);
    }
}

/// What a daemon tells systemd, on a socket of the test's.
struct Manager(tokio::net::UnixDatagram);

impl Manager {
    /// Waits until it is told this.
    async fn is_told(&self, word: &str) -> String {
        let mut told = vec![0; 4096];
        tokio::time::timeout(FOR_EVER / 30, async {
            loop {
                let length = self.0.recv(&mut told).await.unwrap();
                let text = String::from_utf8(told[..length].to_vec()).unwrap();
                if text.lines().any(|line| line.starts_with(word)) {
                    return text;
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{word} was not told"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told_how_the_daemon_does() {
    let site = Site::new().await;
    let socket = site.path("notify");
    let manager = Manager(tokio::net::UnixDatagram::bind(&socket).unwrap());
    let mut command = program();
    command
        .arg("run")
        .arg("--config")
        .arg(site.config_file())
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000");
    let mut daemon = Running::start(&mut command, site.path("daemon.log"));
    let ready = manager.is_told("READY=1").await;
    assert!(ready.contains("STATUS=jobs running: 0"), "{ready}");
    let alive = manager.is_told("WATCHDOG=1").await;
    assert!(alive.contains("STATUS="), "{alive}");
    daemon.signal(Signal::SIGHUP);
    let reloading = manager.is_told("RELOADING=1").await;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    let ready = manager.is_told("READY=1").await;
    assert!(
        ready.contains("STATUS=the configuration was read"),
        "{ready}"
    );
    daemon.signal(Signal::SIGTERM);
    manager.is_told("STOPPING=1").await;
    assert_eq!(daemon.end().await.code(), Some(0), "{}", daemon.log());
}
