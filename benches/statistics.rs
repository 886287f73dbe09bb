//! Daily statistics, in processor time of PostgreSQL: a million rows of usage of 10,000 users on one
//! day, held against the one statement that writes the same totals and breakdowns; 100 changed users;
//! and what the triggers cost a bulk COPY.
//!
//! The bare statement has no marks to take, no rows to look for, no lock, no trends, no fingerprints.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod catalogue;
mod report;

use std::{process::ExitCode, time::Duration};

use catalogue::{ROWS, USERS, copy, csv, execute, fill, settle, use_tracks};
use chrono::{DateTime, Utc};
use jobs::statistics::{Settings, recompute};
use report::{Measure, median, processor::Server};
use sqlx::PgPool;
use test_support::TestDatabase;

const ROUNDS: usize = 5;
/// Changes of 100 users in one round.
const CHANGES: u32 = 20;

/// One pass over the usage, as one would write it by hand.
const BARE: &str = "
    set jit = off; set work_mem = '64MB';
    with sums as (
        select t.user_id, a.date, a.track_id, t.release_id, a.platform_id,
            coalesce(a.territory, 'ZZ') as territory,
            grouping(a.track_id, t.release_id, a.platform_id, coalesce(a.territory, 'ZZ')) as kind,
            sum(a.streams) as streams, sum(a.downloads) as downloads, sum(a.revenue) as revenue
        from analytics a join tracks t on t.id = a.track_id
        where a.date = '2026-03-01'
        group by grouping sets ((t.user_id, a.date, a.track_id), (t.user_id, a.date, t.release_id),
            (t.user_id, a.date, a.platform_id),
            (t.user_id, a.date, coalesce(a.territory, 'ZZ')))
    ),
    entries as (
        select s.user_id, s.date, s.kind, s.streams, s.revenue,
            coalesce(s.track_id::text, s.release_id::text, s.platform_id::text, s.territory) as key,
            jsonb_build_object('name', coalesce(t.title, r.title, p.name), 'streams', s.streams,
                'downloads', s.downloads, 'revenue', s.revenue::text) as entry
        from sums s
        left join tracks t on t.id = s.track_id
        left join releases r on r.id = s.release_id
        left join distribution_platforms p on p.id = s.platform_id
    )
    insert into daily_stats (user_id, date, total_streams, total_revenue, platform_breakdown,
        territory_breakdown, track_performance, release_performance)
    select user_id, date, sum(streams) filter (where kind = 7), sum(revenue) filter (where kind = 7),
        jsonb_object_agg(key, entry) filter (where kind = 13),
        jsonb_object_agg(key, entry) filter (where kind = 14),
        jsonb_object_agg(key, entry) filter (where kind = 7),
        jsonb_object_agg(key, entry) filter (where kind = 11)
    from entries
    group by user_id, date";

const TRIGGERS: &str = "
    drop trigger worker_analytics_inserted on analytics;
    drop trigger worker_analytics_updated on analytics;
    drop trigger worker_analytics_deleted on analytics;
    drop trigger worker_analytics_truncated on analytics";

