//! A month's royalty run held against the bare statement that it cannot do without: `INSERT … SELECT …
//! GROUP BY` of the same usage into `royalty_calculations`, with its keys.
//!
//! 20 million rows of usage (or `BENCH_ROYALTY_ROWS`) become 1.2 million rows of 100,000 tracks, each
//! with two shares. Ours is all of the run: shares kept, usage summed and stored, tracks shared out,
//! steps per payee, `royalty_calculations`; and once more with the ledger posted and everything made
//! final. Both take turns in one database; the table is emptied in between.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod report;

use std::{process::ExitCode, time::Instant};

use chrono::{DateTime, Utc};
use jobs::{
    audit::By,
    clock::{self, Clock},
    royalty::{self, Settings, State},
};
use report::{Measure, median};
use sqlx::{AssertSqlSafe, PgPool};
use test_support::TestDatabase;

const ROUNDS: usize = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let rows: i64 =
        std::env::var("BENCH_ROYALTY_ROWS").map_or(20_000_000, |rows| rows.parse().unwrap());
    let database = TestDatabase::create().await;
    let pool = database.pool();
    eprintln!("royalties: making {rows} rows of usage");
    fill(pool, rows).await;
    let (mut bare, mut computed, mut posted) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        empty(pool).await;
        let started = Instant::now();
        execute(
            pool,
            "insert into royalty_calculations
                 (track_id, platform_id, period, streams, revenue, royalty_type, calculation_date, territory)
             select track_id, platform_id, '2026-10', sum(streams), sum(revenue), 'digital', now(), territory
             from analytics where date >= '2026-10-01' and date < '2026-11-01'
             group by track_id, platform_id, territory",
        )
        .await;
        bare.push(rows as f64 / started.elapsed().as_secs_f64());
        let calculations = verify(pool).await;

        empty(pool).await;
        let (until_computed, until_posted) = run(pool).await;
        computed.push(rows as f64 / until_computed);
        posted.push(rows as f64 / until_posted);
        assert_eq!(verify(pool).await, calculations);
        eprintln!(
            "royalties: round {round} of {ROUNDS}: {calculations} calculations, bare {:.1} s, run {until_computed:.1} s, with the ledger {until_posted:.1} s",
            rows as f64 / bare.last().unwrap(),
        );
    }
    let version: String = sqlx::query_scalar("select current_setting('server_version')")
        .fetch_one(pool)
        .await
        .unwrap();
    let limit = (
        format!("INSERT … SELECT … GROUP BY, PostgreSQL {version}"),
        median(bare),
    );
    let measure = |unit, ours| Measure {
        benchmark: "royalties",
        unit,
        ours: median(ours),
        peers: Vec::new(),
        limit: Some(limit.clone()),
        // At most 1.5 times as long.
        bar: 0.667,
    };
    report::print(&[
        measure(
            "rows of usage a second, until the run is computed",
            computed,
        ),
        measure(
            "rows of usage a second, until it is final and in the ledger",
            posted,
        ),
    ])
}

/// Seconds until computed, and until final.
async fn run(pool: &PgPool) -> (f64, f64) {
    let by = By::new("bench", "bench").unwrap();
    let now: DateTime<Utc> = "2026-12-01T00:00:00Z".parse().unwrap();
    let settings = Settings::default();
    let clock: Clock = clock::system();
    let started = Instant::now();
    let run = royalty::start(pool, "2026-10".parse().unwrap(), &settings, &by, now)
        .await
        .unwrap()
        .run;
    let run = royalty::compute(pool, run.id, &clock).await.unwrap();
    assert_eq!(run.state, State::Pending);
    let until_computed = started.elapsed().as_secs_f64();
    royalty::finalise(pool, run.id, false, &by, now)
        .await
        .unwrap();
    (until_computed, started.elapsed().as_secs_f64())
}

/// A catalogue, its shares, and a month of usage.
async fn fill(pool: &PgPool, rows: i64) {
    // As many tracks as make groups of some 17 rows.
    let tracks = (rows / 200).clamp(100, 100_000);
    execute(
        pool,
        &format!(
            "insert into users (username, email, password, full_name)
                 select 'u' || n, 'u' || n || '@label.example', '-', 'User ' || n from generate_series(1, 10000) n;
             insert into releases (user_id, title, type, release_date, artist_names)
                 select 1 + n % 10000, 'Release ' || n, 'album', '2026-01-01', 'Artist'
                 from generate_series(1, {tracks} / 10) n;
             insert into tracks (release_id, user_id, title, artist)
                 select 1 + n % ({tracks} / 10), 1 + n % 10000, 'Track ' || n, 'Artist'
                 from generate_series(1, {tracks}) n;
             insert into distribution_platforms (name, delivery_method)
                 select 'Platform ' || n, 'api' from generate_series(1, 3) n;
             insert into distribution_records (release_id, platform_id, status)
                 select r.id, p.id, 'distributed' from releases r, distribution_platforms p;
             insert into revenue_shares (track_id, user_id, percentage, role, name, status)
                 select id, 1 + (id * 7 + s) % 10000, 33.33, 'artist', 'User', 'active'
                 from tracks, generate_series(1, 2) s;
             drop index idx_analytics_track_id, idx_analytics_date, idx_analytics_track_id_date;
             alter table analytics disable trigger all;
             insert into analytics (track_id, platform_id, date, territory, streams, revenue)
                 select 1 + n % {tracks}, 1 + n / {tracks} % 3, date '2026-10-01' + (n % 31)::int,
                     (array['DE', 'FR', 'US', 'JP'])[1 + n / {tracks} / 3 % 4], 1 + n % 97,
                     (1 + n % 9973)::numeric / 10000
                 from generate_series(1::bigint, {rows}) n;
             alter table analytics enable trigger all;
             create index idx_analytics_track_id on analytics (track_id);
             create index idx_analytics_date on analytics (date);
             create index idx_analytics_track_id_date on analytics (track_id, date);"
        ),
    )
    .await;
    execute(pool, "vacuum analyze").await;
}

/// Nothing of an earlier round is left.
async fn empty(pool: &PgPool) {
    execute(
        pool,
        "truncate royalty_calculations, worker.royalty_runs, worker.royalty_progress,
             worker.royalty_lines, worker.royalty_tracks, worker.royalty_segments,
             worker.royalty_shares, worker.royalty_steps, worker.royalty_payments, worker.jobs;
         alter table worker.ledger_entries disable trigger ledger_append_only;
         truncate worker.ledger_entries;
         alter table worker.ledger_entries enable trigger ledger_append_only;",
    )
    .await;
    execute(pool, "checkpoint").await;
}

/// Both ways must say the same. The number of calculations.
async fn verify(pool: &PgPool) -> i64 {
    let (calculations, is_right): (i64, bool) = sqlx::query_as(
        "select count(*), sum(revenue) = (select sum(revenue) from analytics) from royalty_calculations",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert!(is_right, "the calculations are not the usage");
    calculations
}

async fn execute(pool: &PgPool, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}
