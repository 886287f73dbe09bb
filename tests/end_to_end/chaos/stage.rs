//! Where a storm takes place: a PostgreSQL of its own behind a wire, partners behind wires, platforms
//! that lead to them, and releases that are due all the time, some of them made to do harm.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use platform_adapters::sandbox::{
    HttpPartner, Ledger, Misbehaviour, Misbehaviours, SftpKind, SftpPartner,
};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;
use tempfile::TempDir;
use test_support::{TestDatabase, catalogue, wire::Wire};

use crate::{postgres::Postgres, site::Site};

/// How long one hand-over to an HTTP partner takes, so that faults hit some of them.
const SLOW: Duration = Duration::from_millis(150);
/// How long the partner of poisoned releases takes: whoever is at one is seen at it, however slow the
/// machine is.
const VERY_SLOW: Duration = Duration::from_secs(3600);
/// Deliveries at once to one platform, over all daemons.
const CONCURRENCY: u32 = 8;
/// A storm does not wait longer for the database, which may be away.
const PATIENCE: Duration = Duration::from_millis(300);
/// Longer than a partner is silent at a time.
const PARTNER_PATIENCE_S: u32 = 15;
/// Of the releases so many have files of their own, of a size that takes a while to send.
const LARGE_IN: i32 = 8;
const LARGE_MAX: i32 = 40;
/// Numbers of releases that are not among the small ones.
const LARGE_FROM: u32 = 50_000;
const HOSTILE_FROM: u32 = 60_000;
const POISON_FROM: u32 = 70_000;

/// A partner.
pub(super) enum Host {
    Http(HttpPartner),
    Sftp(Box<SftpPartner>),
}

impl Host {
    pub(super) fn ledger(&self) -> &Ledger {
        match self {
            Self::Http(partner) => partner.ledger(),
            Self::Sftp(partner) => partner.ledger(),
        }
    }

    pub(super) fn misbehave(&self, what: Option<Misbehaviour>) {
        match self {
            Self::Http(partner) => partner.misbehave(what),
            Self::Sftp(partner) => partner.misbehave(what),
        }
    }
}

/// A partner, the way to it, and the platform that leads there.
pub(super) struct Partner {
    pub(super) host: Host,
    pub(super) wire: Wire,
    pub(super) platform: i32,
}

/// See the module.
pub(super) struct Stage {
    pub(super) site: Site,
    pub(super) partners: Vec<Partner>,
    /// The slow one, to whom alone poisoned releases go.
    quagmire: Partner,
    pub(super) database_wire: Wire,
    /// Those that can be delivered, to every partner.
    pub(super) releases: Vec<i32>,
    /// Those that must fail, at every partner.
    pub(super) hostile: BTreeSet<i32>,
    /// Releases for the slow partner, and how many of them were scheduled.
    poisonous: Vec<i32>,
    poisons: AtomicU32,
    /// After the site, whose database is in it.
    pub(super) postgres: Postgres,
    _scratch: TempDir,
}

impl Stage {
    /// Makes it all, with so many deliveries that become due one after the other in `spread`, and so
    /// many releases to be poisoned.
    pub(super) async fn set(deliveries: u64, poisons: u32, spread: Duration, seed: u64) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let postgres = Postgres::start(scratch.path()).await;
        let site = Site::with(TestDatabase::create_on(postgres.url()).await).await;
        let database_wire = Wire::start(postgres.port(), Duration::ZERO);
        configure(&site, &postgres, &database_wire);
        let partners = vec![
            http(&site, "Fjordwave", SLOW).await,
            http(&site, "Sandstorm", SLOW).await,
            sftp(&site, "Tidepool", SftpKind::Sftp, "sftp").await,
            sftp(&site, "Lumiere", SftpKind::Ddex, "ddex").await,
        ];
        let quagmire = http(&site, "Quagmire", VERY_SLOW).await;
        // The first time and every time.
        let slow = Misbehaviour::Slow { by: VERY_SLOW };
        quagmire.host.misbehave(Some(slow));
        site.limit_platforms(CONCURRENCY).await;
        let platforms: Vec<i32> = partners.iter().map(|one| one.platform).collect();
        impatient(&site, &platforms).await;
        let mut stage = Self {
            site,
            partners,
            quagmire,
            database_wire,
            releases: Vec::new(),
            hostile: BTreeSet::new(),
            poisonous: Vec::new(),
            poisons: AtomicU32::new(0),
            postgres,
            _scratch: scratch,
        };
        stage.fill(deliveries, spread, seed).await;
        for number in 0..poisons {
            let release = stage.site.release(POISON_FROM + number).await;
            stage.poisonous.push(release);
        }
        stage
    }

    /// All partners, the slow one included.
    pub(super) fn all_partners(&self) -> impl Iterator<Item = &Partner> {
        self.partners.iter().chain([&self.quagmire])
    }

    async fn fill(&mut self, deliveries: u64, spread: Duration, seed: u64) {
        let (pool, assets) = (self.site.pool(), self.site.assets());
        let count = i32::try_from(deliveries.div_ceil(4)).unwrap();
        let large = (count / LARGE_IN).min(LARGE_MAX);
        let mut releases = catalogue::singles(pool, &assets, count - large).await;
        for number in 0..large.unsigned_abs() {
            releases.push(catalogue::release(pool, &assets, LARGE_FROM + number).await);
        }
        self.hostile = self.hostile_releases().await;
        let mut random = StdRng::seed_from_u64(seed);
        let mut due = releases.clone();
        due.extend(&self.hostile);
        due.shuffle(&mut random);
        let platforms: Vec<i32> = self.partners.iter().map(|one| one.platform).collect();
        catalogue::schedule_spread(pool, &due, &platforms, spread).await;
        self.releases = releases;
    }

    /// Releases that would have the worker read what is none of its business, or more than it can.
    async fn hostile_releases(&self) -> BTreeSet<i32> {
        let assets = self.site.assets();
        let outside = self.site.path("outside.wav");
        fs::write(&outside, catalogue::wav(1)).unwrap();
        symlink(&outside, assets.join("link.wav")).unwrap();
        fs::write(assets.join("bomb.jpg"), bomb()).unwrap();
        let mut made = BTreeSet::new();
        for (number, (table, column, value)) in (HOSTILE_FROM..).zip([
            ("tracks", "audio_file", "../outside.wav"),
            ("tracks", "audio_file", "/etc/passwd"),
            ("tracks", "audio_file", "link.wav"),
            ("releases", "artwork", "bomb.jpg"),
        ]) {
            let release = catalogue::release(self.site.pool(), &assets, number).await;
            let id = if table == "tracks" {
                "release_id"
            } else {
                "id"
            };
            let sql = format!("update {table} set {column} = $2 where {id} = $1");
            sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(release)
                .bind(value)
                .execute(self.site.pool())
                .await
                .unwrap();
            made.insert(release);
        }
        made
    }

    /// Schedules the next poisoned release. `None`: the database is away.
    pub(super) async fn poison(&self) -> Option<()> {
        let number = self.poisons.load(Ordering::Relaxed);
        let asked = sqlx::query(
            "insert into scheduled_distributions (release_id, user_id, scheduled_date, platform_ids)
             select id, user_id, now(), array[$2] from releases where id = $1",
        )
        .bind(self.poisonous[usize::try_from(number).unwrap()])
        .bind(self.quagmire.platform)
        .execute(self.site.pool());
        tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?;
        self.poisons.store(number + 1, Ordering::Relaxed);
        Some(())
    }

    /// How many releases are poisoned.
    pub(super) fn poisons(&self) -> usize {
        usize::try_from(self.poisons.load(Ordering::Relaxed)).unwrap()
    }

    /// The processes that are at a poisoned delivery now.
    pub(super) async fn poisoned_processes(&self) -> Vec<i32> {
        let asked = sqlx::query_scalar(
            "select worker from worker.jobs
             where state = 'running' and attempt_id is not null and queue = 'deliver/' || $1",
        )
        .bind(self.quagmire.platform)
        .fetch_all(self.site.pool());
        let at_work: Vec<String> = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(workers)) => workers,
            _ => Vec::new(),
        };
        let number = |worker: String| worker.split('-').next()?.parse().ok();
        at_work.into_iter().filter_map(number).collect()
    }

    /// The platform to which poisoned releases go.
    pub(super) fn poisoned_platform(&self) -> i32 {
        self.quagmire.platform
    }
}

