//! What an operator waits for with a million deliveries and five million attempts behind it: every
//! list, search and the overview, as the built daemon answers them over HTTP, one after the other.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[path = "../report/mod.rs"]
mod report;
#[path = "../site/mod.rs"]
mod site;

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use report::Measure;
use serde_json::Value;
use site::Site;

const FILL: &str = include_str!("fill.sql");
/// Of each question.
const TIMES: usize = 40;
/// Between two overviews, so that none is answered from the one before.
const STALE: Duration = Duration::from_secs(3);
const OVERVIEWS: usize = 10;

/// What is asked for, by name.
const LISTS: [(&str, &str); 15] = [
    ("newest", "/deliveries"),
    ("one platform", "/deliveries?platform=17"),
    ("one state", "/deliveries?state=failed"),
    ("a rare state", "/deliveries?state=unknown"),
    ("platform and state", "/deliveries?platform=17&state=held"),
    (
        "all that waits",
        "/deliveries?state=queued,retrying,unknown",
    ),
    (
        "old and waiting",
        "/deliveries?state=queued&created_before=2026-01-01T00:00:00Z",
    ),
    ("a fault", "/deliveries?fault=host_key_changed"),
    ("a common word", "/deliveries?q=midnight"),
    ("a rare word", "/deliveries?q=c4ca4238a0b9"),
    ("an ISRC", "/deliveries?q=DEA010004711"),
    ("a UPC", "/deliveries?q=842000004711"),
    ("an owner", "/deliveries?owner=17"),
    ("jobs that died", "/jobs?state=dead"),
    ("schedules", "/schedules"),
];

#[tokio::main]
async fn main() -> ExitCode {
    let site = Site::new("[log]\nfilter = \"info\"\n").await;
    eprintln!("admin: filling the database; this takes some minutes");
    site.execute(FILL).await;
    site.execute("vacuum analyze").await;
    let daemon = site.daemon("daemon.log");
    let base = daemon.address().await;
    let key = key(&site);
    let mut all = Vec::new();
    for (name, path) in LISTS {
        let p95 = p95(&base, &key, path, TIMES, Duration::ZERO).await;
        eprintln!("admin: {name}: {p95:.0} ms (95 %)");
        all.push(p95);
    }
    let overview = p95(&base, &key, "/overview", OVERVIEWS, STALE).await;
    daemon.stop();
    let slowest = all.into_iter().fold(0.0, f64::max);
    let below = |benchmark, ms: f64, limit_ms: f64| Measure {
        benchmark,
        unit: "a second (1 through the time)",
        ours: 1000.0 / ms,
        peers: Vec::new(),
        limit: Some((format!("{limit_ms:.0} ms"), 1000.0 / limit_ms)),
        bar: 1.0,
    };
    report::print(&[
        below("admin, slowest list, 95 %", slowest, 200.0),
        below("admin, overview, 95 %", overview, 300.0),
    ])
}

/// A key that may read, made as an operator makes one.
fn key(site: &Site) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_tunemantra-worker"))
        .args([
            "keys", "create", "--user", "1", "--name", "bench", "--scope", "read",
        ])
        .args(["--reason", "benchmark", "--json"])
        .env("DATABASE_URL", site.url())
        .output()
        .unwrap();
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    made["key"].as_str().unwrap().to_owned()
}

/// Milliseconds within which 95 of 100 answers came.
async fn p95(base: &str, key: &str, path: &str, times: usize, pause: Duration) -> f64 {
    let client = reqwest::Client::new();
    let mut took = Vec::new();
    for _ in 0..times {
        tokio::time::sleep(pause).await;
        let began = Instant::now();
        let answer = client
            .get(format!("{base}/api/v1{path}"))
            .bearer_auth(key)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let _: Value = answer.json().await.unwrap();
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    took.sort_by(f64::total_cmp);
    took[((took.len() - 1) as f64 * 0.95).ceil() as usize]
}
