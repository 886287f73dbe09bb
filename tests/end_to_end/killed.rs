//! Many daemons on one database, killed at random while they deliver: everything arrives, nothing
//! twice. `scripts/stress` runs the same with more daemons, for longer.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use platform_adapters::sandbox::{Misbehaviour, Misbehaviours, SftpKind};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use test_support::catalogue;

use super::{
    processes::Running,
    site::{Site, assert_received_once},
};

/// How long one hand-over to the HTTP partners takes, so that kills hit some of them.
const SLOW: Duration = Duration::from_millis(200);
/// Deliveries at once to one platform, over all daemons.
const CONCURRENCY: u32 = 8;
/// Milliseconds between two kills, and until who was killed is started again.
const KILLS_APART_MS: std::ops::Range<u64> = 300..1500;
const RESTART_MS: std::ops::Range<u64> = 0..2000;

/// A number from the environment, for `scripts/stress`.
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A daemon, or when there is to be one again.
enum Place {
    Running(Box<Running>),
    Empty(Instant),
}

struct Troupe<'a> {
    site: &'a Site,
    random: StdRng,
    places: Vec<Place>,
    killed: u32,
}

impl<'a> Troupe<'a> {
    fn start(site: &'a Site, daemons: u64, seed: u64) -> Self {
        let places = (0..daemons).map(|_| Place::Running(Box::new(site.daemon("daemons.log"))));
        Self {
            site,
            random: StdRng::seed_from_u64(seed),
            places: places.collect(),
            killed: 0,
        }
    }

    /// Kills one after the other, and starts each again, until `end`.
    async fn rage(&mut self, end: Instant) {
        let mut next_kill = Instant::now();
        while Instant::now() < end {
            if Instant::now() >= next_kill {
                let place = self.random.random_range(0..self.places.len());
                let pause = Duration::from_millis(self.random.random_range(RESTART_MS));
                let apart = Duration::from_millis(self.random.random_range(KILLS_APART_MS));
                next_kill += apart;
                let empty = Place::Empty(Instant::now() + pause);
                match std::mem::replace(&mut self.places[place], empty) {
                    Place::Running(mut daemon) => {
                        daemon.signal(Signal::SIGKILL);
                        daemon.end().await;
                        self.killed += 1;
                    }
                    still_empty @ Place::Empty(_) => self.places[place] = still_empty,
                }
            }
            self.fill(Instant::now());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.fill(end + Duration::from_millis(RESTART_MS.end));
    }

    /// Starts those whose pause is over.
    fn fill(&mut self, now: Instant) {
        for place in &mut self.places {
            if matches!(place, Place::Empty(until) if *until <= now) {
                *place = Place::Running(Box::new(self.site.daemon("daemons.log")));
            }
        }
    }

    async fn stop(self) {
        for place in self.places {
            if let Place::Running(daemon) = place {
                self.site.stop(*daemon).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_killed_at_random_lose_nothing_and_double_nothing() {
    let daemons = setting("STRESS_DAEMONS", 3);
    let lasts = Duration::from_secs(setting("STRESS_SECONDS", 20));
    let releases = setting("STRESS_DELIVERIES", 200).div_ceil(4);
    let seed = setting("STRESS_SEED", 20_261_123);
    eprintln!("seed {seed}: {daemons} daemons, {lasts:?}, {releases} releases to 4 platforms");

    let site = Site::new().await;
    site.configure("log", "filter", "info");
    site.configure("database", "max_connections", 4);
    let slow = Misbehaviours::none()
        .then(1, Misbehaviour::Slow { by: SLOW })
        .for_each_handover();
    let first = site.http("Fjordwave", slow.clone()).await;
    let second = site.http("Sandstorm", slow).await;
    let sftp = site.sftp("Tidepool", SftpKind::Sftp).await;
    let ddex = site.sftp("Lumiere", SftpKind::Ddex).await;
    let platforms = [
        site.api_platform("Fjordwave", first.url()).await,
        site.api_platform("Sandstorm", second.url()).await,
        site.sftp_platform("Tidepool", "sftp", &sftp).await,
        site.sftp_platform("Lumiere", "ddex", &ddex).await,
    ];
    site.limit_platforms(CONCURRENCY).await;
    let count = i32::try_from(releases).unwrap();
    let catalogue = catalogue::singles(site.pool(), &site.assets(), count).await;
    // Due one after the other until shortly before the end, so that there is work all the time.
    catalogue::schedule_spread(site.pool(), &catalogue, &platforms, lasts.mul_f64(0.8)).await;

    let started = Instant::now();
    let mut troupe = Troupe::start(&site, daemons, seed);
    troupe.rage(started + lasts).await;
    let killed = troupe.killed;
    let accepted = site.accepted().await;
    let all = i64::from(count) * 4;
    site.until_accepted(all).await;
    eprintln!(
        "{killed} daemons killed in {lasts:?}, {accepted} of {all} accepted by then, all after {:?}",
        started.elapsed()
    );
    troupe.stop().await;
    assert!(killed > 0, "nobody was killed");
    for ledger in [
        first.ledger(),
        second.ledger(),
        sftp.ledger(),
        ddex.ledger(),
    ] {
        assert_received_once(ledger, catalogue.len());
    }
    let crashed: i64 =
        sqlx::query_scalar("select count(*) from worker.attempts where outcome = 'crashed'")
            .fetch_one(site.pool())
            .await
            .unwrap();
    let left: i64 = sqlx::query_scalar(
        "select count(*) from worker.jobs where lease_token is not null or state = 'dead'",
    )
    .fetch_one(site.pool())
    .await
    .unwrap();
    eprintln!("{crashed} attempts were cut off by a kill");
    assert_eq!(left, 0, "jobs that are held or dead");
}
