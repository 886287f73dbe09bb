//! What those who watch are told beside deliveries: each change under its topic, and under no other.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::overview::{self, Topic};
use sqlx::PgPool;
use test_support::{TestDatabase, catalogue};

/// The topics that differ after a statement.
async fn told(pool: &PgPool, statement: &'static str, now: DateTime<Utc>) -> Vec<Topic> {
    let before = overview::marks(pool, now).await.unwrap();
    sqlx::raw_sql(statement).execute(pool).await.unwrap();
    let after = overview::marks(pool, now).await.unwrap();
    differing(&before, &after)
}

fn differing(before: &[i64], after: &[i64]) -> Vec<Topic> {
    let marks = before.iter().zip(after);
    let topics = Topic::ALL.into_iter().zip(marks);
    topics
        .filter_map(|(topic, (was, is))| (was != is).then_some(topic))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_told_under_its_topic() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let assets = tempfile::tempdir().unwrap();
    let platform = catalogue::platform(pool, "Nordlys").await;
    let release = catalogue::release(pool, assets.path(), 1).await;
    catalogue::schedule(pool, release, &[platform]).await;
    let now = Utc::now();
    let changes: [(&[Topic], &str); 22] = [
        (&[], "select 1"),
        (
            &[Topic::Platforms],
            "insert into worker.queues (name) values ('deliver/1')",
        ),
        (
            &[Topic::Platforms],
            "update worker.queues set paused_at = now(), paused_reason = 'they move'",
        ),
        (
            &[Topic::Platforms],
            "update worker.queues set circuit_opened_at = now(), circuit_probe_at = now() + interval '1 hour'",
        ),
        (
            &[Topic::Platforms],
            "update distribution_platforms set status = 'inactive'",
        ),
        // What was claimed of late changes with each delivery, and no page shows it.
        (&[], "update worker.queues set grants = '[[1, 2]]'"),
        (
            &[],
            "insert into worker.jobs (id, queue, kind, arguments, run_at, max_attempts)
             values (worker.uuid_v7(), 'deliver/1', 'deliver', '{}', now(), 5)",
        ),
        (
            &[Topic::Jobs],
            "with job as (
                 insert into worker.jobs (id, queue, kind, arguments, run_at, max_attempts)
                 values (worker.uuid_v7(), 'statistics', 'statistics', '{}', now(), 5) returning id
             )
             insert into worker.upkeep_jobs select id from job",
        ),
        (
            &[Topic::Jobs],
            "update worker.jobs set state = 'dead', finished_at = now() where queue = 'statistics'",
        ),
        (
            &[Topic::Schedules],
            "update scheduled_distributions set scheduled_date = scheduled_date + interval '1 day'",
        ),
        (
            &[Topic::Schedules],
            "update scheduled_distributions set status = 'canceled'",
        ),
        (
            &[Topic::Royalties],
            "insert into worker.royalty_runs (period, revision, currency, rules, created_at)
             values ('2026-10', 1, 'USD', '{}', now())",
        ),
        (
            &[Topic::Royalties],
            "insert into worker.royalty_progress
             select id, 'reading', 1, 10, now() from worker.royalty_runs",
        ),
        (
            &[Topic::Royalties],
            "update worker.royalty_progress set done = 2",
        ),
        (
            &[Topic::Statistics],
            "insert into worker.statistics_runs (kind, days_total, started_at, updated_at)
             values ('rebuild', 7, now(), now())",
        ),
        (
            &[Topic::Statistics],
            "update worker.statistics_runs set days_done = 3",
        ),
        (
            &[Topic::Cron],
            "insert into worker.cron_entries (name, expression, handled_until) values ('retention', '0 3 * * *', now())",
        ),
        (
            &[Topic::Cron],
            "insert into worker.cron_runs (name, tick, started_at) values ('retention', now(), now())",
        ),
        (
            &[Topic::Notifications],
            "insert into worker.notifications (event, subject, topic, payload, created_at)
             values ('delivery.failed', 'delivery/1', 'delivery.failed/1', '{}', now())",
        ),
        (
            &[Topic::Notifications],
            "update worker.notifications set state = 'failed', settled_at = now()",
        ),
        (
            &[Topic::Audit],
            "insert into worker.audit (at, actor, action, object_kind, object_id, reason)
             values (now(), 'cli:ada', 'platform.pause', 'platform', '1', 'they move')",
        ),
        (
            &[Topic::Workers],
            "insert into worker.daemons (name, version, host, process, started_at, seen_at)
             values ('1-a', '0.1.0', 'one', 1, now(), now())",
        ),
    ];
    for (topics, statement) in changes {
        assert_eq!(told(pool, statement, now).await, topics, "{statement}");
    }
    // What changes by the clock alone: a circuit that may be probed, a daemon that is silent.
    let before = overview::marks(pool, now).await.unwrap();
    let later = now + TimeDelta::hours(2);
    let after = overview::marks(pool, later).await.unwrap();
    assert_eq!(
        differing(&before, &after),
        [Topic::Platforms, Topic::Workers]
    );
}
