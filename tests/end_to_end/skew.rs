//! From one release to the next: a database as the schema before this one had it, with work under
//! way, is migrated, and what waited there is delivered. Whether the release before this one can go
//! on running on the new schema is looked at by `scripts/check-skew`.

use platform_adapters::sandbox::Misbehaviours;
use sqlx::{migrate::Migrator, raw_sql};
use test_support::TestDatabase;
use uuid::Uuid;

use super::site::{Site, assert_received_once};

const SEED: &str = include_str!("../../migrations/public/seed.sql");
const DIAGRAM: &str = include_str!("../../migrations/public/diagram.sql");

/// A site whose database lacks the last migration, and that one's number and name.
async fn of_the_schema_before() -> (Site, String) {
    let database = TestDatabase::empty().await;
    for sql in [SEED, DIAGRAM] {
        raw_sql(sql).execute(database.pool()).await.unwrap();
    }
    let all = sqlx::migrate!("migrations/worker");
    let mut earlier: Vec<_> = all.iter().cloned().collect();
    let last = earlier.pop().unwrap();
    let mut migrator = Migrator::with_migrations(earlier);
    migrator.dangerous_set_table_name("worker.migrations");
    migrator.create_schema("worker");
    migrator.run(database.pool()).await.unwrap();
    let name = format!("{:04} {}", last.version, last.description);
    (Site::with(database).await, name)
}

/// A delivery as a daemon that is gone left it: in this state, with its job, its record and what waits
/// for it.
async fn left(site: &Site, release: i32, platform: i32, state: &str) -> Uuid {
    let schedule = site.schedule(release, &[platform]).await;
    let record: i32 = sqlx::query_scalar(
        "insert into distribution_records (release_id, platform_id, status)
         values ($1, $2, case $3 when 'accepted' then 'distributed' else 'processing' end::distribution_status)
         returning id",
    )
    .bind(release)
    .bind(platform)
    .bind(state)
    .fetch_one(site.pool())
    .await
    .unwrap();
    let delivery = Uuid::now_v7();
    let script = "with delivery as (
            insert into worker.deliveries (id, release_id, platform_id, record_id, kind, revision, state,
                release_title, platform_name, method, attempts, started_at, decided_at, receipt)
            select $1, $2, $3, $4, 'insert', 1, $5, 'Single', 'Fjordwave', 'api',
                case $5 when 'queued' then 0 else 1 end, case $5 when 'queued' then null else now() end,
                case $5 when 'accepted' then now() end,
                case $5 when 'accepted' then '{\"confirmed\": \"201 Created\"}'::jsonb end
            returning id, state
        ), job as (
            insert into worker.jobs (id, queue, kind, arguments, state, run_at, attempt, max_attempts,
                lease_token, lease_expires_at, worker, attempt_id, unique_key, finished_at)
            select worker.uuid_v7(), 'deliver/' || $3, 'deliver', jsonb_build_object('delivery', id),
                case state when 'queued' then 'available' when 'sending' then 'running' else 'completed' end,
                now(), case state when 'queued' then 0 else 1 end, 100,
                case state when 'sending' then worker.uuid_v7() end,
                case state when 'sending' then now() end, 'gone', case state when 'sending' then $1 end,
                'deliver/' || id, case state when 'accepted' then now() end
            from delivery returning id, state
        ), attempt as (
            insert into worker.attempts (id, job_id, delivery_id, number, started_at, ended_at, outcome, worker)
            select $1, id, $1, 1, now(), case state when 'completed' then now() end,
                case state when 'completed' then 'completed' end, 'gone'
            from job where state <> 'available'
        ), target as (
            insert into worker.schedule_targets (schedule_id, platform_id, delivery_id, state)
            select $6, $3, id, case state when 'accepted' then 'completed' else 'open' end from delivery
        )
        update scheduled_distributions
        set status = case $5 when 'accepted' then 'completed' else 'processing' end,
            completed_platform_ids = case $5 when 'accepted' then array[$3] else '{}' end
        where id = $6";
    sqlx::query(script)
        .bind(delivery)
        .bind(release)
        .bind(platform)
        .bind(record)
        .bind(state)
        .bind(schedule)
        .execute(site.pool())
        .await
        .unwrap();
    delivery
}

#[tokio::test(flavor = "multi_thread")]
async fn work_under_way_outlives_an_update_of_the_schema() {
    let (site, last) = of_the_schema_before().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let platform = site.api_platform("Fjordwave", partner.url()).await;
    let mut deliveries = Vec::new();
    for (number, state) in (1..).zip(["queued", "sending", "accepted"]) {
        let release = site.release(number).await;
        deliveries.push(left(&site, release, platform, state).await);
    }
    let refused = site.cli(&["run"]).await;
    refused.expect(78, &[&last, "run `tunemantra-worker migrate`"]);
    let migrated = site.cli(&["migrate"]).await;
    migrated.expect(0, &[&format!("worker: applied {last}")]);

    let daemon = site.daemon("daemon.log");
    site.until_accepted(3).await;
    site.stop(daemon).await;
    // What was accepted before is not sent.
    assert_received_once(partner.ledger(), 2);
    let schedules: Vec<String> =
        sqlx::query_scalar("select distinct status from scheduled_distributions")
            .fetch_all(site.pool())
            .await
            .unwrap();
    assert_eq!(schedules, ["completed"]);
    let confirmed: String =
        sqlx::query_scalar("select receipt->>'confirmed' from worker.deliveries where id = $1")
            .bind(deliveries[2])
            .fetch_one(site.pool())
            .await
            .unwrap();
    assert_eq!(confirmed, "201 Created");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_and_doubles_nothing() {
    let site = Site::new().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let platform = site.api_platform("Fjordwave", partner.url()).await;
    const RELEASES: u32 = 40;
    let mut daemons = vec![site.daemon("daemon-0.log"), site.daemon("daemon-1.log")];
    for daemon in &daemons {
        daemon.says("queue started").await;
    }
    site.scheduled(1..RELEASES + 1, &[platform]).await;
    // One after the other, while the other works, twice around.
    for number in 2..6 {
        let old = daemons.remove(0);
        site.stop(old).await;
        let new = site.daemon(&format!("daemon-{number}.log"));
        new.says("queue started").await;
        daemons.push(new);
    }
    site.until_accepted(i64::from(RELEASES)).await;
    for daemon in daemons {
        site.stop(daemon).await;
    }
    assert_received_once(partner.ledger(), RELEASES as usize);
    let beyond_one: i64 =
        sqlx::query_scalar("select count(*) from worker.deliveries where attempts <> 1")
            .fetch_one(site.pool())
            .await
            .unwrap();
    assert_eq!(beyond_one, 0, "a restart in order costs no attempt");
}
