//! A place where a daemon can work: a database, assets, partners and a configuration, all of one
//! test's own.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Mutex};

use nix::sys::signal::Signal;
use platform_adapters::sandbox::{
    HttpPartner, HttpPartnerOptions, Ledger, Misbehaviours, SftpKind, SftpPartner,
    SftpPartnerOptions, Verdict,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use test_support::{TestDatabase, catalogue};
use tokio::{
    process::Command,
    sync::{Semaphore, SemaphorePermit},
};
use toml::{Table, toml};

use super::processes::{Answer, Running, answer, program, until};

/// Sites at a time: each has a daemon with its connections, and the server takes 200.
static TURNS: Semaphore = Semaphore::const_new(4);

/// The token that every HTTP partner here asks for.
const TOKEN: &str = "tok-6f1b0c7e93d24a58";

/// See the module.
pub(crate) struct Site {
    pub(crate) database: TestDatabase,
    home: TempDir,
    config: Mutex<Table>,
    /// What no output may ever hold.
    secrets: Mutex<Vec<String>>,
    _turn: SemaphorePermit<'static>,
}

impl Site {
    /// With a database that was migrated.
    pub(crate) async fn new() -> Self {
        Self::with(TestDatabase::create().await).await
    }

    pub(crate) async fn with(database: TestDatabase) -> Self {
        let turn = TURNS.acquire().await.unwrap();
        let home = tempfile::tempdir().unwrap();
        // sshd runs as somebody else.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(home.path().join("assets")).unwrap();
        fs::write(home.path().join("token"), TOKEN).unwrap();
        let mut config = toml! {
            [queue]
            lease_s = 6
            poll_ms = 200

            [schedules]
            poll_ms = 100

            [retry]
            base_s = 1
            max_s = 2

            [circuit]
            cool_down_s = 1
            max_cool_down_s = 1

            [confirm]
            first_s = 1
            max_s = 2

            [http]
            listen = "127.0.0.1:0"
            wrong_key_delay_ms = 0

            [log]
            filter = "debug"
        };
        let database_part = toml::toml! { max_connections = 8 };
        config.insert("database".into(), database_part.into());
        let password = database.url().split(['@', ':']).nth(2).unwrap().to_owned();
        let site = Self {
            config: Mutex::new(config),
            secrets: Mutex::new(vec![TOKEN.into(), password]),
            home,
            _turn: turn,
            database,
        };
        site.configure("database", "url", site.database.url());
        let assets = site.assets();
        site.configure("assets", "root", assets.to_str().unwrap());
        site
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub(crate) fn assets(&self) -> PathBuf {
        self.home.path().join("assets")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn configure(&self, section: &str, key: &str, value: impl Into<toml::Value>) {
        let mut config = self.config.lock().unwrap();
        let section = config.entry(section).or_insert_with(|| Table::new().into());
        section
            .as_table_mut()
            .unwrap()
            .insert(key.into(), value.into());
        fs::write(self.config_file(), toml::to_string(&*config).unwrap()).unwrap();
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.path("worker.toml")
    }

    /// The command that runs a daemon here.
    pub(crate) fn run(&self) -> Command {
        let mut command = program();
        command.arg("run").arg("--config").arg(self.config_file());
        command
    }

    /// Starts a daemon; its log is the file of this name.
    pub(crate) fn daemon(&self, name: &str) -> Running {
        Running::start(&mut self.run(), self.path(name))
    }

    /// Stops a daemon in order, and looks at its log for what must not be there.
    pub(crate) async fn stop(&self, mut daemon: Running) {
        daemon.signal(Signal::SIGTERM);
        let ended = daemon.end().await;
        assert_eq!(ended.code(), Some(0), "{}", daemon.log());
        self.assert_no_secret(&daemon.log());
    }

    /// Runs a command that speaks with this database.
    pub(crate) async fn cli(&self, arguments: &[&str]) -> Answer {
        let mut command = program();
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config_file());
        let answer = answer(&mut command).await;
        self.assert_no_secret(&answer.stdout);
        self.assert_no_secret(&answer.stderr);
        answer
    }

    pub(crate) fn keep_secret(&self, secret: impl Into<String>) {
        self.secrets.lock().unwrap().push(secret.into());
    }

    pub(crate) fn assert_no_secret(&self, text: &str) {
        for secret in self.secrets.lock().unwrap().iter() {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "holds a secret");
        }
    }
}

/// Partners, and the platforms that lead to them.
impl Site {
    pub(crate) async fn http(&self, name: &str, misbehaviours: Misbehaviours) -> HttpPartner {
        self.http_at(name, misbehaviours, None).await
    }

    /// As before, on this port.
    pub(crate) async fn http_at(
        &self,
        name: &str,
        misbehaviours: Misbehaviours,
        port: Option<u16>,
    ) -> HttpPartner {
        HttpPartner::start(HttpPartnerOptions {
            name: name.into(),
            root: self.path(name),
            port,
            token: TOKEN.to_owned().into(),
            undecided_asks: 0,
            misbehaviours,
        })
        .await
        .unwrap()
    }

    pub(crate) async fn sftp(&self, name: &str, kind: SftpKind) -> SftpPartner {
        self.sftp_that(name, kind, Misbehaviours::none()).await
    }

    /// As before, one that does wrong.
    pub(crate) async fn sftp_that(
        &self,
        name: &str,
        kind: SftpKind,
        misbehaviours: Misbehaviours,
    ) -> SftpPartner {
        let partner = SftpPartner::start(SftpPartnerOptions {
            name: name.into(),
            root: self.path(name),
            port: None,
            kind,
            ddex_dir: None,
            misbehaviours,
        })
        .await
        .unwrap();
        let key = fs::read_to_string(partner.private_key_path()).unwrap();
        self.keep_secret(key.lines().nth(2).unwrap());
        partner
    }

    pub(crate) fn token_file(&self) -> Value {
        json!({"bearer_token": {"file": self.path("token")}})
    }

    /// A platform of method `api` with the right token.
    pub(crate) async fn api_platform(&self, name: &str, url: &str) -> i32 {
        let specs = json!({"confirmation": "status"});
        self.platform(name, "api", url, self.token_file(), specs)
            .await
    }

    /// A platform of method `sftp` or `ddex` with the right key and host key.
    pub(crate) async fn sftp_platform(&self, name: &str, method: &str, at: &SftpPartner) -> i32 {
        self.sftp_platform_by(name, method, at, at.port()).await
    }

    /// As before, one that is reached by this port.
    pub(crate) async fn sftp_platform_by(
        &self,
        name: &str,
        method: &str,
        at: &SftpPartner,
        port: u16,
    ) -> i32 {
        let mut specs = json!({"confirmation": "folder"});
        if method == "ddex" {
            specs["ddex"] = json!({"sender_dpid": "PADPIDA2026112301T",
                                   "recipient_dpid": "PADPIDA2026112302L"});
        }
        let credentials = sftp_credentials(at, at.host_key());
        let (own, by) = (format!(":{}/", at.port()), format!(":{port}/"));
        let endpoint = at.endpoint().replacen(&own, &by, 1);
        self.platform(name, method, &endpoint, credentials, specs)
            .await
    }

    /// Deliveries at once to each platform.
    pub(crate) async fn limit_platforms(&self, concurrency: u32) {
        sqlx::query(
            "update distribution_platforms
             set format_specs = jsonb_set(format_specs::jsonb, '{limits}', $1)",
        )
        .bind(json!({"concurrency": concurrency}))
        .execute(self.pool())
        .await
        .unwrap();
    }

    pub(crate) async fn platform(
        &self,
        name: &str,
        method: &str,
        endpoint: &str,
        credentials: Value,
        mut specs: Value,
    ) -> i32 {
        if let Some(members) = specs.as_object_mut() {
            members.insert("allow_private_addresses".into(), true.into());
        }
        sqlx::query_scalar(
            r#"insert into distribution_platforms
                   (name, delivery_method, api_endpoint, api_credentials, format_specs, requirements)
               values ($1, $2, $3, $4, $5, '{"artwork": {"min_px": 16}}') returning id"#,
        )
        .bind(name)
        .bind(method)
        .bind(endpoint)
        .bind(credentials)
        .bind(specs)
        .fetch_one(self.pool())
        .await
        .unwrap()
    }
}

/// What [`SftpPartner`] lets in, if the server's key is this.
pub(crate) fn sftp_credentials(partner: &SftpPartner, host_key: &str) -> Value {
    json!({
        "username": partner.username(),
        "private_key": {"file": partner.private_key_path()},
        "host_key": host_key,
    })
}

/// Releases and what became of them.
impl Site {
    pub(crate) async fn release(&self, number: u32) -> i32 {
        catalogue::release(self.pool(), &self.assets(), number).await
    }

    /// Makes releases from `numbers` and schedules each to the platforms.
    pub(crate) async fn scheduled(
        &self,
        numbers: std::ops::Range<u32>,
        platforms: &[i32],
    ) -> Vec<i32> {
        let mut releases = Vec::new();
        for number in numbers {
            let release = self.release(number).await;
            self.schedule(release, platforms).await;
            releases.push(release);
        }
        releases
    }

    pub(crate) async fn schedule(&self, release: i32, platforms: &[i32]) -> i32 {
        catalogue::schedule(self.pool(), release, platforms).await
    }

    pub(crate) async fn state(&self, release: i32, platform: i32) -> Option<String> {
        sqlx::query_scalar(
            "select state from worker.deliveries where release_id = $1 and platform_id = $2",
        )
        .bind(release)
        .bind(platform)
        .fetch_optional(self.pool())
        .await
        .unwrap()
    }

    pub(crate) async fn until_state(&self, release: i32, platform: i32, state: &str) {
        let what = format!("release {release} on platform {platform} is {state}");
        until(&what, || async {
            (self.state(release, platform).await.as_deref() == Some(state)).then_some(())
        })
        .await;
    }

    /// `distribution_records.error_details` of a release on a platform. They are empty while a further
    /// attempt is under way.
    pub(crate) async fn error_details(&self, release: i32, platform: i32) -> String {
        until("a fault is told", || async {
            sqlx::query_scalar::<_, Option<String>>(
                "select error_details from distribution_records
                 where release_id = $1 and platform_id = $2",
            )
            .bind(release)
            .bind(platform)
            .fetch_one(self.pool())
            .await
            .unwrap()
        })
        .await
    }

    /// How many deliveries are accepted. 0 while the database does not answer.
    pub(crate) async fn accepted(&self) -> i64 {
        sqlx::query_scalar("select count(*) from worker.deliveries where state = 'accepted'")
            .fetch_one(self.pool())
            .await
            .unwrap_or_default()
    }

    pub(crate) async fn until_accepted(&self, count: i64) {
        until(&format!("{count} are accepted"), || async {
            (self.accepted().await >= count).then_some(())
        })
        .await;
    }

    /// Gives the platform other credentials.
    pub(crate) async fn mend_credentials(&self, platform: i32, credentials: Value) {
        sqlx::query("update distribution_platforms set api_credentials = $2 where id = $1")
            .bind(platform)
            .bind(credentials)
            .execute(self.pool())
            .await
            .unwrap();
    }
}

/// Fails unless the partner has so many releases, each once, and nothing to complain of.
pub(crate) fn assert_received_once(ledger: &Ledger, count: usize) {
    let handovers = ledger.handovers().unwrap();
    let mut upcs: Vec<&str> = handovers.iter().map(|one| one.upc.as_str()).collect();
    upcs.sort_unstable();
    upcs.dedup();
    assert_eq!(
        (handovers.len(), upcs.len()),
        (count, count),
        "{handovers:#?}"
    );
    for one in &handovers {
        assert_eq!(one.verdict, Verdict::Accepted, "{one:#?}");
        assert!(one.violations.is_empty(), "{one:#?}");
        // One marker in one folder: a repetition over HTTP is known by its key and has none.
        assert!(one.markers.len() <= 1, "{one:#?}");
        if !one.markers.is_empty() {
            assert_eq!(one.completed, 1, "{one:#?}");
        }
    }
}
