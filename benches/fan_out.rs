//! Due schedules into deliveries, held against the bare inserts of the very rows that come of it.
//!
//! 10,000 due schedules, each of its own release to three platforms, through
//! `jobs::schedule::fan_out_due` as the daemon calls it. The bare inserts have nothing to look up,
//! to judge or to lock: what one fan-out made was kept in a table for each batch, and is inserted
//! from there, in transactions of the same size. Ours and the bare inserts take turns, each on a
//! fresh copy of its database; every second round the tables have statistics.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod report;

use std::{process::ExitCode, time::Instant};

use chrono::{DateTime, Utc};
use jobs::schedule::{PollSettings, fan_out_due};
use report::{Measure, median};
use sqlx::{AssertSqlSafe, PgPool};
use test_support::TestDatabase;

const SCHEDULES: i64 = 10_000;
const PLATFORMS: i64 = 3;
const DELIVERIES: i64 = SCHEDULES * PLATFORMS;
const ROUNDS: usize = 8;

#[tokio::main]
async fn main() -> ExitCode {
    let batch = PollSettings::default().batch;
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let due = TestDatabase::create().await;
    fill(due.pool(), now).await;
    let staged = due.copy().await;
    stage(staged.pool(), batch, now).await;

    let mut ours = Vec::new();
    let mut bare = Vec::new();
    for round in 0..ROUNDS {
        let has_statistics = round % 2 == 1;
        let database = due.copy().await;
        settle(database.pool(), has_statistics).await;
        let started = Instant::now();
        while fan_out_due(database.pool(), batch, now)
            .await
            .unwrap()
            .schedules
            > 0
        {}
        ours.push(DELIVERIES as f64 / started.elapsed().as_secs_f64());
        verify(database.pool()).await;

        let database = staged.copy().await;
        settle(database.pool(), has_statistics).await;
        let started = Instant::now();
        for number in 0..batches(batch) {
            insert_bare(database.pool(), number).await;
        }
        bare.push(DELIVERIES as f64 / started.elapsed().as_secs_f64());
        verify(database.pool()).await;
        eprintln!(
            "fan-out: round {} of {ROUNDS}: {:.0} a second, bare {:.0}",
            round + 1,
            ours.last().unwrap(),
            bare.last().unwrap()
        );
    }
    let version: String = sqlx::query_scalar("select current_setting('server_version')")
        .fetch_one(TestDatabase::create().await.pool())
        .await
        .unwrap();
    report::print(&[Measure {
        benchmark: "fan-out",
        unit: "deliveries created a second",
        ours: median(ours),
        peers: Vec::new(),
        limit: Some((format!("bare inserts, PostgreSQL {version}"), median(bare))),
        bar: 0.5,
    }])
}

fn batches(batch: i64) -> i64 {
    SCHEDULES / batch + i64::from(SCHEDULES % batch != 0)
}

/// A catalogue in which every schedule is due.
async fn fill(pool: &PgPool, now: DateTime<Utc>) {
    execute(
        pool,
        &format!(
            "insert into users (username, email, password, full_name, status)
             values ('owner', 'owner@label.example', '-', 'Nordlicht Records', 'active');
             insert into distribution_platforms (name, delivery_method, api_endpoint)
             select 'Platform ' || number, 'sftp', 'sftp://127.0.0.1:1/incoming'
             from generate_series(1, {PLATFORMS}) as number;
             insert into releases (user_id, title, type, release_date, upc, artist_names, status)
             select users.id, 'Single ' || number, 'single', '2026-05-01',
                 lpad(number::text, 12, '0'), 'Ada Quell', 'approved'
             from users, generate_series(1, {SCHEDULES}) as number;
             insert into scheduled_distributions (release_id, user_id, scheduled_date, platform_ids)
             select id, user_id, '{}'::timestamp - id * interval '1 second',
                 (select array_agg(id order by id) from distribution_platforms)
             from releases;",
            now.naive_utc()
        ),
    )
    .await;
}

/// Fans out once, keeps what came of it in tables for each batch, and undoes it.
async fn stage(pool: &PgPool, batch: i64, now: DateTime<Utc>) {
    execute(
        pool,
        "create schema staging;
         create table staging.due as
         select *, (row_number() over (order by scheduled_date, id) - 1) as place
         from scheduled_distributions;",
    )
    .await;
    while fan_out_due(pool, batch, now).await.unwrap().schedules > 0 {}
    for number in 0..batches(batch) {
        let first = number * batch;
        let last = first + batch - 1;
        execute(
            pool,
            &format!(
                "create table staging.schedules_{number} as
                 select s.* from scheduled_distributions s join staging.due using (id)
                 where place between {first} and {last};
                 create table staging.targets_{number} as
                 select * from worker.schedule_targets
                 where schedule_id in (select id from staging.schedules_{number});
                 create table staging.deliveries_{number} as
                 select * from worker.deliveries
                 where id in (select delivery_id from staging.targets_{number});
                 create table staging.records_{number} as
                 select * from distribution_records
                 where id in (select record_id from staging.deliveries_{number});
                 create table staging.jobs_{number} as
                 select * from worker.jobs
                 where (arguments ->> 'delivery')::uuid in (select id from staging.deliveries_{number});"
            ),
        )
        .await;
    }
    execute(
        pool,
        "truncate distribution_records, scheduled_distributions, worker.deliveries, worker.jobs,
             worker.schedule_targets cascade;
         alter table staging.due drop column place;
         insert into scheduled_distributions select * from staging.due;",
    )
    .await;
}

/// One batch as bare as it can be: the same rows in the same tables, in one transaction.
async fn insert_bare(pool: &PgPool, number: i64) {
    let mut tx = pool.begin().await.unwrap();
    for statement in [
        format!("insert into distribution_records select * from staging.records_{number}"),
        format!("insert into worker.deliveries select * from staging.deliveries_{number}"),
        format!("insert into worker.schedule_targets select * from staging.targets_{number}"),
        format!("insert into worker.jobs select * from staging.jobs_{number}"),
        format!(
            "update scheduled_distributions s
             set status = fanned_out.status, updated_at = fanned_out.updated_at,
                 completed_platform_ids = fanned_out.completed_platform_ids,
                 failed_platforms = fanned_out.failed_platforms
             from staging.schedules_{number} fanned_out where s.id = fanned_out.id"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

/// A copied database is written to disk first, so that nobody pays for the copy.
async fn settle(pool: &PgPool, has_statistics: bool) {
    if has_statistics {
        execute(pool, "analyze").await;
    }
    execute(pool, "checkpoint").await;
}

/// Both ways must have done all of it, or they cannot be compared.
async fn verify(pool: &PgPool) {
    let counted: (i64, i64, i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from distribution_records where status = 'pending'),
             (select count(*) from worker.deliveries d join distribution_records r
                 on r.id = d.record_id and r.release_id = d.release_id
                 and r.platform_id = d.platform_id),
             (select count(*) from worker.jobs j join worker.deliveries d
                 on j.queue = 'deliver/' || d.platform_id
                 and j.arguments ->> 'delivery' = d.id::text),
             (select count(*) from worker.schedule_targets t join worker.deliveries d
                 on d.id = t.delivery_id),
             (select count(*) from scheduled_distributions where status = 'processing')",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(
        counted,
        (DELIVERIES, DELIVERIES, DELIVERIES, DELIVERIES, SCHEDULES)
    );
}

async fn execute(pool: &PgPool, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}
