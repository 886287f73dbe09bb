//! A report of a million lines in a foreign currency, from the file until all of it is usage with its
//! origins kept and its days marked, held against the bare COPY of the rows that come of it into the
//! same table with the same indexes and foreign keys.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod catalogue;
mod report;

use std::{io::Write as _, process::ExitCode, time::Instant};

use catalogue::{ROWS, copy, csv, execute, fill, settle, use_tracks};
use chrono::{DateTime, Utc};
use jobs::{
    audit::By,
    royalty,
    usage::{self, Layout, Order},
};
use report::{Measure, median};
use sqlx::PgPool;
use tempfile::NamedTempFile;
use test_support::TestDatabase;

const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> ExitCode {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let catalogue = TestDatabase::create().await;
    fill(catalogue.pool()).await;
    execute(
        catalogue.pool(),
        "insert into worker.exchange_rates (base, quote, date, rate, source, imported_at)
         select 'EUR', 'USD', date '2026-02-27' + n, 1.05 + n * 0.0013, 'ECB', now()
         from generate_series(0, 40) n",
    )
    .await;
    let used = catalogue.copy().await;
    use_tracks(used.pool(), 30).await;
    let rows = csv(
        used.pool(),
        &format!("select {} from analytics order by id", catalogue::COLUMNS),
    )
    .await;
    let mut report = NamedTempFile::new().unwrap();
    report
        .write_all(b"date,isrc,streams,downloads,revenue,currency,territory\n")
        .unwrap();
    let lines = csv(
        used.pool(),
        "select a.date, t.isrc, a.streams, a.downloads, a.revenue, 'EUR', a.territory
         from analytics a join tracks t on t.id = a.track_id order by a.id",
    )
    .await;
    report.write_all(&lines).unwrap();

    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let database = catalogue.copy().await;
        settle(database.pool()).await;
        let started = Instant::now();
        import(database.pool(), &report, now).await;
        ours.push(ROWS as f64 / started.elapsed().as_secs_f64());
        verify(database.pool()).await;

        let database = catalogue.copy().await;
        // It marks no days.
        execute(
            database.pool(),
            "drop trigger worker_analytics_inserted on analytics",
        )
        .await;
        settle(database.pool()).await;
        let started = Instant::now();
        copy(database.pool(), &rows).await;
        bare.push(ROWS as f64 / started.elapsed().as_secs_f64());
        eprintln!(
            "import: round {round} of {ROUNDS}: {:.0} lines a second, bare {:.0}",
            ours.last().unwrap(),
            bare.last().unwrap()
        );
    }
    report::print(&[Measure {
        benchmark: "import",
        unit: "lines a second",
        ours: median(ours),
        peers: Vec::new(),
        limit: Some(("bare COPY of the rows into analytics".into(), median(bare))),
        bar: 0.6,
    }])
}

async fn import(pool: &PgPool, report: &NamedTempFile, now: DateTime<Utc>) {
    let order = Order {
        path: report.path(),
        platform: 1,
        layout_name: "plain",
        layout: &Layout::default(),
        settings: &usage::Settings::default(),
        royalties: &royalty::Settings::default(),
    };
    let by = By::new("bench", "measuring").unwrap();
    let imported = usage::import(pool, &order, &by, now, |_, _| {})
        .await
        .unwrap();
    assert_eq!((imported.lines, imported.unmatched), (ROWS, 0));
}

/// Every row of usage has its origin.
async fn verify(pool: &PgPool) {
    let kept: i64 = sqlx::query_scalar(
        "select count(*) from worker.usage_lines l join analytics a on a.id = l.analytics_id
         where l.amount is not null and l.rate is not null",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(kept, ROWS);
}
