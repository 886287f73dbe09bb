//! Operations on a selection and on a platform.

use std::sync::atomic::Ordering;

use chrono::Utc;
use jobs::{
    audit,
    delivery::{self, Operation, Selection, State},
};
use test_support::catalogue;

use super::{by, fan_out};
use crate::deliveries::harness::{World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_is_counted_and_bounded() {
    let world = World::new().await;
    let one = catalogue::platform(world.pool(), "One").await;
    let two = catalogue::platform(world.pool(), "Two").await;
    for number in 1..=3 {
        let release = world.release(number).await;
        catalogue::schedule(world.pool(), release, &[one, two]).await;
    }
    fan_out(&world).await;
    let now = Utc::now();
    let on_one = Selection {
        platform_id: Some(one),
        ..Selection::default()
    };
    let count = |selection: Selection, operation| {
        let pool = world.pool().clone();
        async move { delivery::count(&pool, &selection, operation).await.unwrap() }
    };
    assert_eq!(count(on_one.clone(), Operation::Hold).await, 3);
    assert_eq!(count(on_one.clone(), Operation::Release).await, 0);
    let tally = delivery::operate_all(world.pool(), &on_one, Operation::Hold, 2, &by(), now)
        .await
        .unwrap();
    assert_eq!((tally.changed, tally.refused.len()), (2, 0));
    let held = Selection {
        states: vec![State::Held],
        ..Selection::default()
    };
    assert_eq!(count(held.clone(), Operation::Cancel).await, 2);
    let older = Selection {
        created_before: Some(now - chrono::TimeDelta::hours(1)),
        ..held.clone()
    };
    assert_eq!(count(older, Operation::Cancel).await, 0);
    let tally = delivery::operate_all(world.pool(), &held, Operation::Cancel, 100, &by(), now)
        .await
        .unwrap();
    assert_eq!(tally.changed, 2);
    let left: i64 =
        sqlx::query_scalar("select count(*) from worker.deliveries where state = 'queued'")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(left, 4);
    let entries = audit::list(world.pool(), None, 100).await.unwrap();
    assert_eq!(entries.len(), 4, "a row for every change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_platform_finishes_what_runs_and_begins_nothing() {
    let mut world = World::new().await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let elsewhere = catalogue::platform(world.pool(), "Elsewhere").await;
    let first = world.release(1).await;
    let running = catalogue::schedule(world.pool(), first, &[platform]).await;
    world.partner.stalls.store(true, Ordering::Relaxed);
    world.start();
    until(|| async { (world.partner.deliveries() == 1).then_some(()) }).await;

    let mut conn = world.pool().acquire().await.unwrap();
    let paused = delivery::pause_platform(&mut conn, platform, &by(), Utc::now())
        .await
        .unwrap();
    assert_eq!((paused.was_paused, paused.running), (false, 1));
    let second = world.release(2).await;
    let waiting = catalogue::schedule(world.pool(), second, &[platform]).await;
    let free = catalogue::schedule(world.pool(), second, &[elsewhere]).await;
    world.partner.stalls.store(false, Ordering::Relaxed);
    assert_eq!(world.decided(running).await, "completed");
    assert_eq!(world.decided(free).await, "completed");
    world.until_delivery_of(elsewhere, "accepted").await;
    assert_eq!(
        world.partner.deliveries(),
        2,
        "the paused platform's second release waits"
    );

    let resumed = delivery::resume_platform(&mut conn, platform, &by(), Utc::now())
        .await
        .unwrap();
    assert!(resumed.was_paused);
    drop(conn);
    assert_eq!(world.decided(waiting).await, "completed");
    world.stop().await;
    let entries = audit::list(world.pool(), Some(("platform", &platform.to_string())), 10)
        .await
        .unwrap();
    let actions: Vec<&str> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["platform.resume", "platform.pause"]);
    assert_eq!(entries[0].before.as_ref().unwrap()["reason"], "because");
}
