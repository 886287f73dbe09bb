//! The fan-out: what a due schedule becomes, and that it becomes it once.

use chrono::Utc;
use jobs::schedule::{FannedOut, fan_out_due};
use test_support::{TestDatabase, catalogue};

#[tokio::test(flavor = "multi_thread")]
async fn many_daemons_make_one_delivery_of_each() {
    let database = TestDatabase::create().await;
    let assets = tempfile::tempdir().unwrap();
    let pool = database.pool();
    let platforms = [
        catalogue::platform(pool, "One").await,
        catalogue::platform(pool, "Two").await,
    ];
    for number in 0..40 {
        let release = catalogue::release(pool, assets.path(), number).await;
        catalogue::schedule(pool, release, &platforms).await;
        // The same release and platform again, at the same time.
        catalogue::schedule(pool, release, &platforms[..1]).await;
    }
    let workers = (0..6).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let mut sum = FannedOut::default();
            loop {
                let counted = fan_out_due(&pool, 7, Utc::now()).await.unwrap();
                if counted.schedules == 0 {
                    return sum;
                }
                sum.schedules += counted.schedules;
                sum.deliveries += counted.deliveries;
            }
        })
    });
    let mut sum = FannedOut::default();
    for worker in workers.collect::<Vec<_>>() {
        let counted = worker.await.unwrap();
        sum.schedules += counted.schedules;
        sum.deliveries += counted.deliveries;
    }
    assert_eq!(
        sum,
        FannedOut {
            schedules: 80,
            deliveries: 80,
            refused: 0
        }
    );
    let (records, deliveries, jobs, targets): (i64, i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from distribution_records), (select count(*) from worker.deliveries),
                (select count(*) from worker.jobs), (select count(*) from worker.schedule_targets)",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!((records, deliveries, jobs, targets), (80, 80, 80, 120));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_due_is_taken() {
    let database = TestDatabase::create().await;
    let assets = tempfile::tempdir().unwrap();
    let pool = database.pool();
    let platform = catalogue::platform(pool, "One").await;
    let release = catalogue::release(pool, assets.path(), 1).await;
    for (status, hours) in [
        ("pending", 1),
        ("completed", -1),
        ("processing", -1),
        ("scheduled", 1),
    ] {
        let schedule = catalogue::schedule(pool, release, &[platform]).await;
        sqlx::query(
            "update scheduled_distributions set status = $2, scheduled_date = now() + $3 * interval '1 hour'
             where id = $1",
        )
        .bind(schedule)
        .bind(status)
        .bind(hours)
        .execute(pool)
        .await
        .unwrap();
    }
    let now = Utc::now();
    assert_eq!(
        fan_out_due(pool, 10, now).await.unwrap(),
        FannedOut::default()
    );
    let later = now + chrono::TimeDelta::hours(2);
    assert_eq!(
        fan_out_due(pool, 10, later).await.unwrap(),
        FannedOut {
            schedules: 2,
            deliveries: 1,
            refused: 0
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn back_catalogue_waits_for_what_is_new() {
    let database = TestDatabase::create().await;
    let assets = tempfile::tempdir().unwrap();
    let pool = database.pool();
    let platform = catalogue::platform(pool, "One").await;
    let now = Utc::now();
    for (number, days) in [(1, 31), (2, -20)] {
        let release = catalogue::release(pool, assets.path(), number).await;
        sqlx::query("update releases set release_date = $2 where id = $1")
            .bind(release)
            .bind((now - chrono::TimeDelta::days(days)).naive_utc())
            .execute(pool)
            .await
            .unwrap();
        catalogue::schedule(pool, release, &[platform]).await;
    }
    fan_out_due(pool, 10, now).await.unwrap();
    let priorities: Vec<i16> = sqlx::query_scalar(
        "select j.priority from worker.jobs j
         join worker.deliveries d on 'deliver/' || d.id = j.unique_key order by d.release_id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert_eq!(
        priorities,
        [
            jobs::delivery::PRIORITY_BACKFILL,
            jobs::delivery::PRIORITY_INSERT
        ]
    );
}
