//! What the daemon takes and gives as a process: memory at rest, the time from its start until it is
//! ready on a database that is there, and the time from SIGTERM to its end with uploads under way, all
//! of which are finished or given back.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod report;
mod site;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use platform_adapters::sandbox::{Misbehaviour, Misbehaviours};
use report::{Measure, median};
use serde_json::json;
use site::Site;

const STARTS: usize = 9;
/// So long a daemon does nothing before its memory is looked at.
const REST: Duration = Duration::from_secs(60);
/// Uploads under way when the daemon is told to stop.
const UPLOADS: i32 = 20;
/// How long each upload takes: some are finished, those of the other platform never are.
const SLOW: Duration = Duration::from_secs(3);
const ENDLESS: Duration = Duration::from_secs(3600);
/// `queue.drain_s` of the product, and what systemd's unit allows in all.
const DRAIN_S: f64 = 20.0;
const STOP_S: f64 = 60.0;

#[tokio::main]
async fn main() -> ExitCode {
    let config = format!(
        "[queue]\nslots = {UPLOADS}\nplatform_concurrency = {UPLOADS}\n\
         [log]\nfilter = \"warn,jobs::queue=info\"\n"
    );
    let site = Site::new(&config).await;
    let mut starts_ms = Vec::new();
    for number in 0..STARTS {
        let began = Instant::now();
        let daemon = site.daemon(&format!("start-{number}.log"));
        daemon.is_up().await;
        starts_ms.push(began.elapsed().as_secs_f64() * 1000.0);
        daemon.stop();
    }
    let start_ms = median(starts_ms);

    let daemon = site.daemon("rest.log");
    daemon.is_up().await;
    tokio::time::sleep(REST).await;
    let memory_mb = daemon.memory_mb();
    daemon.stop();

    let stop_s = stop(&site).await;
    eprintln!(
        "rest: {memory_mb:.1} MB at rest; ready after {start_ms:.0} ms (median of {STARTS}); ended \
         {stop_s:.1} s after SIGTERM with {UPLOADS} uploads under way"
    );
    let below = |benchmark, unit, ours: f64, limit: f64, name: &str| Measure {
        benchmark,
        unit,
        ours: 1000.0 / ours,
        peers: Vec::new(),
        limit: Some((name.to_owned(), 1000.0 / limit)),
        bar: 1.0,
    };
    report::print(&[
        below("rest, memory", "in 1000 MB", memory_mb, 40.0, "40 MB"),
        below(
            "rest, start to ready",
            "a second (1 through the time)",
            start_ms,
            1000.0,
            "1 s",
        ),
        below(
            "rest, SIGTERM with 20 uploads to the end",
            "in 1000 s (1 through the time)",
            stop_s,
            STOP_S,
            "60 s, TimeoutStopSec of the unit",
        ),
    ])
}

/// Seconds from SIGTERM to the end. Half of the uploads end within the drain, and half do not.
async fn stop(site: &Site) -> f64 {
    let mut platforms = Vec::new();
    let mut partners = Vec::new();
    for (name, by) in [("Slow", SLOW), ("Endless", ENDLESS)] {
        let slow = Misbehaviours::none()
            .then(1, Misbehaviour::Slow { by })
            .for_each_handover();
        let partner = site.partner_that(name, slow).await;
        platforms.push(site.platform(name, partner.url(), json!({})).await);
        partners.push(partner);
    }
    let releases = site.releases(UPLOADS / 2).await;
    let now = jobs::clock::system()() - TimeDelta::seconds(1);
    site.schedule(&releases, &platforms, now).await;
    let daemon = site.daemon("stop.log");
    site.until(
        UPLOADS.into(),
        "from worker.deliveries where state = 'sending'",
    )
    .await;
    let began = Instant::now();
    daemon.stop();
    let stop_s = began.elapsed().as_secs_f64();
    let half = i64::from(UPLOADS / 2);
    for (states, count) in [
        ("('sent', 'accepted')", half),
        ("('queued', 'retrying', 'unknown')", half),
        ("('sending')", 0),
    ] {
        let query = format!("from worker.deliveries where state in {states}");
        assert_eq!(site.count(&query).await, count, "{states}");
    }
    let held = "from worker.jobs where lease_token is not null";
    assert_eq!(site.count(held).await, 0, "nothing is held by nobody");
    assert!(stop_s >= SLOW.as_secs_f64() / 2.0 && stop_s < DRAIN_S + STOP_S);
    stop_s
}
