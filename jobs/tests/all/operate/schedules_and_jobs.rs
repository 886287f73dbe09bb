//! Operations on schedules and on dead jobs.

use chrono::Utc;
use jobs::{
    audit, dead,
    delivery::State,
    queue::{self, DeadFilter},
    schedule::{self, Rescheduled},
};
use platform_adapters::{Code, Fault};
use test_support::catalogue;
use uuid::Uuid;

use super::{by, fan_out};
use crate::deliveries::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_called_off_or_run_now_until_it_is_taken_up() {
    let world = World::new().await;
    let pool = world.pool();
    let release = world.release(1).await;
    let platform = catalogue::platform(pool, "Nordlys").await;
    let off = catalogue::schedule(pool, release, &[platform]).await;
    let early = catalogue::schedule(pool, release, &[platform]).await;
    sqlx::query("update scheduled_distributions set scheduled_date = now() + interval '1 year'")
        .execute(pool)
        .await
        .unwrap();
    let now = Utc::now();
    assert_eq!(
        schedule::cancel(pool, off, None, &by(), now).await.unwrap(),
        Rescheduled::Done
    );
    assert_eq!(
        schedule::run_now(pool, off, None, &by(), now)
            .await
            .unwrap(),
        Rescheduled::TakenUp("canceled".into())
    );
    assert_eq!(
        schedule::run_now(pool, early, None, &by(), now)
            .await
            .unwrap(),
        Rescheduled::Done
    );
    assert_eq!(
        schedule::cancel(pool, 4711, None, &by(), now)
            .await
            .unwrap(),
        Rescheduled::Missing
    );
    fan_out(&world).await;
    assert_eq!(
        schedule::cancel(pool, early, None, &by(), now)
            .await
            .unwrap(),
        Rescheduled::TakenUp("processing".into())
    );
    let filter = schedule::ListFilter {
        status: Some("processing".into()),
        limit: 10,
        ..schedule::ListFilter::default()
    };
    let listed = schedule::list(pool, &filter).await.unwrap();
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [early]);
    let entries = audit::list(pool, None, 10).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].action, "schedule.run_now");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_jobs_get_their_attempts_back() {
    let world = World::new().await;
    let pool = world.pool();
    let job: Uuid = sqlx::query_scalar(
        "insert into worker.jobs (id, queue, kind, arguments, state, run_at, attempt, max_attempts,
             crashes, unique_key, fault_code, finished_at)
         values (worker.uuid_v7(), 'q', 'k', '{}', 'dead', now(), 3, 3, 1, 'key', 'panicked', now())
         returning id",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    let filter = DeadFilter {
        kind: Some("k".into()),
        queue: None,
        limit: 10,
    };
    assert_eq!(queue::dead(pool, &filter).await.unwrap().len(), 1);
    let other = DeadFilter {
        kind: Some("other".into()),
        ..filter.clone()
    };
    assert!(queue::dead(pool, &other).await.unwrap().is_empty());
    let listed = queue::dead(pool, &filter).await.unwrap();
    let tally = dead::retry(pool, &listed, &by(), Utc::now()).await.unwrap();
    assert_eq!((tally.changed, tally.refused.len()), (1, 0));
    let again = dead::retry(pool, &listed, &by(), Utc::now()).await.unwrap();
    assert_eq!(
        (again.changed, again.refused.len()),
        (0, 1),
        "it is not dead any more"
    );
    let (state, attempt, crashes): (String, i16, i16) =
        sqlx::query_as("select state, attempt, crashes from worker.jobs")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!((state.as_str(), attempt, crashes), ("available", 0, 0));
    let entries = audit::list(pool, Some(("job", &job.to_string())), 10)
        .await
        .unwrap();
    assert_eq!(entries[0].before.as_ref().unwrap()["fault"], "panicked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_job_of_a_delivery_is_retried_through_the_delivery() {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    let refused = Fault::new(Code::Unsupported, "no such thing");
    world
        .partner
        .deliver
        .lock()
        .unwrap()
        .push_back(Err(refused));
    world.start();
    assert_eq!(world.decided(schedule).await, "failed");
    let filter = DeadFilter {
        kind: Some("deliver".into()),
        limit: 10,
        ..DeadFilter::default()
    };
    let listed = queue::dead(world.pool(), &filter).await.unwrap();
    assert_eq!(listed[0].fault_code.as_deref(), Some("unsupported"));
    let tally = dead::retry(world.pool(), &listed, &by(), Utc::now())
        .await
        .unwrap();
    assert_eq!(tally.changed, 1);
    world.until_delivery(State::Accepted.as_str()).await;
    assert!(queue::dead(world.pool(), &filter).await.unwrap().is_empty());
    let again = dead::retry(world.pool(), &listed, &by(), Utc::now())
        .await
        .unwrap();
    world.stop().await;
    assert_eq!(
        (again.changed, again.refused.len()),
        (0, 1),
        "what went on is not sent once more"
    );
    assert_eq!(world.partner.deliveries(), 2);
}
