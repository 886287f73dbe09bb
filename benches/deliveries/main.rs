//! Whole deliveries a second: the built daemon hands releases of two files of 1 kB each to the
//! sandbox's HTTP partner, which answers at once, and records everything: attempt, outcome, files,
//! evidence, distribution record, schedule. Held against the bare cost of the same statements, see
//! `bare`, with as many at once. The partner works on the same processors.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod bare;
#[path = "../report/mod.rs"]
mod report;
#[path = "../site/mod.rs"]
mod site;

use std::{process::ExitCode, time::Duration};

use bare::Left;
use platform_adapters::sandbox::HttpPartner;
use report::{
    Measure, median,
    processor::{Server, used_by},
};
use serde_json::json;
use site::Site;

const PLATFORMS: i64 = 4;
const RELEASES: i32 = 2500;
const DELIVERIES: i64 = RELEASES as i64 * PLATFORMS;
const ROUNDS: usize = 3;
/// Deliveries at once: they wait for the partner and for the disk.
const SLOTS: usize = 64;
/// Connections of the daemon's pool, and as many of the bare statements. Each plans every statement
/// for itself once, and a delivery needs one only while it writes.
const CONNECTIONS: u32 = 16;

struct Round {
    per_s: f64,
    bare_per_s: f64,
    statements: f64,
    worker_us: f64,
    server_us: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut rounds = Vec::new();
    let mut version = String::new();
    for number in 1..=ROUNDS {
        let round = measure(&mut version).await;
        eprintln!(
            "deliveries: round {number} of {ROUNDS}: {:.0} a second, {:.1} statements each \
             (the bare statements: {:.0} a second); processor time each: {:.0} µs of the daemon, \
             {:.0} µs of PostgreSQL",
            round.per_s, round.statements, round.bare_per_s, round.worker_us, round.server_us,
        );
        rounds.push(round);
    }
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    report::print(&[
        Measure {
            benchmark: "deliveries",
            unit: "deliveries a second",
            ours: of(|round| round.per_s),
            peers: Vec::new(),
            limit: Some((
                format!("the same statements bare, {version}"),
                of(|round| round.bare_per_s),
            )),
            bar: 0.5,
        },
        Measure {
            benchmark: "deliveries, at least 500 a second",
            unit: "deliveries a second",
            ours: of(|round| round.per_s),
            peers: Vec::new(),
            limit: Some(("what is asked for on two cores".into(), 500.0)),
            bar: 1.0,
        },
    ])
}

/// Partners, and all deliveries queued.
async fn prepare() -> (Site, Vec<HttpPartner>) {
    let site = Site::new(&format!(
        "[queue]\nslots = {SLOTS}\n[database]\nmax_connections = {CONNECTIONS}\n\
         [log]\nfilter = \"warn,jobs::queue=info\"\n"
    ))
    .await;
    let mut platforms = Vec::new();
    let mut partners = Vec::new();
    for number in 1..=PLATFORMS {
        let name = format!("Partner {number}");
        let partner = site.partner(&name).await;
        let limits = json!({"concurrency": SLOTS});
        platforms.push(site.platform(&name, partner.url(), limits).await);
        partners.push(partner);
    }
    let releases = site.releases(RELEASES).await;
    site.schedule(&releases, &platforms, jobs::clock::system()())
        .await;
    site.fan_out().await;
    (site, partners)
}

async fn measure(version: &mut String) -> Round {
    let (site, partners) = prepare().await;
    *version = site.postgres_version().await;
    site.reset_statements().await;
    let server = Server::of(site.pool()).await;
    let server_used = server.used();
    let daemon = site.daemon("daemon.log");
    site.until_accepted(DELIVERIES).await;
    let each = |used: Duration| used.as_secs_f64() * 1e6 / DELIVERIES as f64;
    let worker_us = each(used_by(daemon.pid()));
    let server_us = each(server.used().saturating_sub(server_used));
    let statements = site.statements().await as f64 / DELIVERIES as f64;
    if std::env::var_os("BENCH_STATEMENTS").is_some() {
        site.print_statements().await;
    }
    let seconds: f64 = sqlx::query_scalar(
        "select extract(epoch from max(ended_at) - min(started_at))::float8 \
         from worker.attempts where delivery_id is not null",
    )
    .fetch_one(site.pool())
    .await
    .unwrap();
    daemon.stop();
    verify(&site, &partners).await;
    let left = Left::read(site.pool()).await;
    drop((site, partners));
    Round {
        per_s: DELIVERIES as f64 / seconds,
        bare_per_s: bare::measure(&left).await,
        statements,
        worker_us,
        server_us,
    }
}

/// Each partner has each release once, and everything is recorded.
async fn verify(site: &Site, partners: &[HttpPartner]) {
    for partner in partners {
        let handovers = partner.ledger().handovers().unwrap();
        let releases = usize::try_from(RELEASES).unwrap();
        assert_eq!(handovers.len(), releases, "each once");
        assert!(handovers.iter().all(|one| one.completed == 1));
    }
    for (query, expected) in [
        (
            "from worker.attempts where outcome = 'completed' and delivery_id is not null",
            DELIVERIES,
        ),
        ("from worker.delivery_files", 2 * DELIVERIES),
        (
            "from distribution_records where status = 'distributed'",
            DELIVERIES,
        ),
        (
            "from scheduled_distributions where status = 'completed'",
            i64::from(RELEASES),
        ),
        ("from worker.jobs where state <> 'completed'", 0),
    ] {
        assert_eq!(site.count(query).await, expected, "{query}");
    }
    assert!(site.count("from worker.evidence").await >= DELIVERIES);
}
