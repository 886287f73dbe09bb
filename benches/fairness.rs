//! A dead partner costs the others nothing: 1,000 deliveries for each of four healthy platforms,
//! once alone and once behind 100,000 older ones for a platform where nobody answers. The healthy
//! ones must be done as fast, and the daemon's memory must stay flat.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod report;
mod site;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use report::{Measure, median};
use serde_json::json;
use site::{DEAD, Site};

const HEALTHY: i64 = 4;
const EACH: i32 = 1000;
const DELIVERIES: i64 = EACH as i64 * HEALTHY;
const DEAD_DELIVERIES: i32 = 100_000;
const ROUNDS: usize = 3;
/// What the daemon's memory may grow by while the backlog waits.
const GROWTH_MB: f64 = 30.0;

#[tokio::main]
async fn main() -> ExitCode {
    let mut with = Vec::new();
    let mut without = Vec::new();
    let mut grown_mb: f64 = 0.0;
    for round in 1..=ROUNDS {
        // In turn, so that neither always comes first.
        for dead in if round % 2 == 1 {
            [0, DEAD_DELIVERIES]
        } else {
            [DEAD_DELIVERIES, 0]
        } {
            let (seconds, grown) = measure(dead).await;
            let per_s = DELIVERIES as f64 / seconds;
            eprintln!(
                "fairness: round {round} of {ROUNDS}: {per_s:.0} a second beside {dead} for a dead \
                 platform; the daemon's memory grew by {grown:.1} MB"
            );
            if dead > 0 {
                with.push(per_s);
                grown_mb = grown_mb.max(grown);
            } else {
                without.push(per_s);
            }
        }
    }
    assert!(
        grown_mb < GROWTH_MB,
        "the daemon's memory grew by {grown_mb:.1} MB"
    );
    report::print(&[Measure {
        benchmark: "fairness",
        unit: "healthy deliveries a second beside 100,000 for a dead platform",
        ours: median(with),
        peers: Vec::new(),
        limit: Some(("the same without the dead platform".into(), median(without))),
        bar: 0.9,
    }])
}

/// Seconds until the healthy ones are done, and what the daemon's memory grew by meanwhile.
async fn measure(dead: i32) -> (f64, f64) {
    let site = Site::new("[log]\nfilter = \"error,jobs::queue=info\"\n").await;
    let now = jobs::clock::system()();
    let mut platforms = Vec::new();
    let mut partners = Vec::new();
    for number in 1..=HEALTHY {
        let name = format!("Healthy {number}");
        let partner = site.partner(&name).await;
        platforms.push(site.platform(&name, partner.url(), json!({})).await);
        partners.push(partner);
    }
    let dead_platform = site.platform("Dead", DEAD, json!({})).await;
    let releases = site.releases(EACH.max(dead)).await;
    let (healthy, _) = releases.split_at(usize::try_from(EACH).unwrap());
    if dead > 0 {
        // They have waited longer.
        site.schedule(&releases, &[dead_platform], now - TimeDelta::hours(1))
            .await;
    }
    site.schedule(healthy, &platforms, now).await;
    site.fan_out().await;
    let daemon = site.daemon("daemon.log");
    let started = Instant::now();
    daemon.is_up().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before_mb = daemon.memory_mb();
    let mut most_mb = before_mb;
    // An index has them; the many that wait are not counted.
    let accepted = site.until(
        DELIVERIES,
        "from worker.deliveries where decided_at is not null and state = 'accepted'",
    );
    tokio::pin!(accepted);
    loop {
        tokio::select! {
            () = &mut accepted => break,
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                most_mb = most_mb.max(daemon.memory_mb());
            }
        }
        assert!(
            started.elapsed() < Duration::from_secs(1200),
            "they are done in time"
        );
    }
    let seconds: f64 = sqlx::query_scalar(
        "select extract(epoch from max(a.ended_at) - min(a.started_at))::float8
         from worker.attempts a join worker.deliveries d on d.id = a.delivery_id
         where d.platform_id <> $1",
    )
    .bind(dead_platform)
    .fetch_one(site.pool())
    .await
    .unwrap();
    let waiting = site
        .count("from worker.deliveries where state in ('queued', 'retrying', 'sending')")
        .await;
    assert_eq!(
        waiting,
        i64::from(dead),
        "nothing is lost of what cannot be sent"
    );
    daemon.stop();
    (seconds, most_mb - before_mb)
}