/// Deliveries do not wait longer for these partners, which may have been forgotten.
async fn impatient(site: &Site, platforms: &[i32]) {
    let specs = json!({
        "api": {"timeouts": {"answer_s": PARTNER_PATIENCE_S, "stall_s": PARTNER_PATIENCE_S}},
        "sftp": {"answer_timeout_s": PARTNER_PATIENCE_S},
    });
    sqlx::query(
        "update distribution_platforms set format_specs = format_specs::jsonb || $2 where id = any($1)",
    )
    .bind(platforms)
    .bind(specs)
    .execute(site.pool())
    .await
    .unwrap();
}

fn configure(site: &Site, postgres: &Postgres, wire: &Wire) {
    let url = site.database.url();
    let (own, by) = (postgres.port(), wire.port());
    let url = url.replacen(&format!(":{own}/"), &format!(":{by}/"), 1);
    site.configure("database", "url", url);
    site.configure("database", "max_connections", 4);
    site.configure("database", "silence_s", 4);
    site.configure("queue", "lease_s", 3);
    site.configure("queue", "drain_s", 3);
    site.configure("retry", "max_retry_after_s", 3);
    site.configure("inbox", "scan_s", 2);
    site.configure("log", "filter", "info");
}

async fn http(site: &Site, name: &str, slow: Duration) -> Partner {
    let slow = Misbehaviours::none()
        .then(1, Misbehaviour::Slow { by: slow })
        .for_each_handover();
    let partner = site.http(name, slow).await;
    let port = partner.url().rsplit(':').next().unwrap().parse().unwrap();
    let wire = Wire::start(port, Duration::ZERO);
    let url = format!("http://127.0.0.1:{}", wire.port());
    Partner {
        platform: site.api_platform(name, &url).await,
        host: Host::Http(partner),
        wire,
    }
}

async fn sftp(site: &Site, name: &str, kind: SftpKind, method: &str) -> Partner {
    // No times of their own, but ready to be done.
    let ready = [
        Misbehaviour::RefuseCredentials,
        Misbehaviour::Full,
        Misbehaviour::ReadOnly,
        Misbehaviour::OtherHostKey,
    ];
    let ready = ready
        .into_iter()
        .fold(Misbehaviours::none(), |all, one| all.then(0, one));
    let partner = site.sftp_that(name, kind, ready).await;
    let wire = Wire::start(partner.port(), Duration::ZERO);
    Partner {
        platform: site
            .sftp_platform_by(name, method, &partner, wire.port())
            .await,
        host: Host::Sftp(Box::new(partner)),
        wire,
    }
}

/// A JPEG that says it is of 4,000 million pixels.
fn bomb() -> Vec<u8> {
    let mut bytes = catalogue::COVER.to_vec();
    let frame = bytes
        .windows(2)
        .position(|marker| marker[0] == 0xff && (0xc0..=0xc2).contains(&marker[1]))
        .expect("a frame header");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xfa, 0x00, 0xfa, 0x00]);
    bytes
}