#[tokio::main]
async fn main() -> ExitCode {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let catalogue = TestDatabase::create().await;
    fill(catalogue.pool()).await;
    let used = catalogue.copy().await;
    use_tracks(used.pool(), 1).await;
    let usage = csv(
        used.pool(),
        &format!("select {} from analytics", catalogue::COLUMNS),
    )
    .await;

    let (mut ours, mut bare, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut watched, mut unwatched) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let database = used.copy().await;
        settle(database.pool()).await;
        let all = compute(database.pool(), now).await;
        ours.push(rate(USERS, all));
        let few = change(database.pool(), now).await;
        changed.push(few.as_secs_f64());

        let database = used.copy().await;
        settle(database.pool()).await;
        let pass = measured(database.pool(), execute(database.pool(), BARE)).await;
        verify(database.pool()).await;
        bare.push(rate(USERS, pass));

        let database = catalogue.copy().await;
        settle(database.pool()).await;
        let with = measured(database.pool(), copy(database.pool(), &usage)).await;
        watched.push(rate(ROWS, with));
        let database = catalogue.copy().await;
        execute(database.pool(), TRIGGERS).await;
        settle(database.pool()).await;
        let without = measured(database.pool(), copy(database.pool(), &usage)).await;
        unwatched.push(rate(ROWS, without));
        eprintln!(
            "statistics: round {round} of {ROUNDS}: {all:.2?}, bare {pass:.2?}; 100 users {few:.1?}; \
             COPY with triggers {with:.2?}, without {without:.2?} of processor time"
        );
    }
    let seconds = median(changed);
    report::print(&[
        Measure {
            benchmark: "statistics",
            unit: "user-days in a second of processor time, of a million rows",
            ours: median(ours),
            peers: Vec::new(),
            limit: Some(("the bare statement, in one pass".into(), median(bare))),
            bar: 1.0 / 1.3,
        },
        Measure {
            benchmark: "statistics, 100 changed users",
            unit: "times in ten seconds of processor time",
            ours: 10.0 / seconds,
            peers: Vec::new(),
            limit: Some(("in a tenth of a second each".into(), 100.0)),
            bar: 1.0,
        },
        Measure {
            benchmark: "statistics, triggers",
            unit: "rows in a second of processor time, by COPY into analytics",
            ours: median(watched),
            peers: Vec::new(),
            limit: Some(("without triggers".into(), median(unwatched))),
            bar: 1.0 / 1.25,
        },
    ])
}

fn rate(count: i64, used: Duration) -> f64 {
    count as f64 / used.as_secs_f64()
}

/// The processor time that the server used meanwhile.
async fn measured(pool: &PgPool, work: impl Future<Output = ()>) -> Duration {
    let server = Server::of(pool).await;
    let before = server.used();
    work.await;
    server.used() - before
}

/// Every user's day, marked as an import marks them.
async fn compute(pool: &PgPool, now: DateTime<Utc>) -> Duration {
    execute(
        pool,
        "insert into worker.dirty_days (date, user_id, source)
         select '2026-03-01', id, 'import' from users",
    )
    .await;
    let used = measured(pool, async {
        let written = recompute(pool, &Settings::default(), now).await.unwrap();
        assert_eq!(written.inserted, USERS);
    })
    .await;
    verify(pool).await;
    used
}

/// 100 users who have new figures: the mean of several times.
async fn change(pool: &PgPool, now: DateTime<Utc>) -> Duration {
    let mut used = Duration::ZERO;
    for number in 0..CHANGES {
        execute(
            pool,
            &format!(
                "update analytics set streams = streams + 1 where id in (
                     select max(a.id) from analytics a join tracks t on t.id = a.track_id
                     where t.user_id % 100 = {number} group by t.user_id)"
            ),
        )
        .await;
        used += measured(pool, async {
            let written = recompute(pool, &Settings::default(), now).await.unwrap();
            assert_eq!(written.updated, USERS / 100);
        })
        .await;
    }
    used / CHANGES
}

/// Both ways must have done all of it, or they cannot be compared.
async fn verify(pool: &PgPool) {
    let differences: i64 = sqlx::query_scalar(
        "select count(*) from (
             select t.user_id, sum(a.streams) as streams, sum(a.revenue) as revenue,
                 count(distinct a.track_id) as tracks, count(distinct a.platform_id) as platforms
             from analytics a join tracks t on t.id = a.track_id group by t.user_id
         ) u
         full join daily_stats s using (user_id)
         where (s.total_streams, s.total_revenue,
                 (select count(*) from jsonb_object_keys(s.track_performance)),
                 (select count(*) from jsonb_object_keys(s.platform_breakdown)))
             is distinct from (u.streams, u.revenue, u.tracks, u.platforms)",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(differences, 0);
}
