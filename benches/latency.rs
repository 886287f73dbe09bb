//! From a schedule that becomes due to its first byte at the partner, on an idle machine; and what
//! an idle daemon costs. Two kinds of schedules: those that stood there before and become due, and
//! those that are new and due at once.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod report;
mod site;

use std::{process::ExitCode, time::Duration};

use chrono::TimeDelta;
use report::{Measure, processor::used_by};
use serde_json::json;
use site::{Daemon, Site};

/// Of each kind.
const SCHEDULES: usize = 50;
/// Between two, so that each finds an idle daemon; not a divisor of any pause of the daemon's.
const APART: Duration = Duration::from_millis(370);
const IDLE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let site = Site::new("[log]\nfilter = \"warn,jobs::queue=info\"\n").await;
    let partner = site.partner("Partner").await;
    let platform = site.platform("Partner", partner.url(), json!({})).await;
    let releases = site.releases(i32::try_from(2 * SCHEDULES).unwrap()).await;
    let (known, announced) = releases.split_at(SCHEDULES);
    let daemon = site.daemon("daemon.log");
    daemon.is_up().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (queries_per_s, core) = idle(&site, &daemon).await;

    let first = jobs::clock::system()() + TimeDelta::seconds(3);
    for (number, release) in (0..).zip(known) {
        site.schedule(&[*release], &[platform], first + APART * number)
            .await;
    }
    let count = i64::try_from(SCHEDULES).unwrap();
    site.until_accepted(count).await;
    let known = waits(&site, known).await;
    for release in announced {
        let now = jobs::clock::system()();
        site.schedule(&[*release], &[platform], now).await;
        tokio::time::sleep(APART).await;
    }
    site.until_accepted(2 * count).await;
    let announced = waits(&site, announced).await;
    daemon.stop();
    let below = |benchmark, ms: f64, limit_ms: f64| Measure {
        benchmark,
        unit: "a second (1 through the time)",
        ours: 1000.0 / ms,
        peers: Vec::new(),
        limit: Some((format!("{limit_ms:.0} ms"), 1000.0 / limit_ms)),
        bar: 1.0,
    };
    eprintln!(
        "latency: due until begun at the partner: known before {:.0} ms (median), {:.0} ms (99 %); new \
         {:.0} ms, {:.0} ms; idle: {queries_per_s:.2} queries a second, {:.2} % of a core",
        known.0,
        known.1,
        announced.0,
        announced.1,
        core * 100.0
    );
    report::print(&[
        below("latency, known before, median", known.0, 300.0),
        below("latency, known before, 99 %", known.1, 1000.0),
        below("latency, new and due, median", announced.0, 300.0),
        below("latency, new and due, 99 %", announced.1, 1000.0),
        Measure {
            benchmark: "latency, idle, queries",
            unit: "seconds a query",
            ours: 1.0 / queries_per_s,
            peers: Vec::new(),
            limit: Some(("2 queries a second".into(), 0.5)),
            bar: 1.0,
        },
        Measure {
            benchmark: "latency, idle, processor",
            unit: "seconds of rest a second of work",
            ours: 1.0 / core.max(1e-4),
            peers: Vec::new(),
            limit: Some(("1 % of a core".into(), 100.0)),
            bar: 1.0,
        },
    ])
}

/// Queries a second, and the share of a core, of a daemon that has nothing to do.
async fn idle(site: &Site, daemon: &Daemon) -> (f64, f64) {
    site.reset_statements().await;
    let before = used_by(daemon.pid());
    tokio::time::sleep(IDLE).await;
    let core = (used_by(daemon.pid()) - before).as_secs_f64() / IDLE.as_secs_f64();
    let queries = site.statements().await as f64;
    if std::env::var_os("BENCH_STATEMENTS").is_some() {
        site.print_statements().await;
    }
    (queries / IDLE.as_secs_f64(), core)
}

/// Milliseconds from due until the partner had all of it: median and 99th percentile.
async fn waits(site: &Site, releases: &[i32]) -> (f64, f64) {
    let mut waits: Vec<f64> = sqlx::query_scalar(
        "select extract(epoch from d.sent_at - (s.scheduled_date at time zone 'UTC'))::float8 * 1000
         from worker.deliveries d join scheduled_distributions s on s.release_id = d.release_id
         where d.release_id = any($1)",
    )
    .bind(releases)
    .fetch_all(site.pool())
    .await
    .unwrap();
    assert_eq!(waits.len(), releases.len());
    waits.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = ((waits.len() - 1) as f64 * share).ceil() as usize;
        *waits.get(place).unwrap()
    };
    (at(0.5), at(0.99))
}
