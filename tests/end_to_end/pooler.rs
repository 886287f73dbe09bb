//! A connection pooler, PgBouncer, between the daemon and its database.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

use nix::unistd::{Uid, User};
use platform_adapters::sandbox::{Misbehaviours, SftpKind};

use super::{
    processes::until,
    site::{Site, assert_received_once},
};

/// Where Debian keeps it. `PGBOUNCER` names another one, as `scripts/try-pooler` does.
fn pgbouncer() -> OsString {
    std::env::var_os("PGBOUNCER").unwrap_or_else(|| "/usr/sbin/pgbouncer".into())
}

/// From this version on it knows each client's prepared statements.
const KEEPS_STATEMENTS: (u32, u32) = (1, 21);

/// Its version, major and minor.
fn version() -> (u32, u32) {
    let said = Command::new(pgbouncer()).arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let version = said.lines().next().unwrap().rsplit(' ').next().unwrap();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// One that leads to a site's database. Ended when dropped.
struct Bouncer {
    child: Child,
    url: String,
}

impl Bouncer {
    /// The port that is free now may be another's in a moment: then the next one is tried.
    async fn start(site: &Site, mode: &str, parameters: &str) -> Self {
        loop {
            let mut bouncer = Self::try_start(site, mode, parameters).await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            if bouncer.child.try_wait().unwrap().is_none() {
                return bouncer;
            }
        }
    }

    async fn try_start(site: &Site, mode: &str, parameters: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let server = site.database.url();
        let (who, place) = server.split_once("://").unwrap().1.split_once('@').unwrap();
        let (user, password) = who.split_once(':').unwrap();
        let (address, name) = place.split_once('/').unwrap();
        let server_port = address.rsplit(':').next().unwrap();
        let statements = match version() >= KEEPS_STATEMENTS {
            true => "max_prepared_statements = 200",
            false => "",
        };
        let config = site.path(&format!("pgbouncer-{mode}-{port}.ini"));
        let text = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={server_port} user={user} password={password}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = {mode}\ndefault_pool_size = 50\n\
             ignore_startup_parameters = {parameters}\n{statements}\n"
        );
        fs::write(&config, text).unwrap();
        let log = site.path(&format!("pgbouncer-{mode}-{port}.log"));
        let mut command = Command::new(pgbouncer());
        command
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log).unwrap());
        if Uid::effective().is_root() {
            // It refuses to run as root.
            let user = User::from_name("nobody").unwrap().unwrap();
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let mut child = command.spawn().unwrap();
        let url = format!("postgres://{user}:{password}@127.0.0.1:{port}/{name}");
        until("PgBouncer answers or ends", || {
            let has_ended = child.try_wait().unwrap().is_some();
            async move {
                let answers = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
                (has_ended || answers).then_some(())
            }
        })
        .await;
        Self { child, url }
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // Told to stop, newer ones wait for their clients.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// What PgBouncer is told to let pass without heeding it.
const PARAMETERS: &str = "extra_float_digits, options";

/// A daemon delivers, is told of new schedules at once, and stops in order.
async fn works(site: &Site, numbers: std::ops::Range<u32>, platforms: &[i32]) {
    let daemon = site.daemon(&format!("daemon-{}.log", numbers.start));
    daemon.says("queue started").await;
    let before = site.accepted().await;
    let all = i64::from(numbers.end - numbers.start) * 2;
    site.scheduled(numbers, platforms).await;
    site.until_accepted(before + all).await;
    let log = daemon.log();
    site.stop(daemon).await;
    for word in ["not listening", "prepared statement", "heartbeat failed"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_works_behind_a_pooler_or_says_what_it_lacks() {
    let site = Site::new().await;
    let http = site.http("Fjordwave", Misbehaviours::none()).await;
    let sftp = site.sftp("Tidepool", SftpKind::Sftp).await;
    let platforms = [
        site.api_platform("Fjordwave", http.url()).await,
        site.sftp_platform("Tidepool", "sftp", &sftp).await,
    ];
    let direct = site.database.url().to_owned();

    // It keeps sessions: nothing is different.
    let sessions = Bouncer::start(&site, "session", PARAMETERS).await;
    site.configure("database", "url", sessions.url.as_str());
    works(&site, 1..6, &platforms).await;
    drop(sessions);

    let strict = Bouncer::start(&site, "session", "").await;
    site.configure("database", "url", strict.url.as_str());
    let refused = site.cli(&["run"]).await;
    refused.expect(78, &["startup parameter", "docs/pgbouncer.md"]);
    drop(strict);

    let transactions = Bouncer::start(&site, "transaction", PARAMETERS).await;
    site.configure("database", "url", transactions.url.as_str());
    let refused = site.cli(&["run"]).await;
    let lacking = "database.direct_url; see docs/pgbouncer.md";
    refused.expect(78, &["changes sessions between transactions", lacking]);
    site.configure("database", "direct_url", direct.as_str());
    if version() >= KEEPS_STATEMENTS {
        works(&site, 6..16, &platforms).await;
        site.cli(&["check"]).await.expect(0, &["schema worker"]);
    } else {
        eprintln!("NOT TESTED: a daemon behind PgBouncer 1.21 or newer; this one is older");
        let refused = site.cli(&["run"]).await;
        refused.expect(
            78,
            &["loses prepared statements", "max_prepared_statements"],
        );
    }
    drop(transactions);
    for ledger in [http.ledger(), sftp.ledger()] {
        let handovers = ledger.handovers().unwrap();
        assert_received_once(ledger, handovers.len());
    }
}
