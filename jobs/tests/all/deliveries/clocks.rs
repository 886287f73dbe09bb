//! The clocks of a delivery that keeps failing: when operators are told, when it is given up, and
//! what a platform's settings say of both.

use platform_adapters::{Code, Fault};
use serde_json::{Value, json};
use test_support::catalogue;

use super::harness::World;

async fn failing(world: &World, retry: Value, faults: usize) -> i32 {
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    sqlx::query("update distribution_platforms set format_specs = $1")
        .bind(json!({ "retry": retry }))
        .execute(world.pool())
        .await
        .unwrap();
    {
        let mut deliver = world.partner.deliver.lock().unwrap();
        deliver.extend((0..faults).map(|_| Err(Fault::new(Code::TimedOut, "as told"))));
    }
    catalogue::schedule(world.pool(), release, &[platform]).await
}

async fn told(world: &World) -> Vec<String> {
    sqlx::query_scalar("select event from worker.notifications order by id")
        .fetch_all(world.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_told_once_of_what_keeps_failing() {
    let mut world = World::new().await;
    let schedule = failing(&world, json!({"notify_after_s": 0}), 2).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 3);
    assert_eq!(told(&world).await, ["delivery.late", "schedule.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_recovers_in_time_is_told_to_nobody() {
    let mut world = World::new().await;
    let schedule = failing(&world, json!({}), 2).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(told(&world).await, ["schedule.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_says_itself_how_long_is_tried() {
    let mut world = World::new().await;
    let schedule = failing(&world, json!({"give_up_after_s": 0}), 2).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "failed");
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 1);
    let (expired, code): (bool, String) =
        sqlx::query_as("select expires_at = started_at, fault_code from worker.deliveries")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!((expired, code.as_str()), (true, "timed_out"));
    let mut events = told(&world).await;
    events.sort();
    assert_eq!(events, ["delivery.failed", "schedule.failed"]);
}
