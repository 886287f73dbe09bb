//! What goes wrong on the way, and what follows.

use std::time::Duration;

use platform_adapters::{Code, Fault, Located};
use test_support::catalogue;

use super::harness::{Asked, World, taken, until};

async fn one(world: &World) -> (i32, i32) {
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    (
        platform,
        catalogue::schedule(world.pool(), release, &[platform]).await,
    )
}

fn script(world: &World, faults: &[Code]) {
    let mut deliver = world.partner.deliver.lock().unwrap();
    deliver.extend(faults.iter().map(|code| Err(Fault::new(*code, "as told"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_is_tried_again_under_the_same_names() {
    let mut world = World::new().await;
    let (_, schedule) = one(&world).await;
    script(&world, &[Code::ConnectionLost, Code::PartnerError]);
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    let asked = world.partner.asked.lock().unwrap().clone();
    let sent: Vec<_> = asked
        .iter()
        .filter(|a| matches!(a, Asked::Deliver { .. }))
        .collect();
    assert_eq!(sent.len(), 3);
    assert!(sent.windows(2).all(|pair| pair[0] == pair[1]), "{sent:?}");
    assert_eq!(world.delivery("attempts").await.as_deref(), Some("3"));
    assert_eq!(
        world.delivery("fault_code").await,
        None,
        "what passed is no fault any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_already_lies_at_the_partner_is_not_sent_again() {
    let mut world = World::new().await;
    let (_, schedule) = one(&world).await;
    script(&world, &[Code::OutcomeUnknown]);
    world
        .partner
        .locate
        .lock()
        .unwrap()
        .push_back(Located::Complete(Box::new(taken())));
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_end() {
    let mut world = World::new().await;
    let (_, schedule) = one(&world).await;
    script(&world, &[Code::TimedOut; 5]);
    world.start();
    assert_eq!(world.decided(schedule).await, "failed");
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 3, "the policy's max_attempts");
    assert_eq!(world.record("status").await.as_deref(), Some("failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn patience_does_not_count() {
    let mut world = World::new().await;
    let (_, schedule) = one(&world).await;
    {
        let mut deliver = world.partner.deliver.lock().unwrap();
        for _ in 0..4 {
            let asked = Some(Duration::from_secs(0));
            deliver.push_back(Err(
                Fault::new(Code::Throttled, "slow down").with_retry_after(asked)
            ));
        }
    }
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(world.delivery("attempts").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_hold_the_platform_until_it_is_resumed() {
    let mut world = World::new().await;
    let (platform, schedule) = one(&world).await;
    script(&world, &[Code::HostKeyChanged]);
    world.start();
    world.until_delivery("held").await;
    assert_eq!(world.record("status").await.as_deref(), Some("processing"));
    let error = world.record("error_details").await.unwrap();
    assert!(
        error.contains("Ask the partner whether it changed its host key"),
        "{error}"
    );

    // Another release for the platform is not even tried; one for another platform is.
    let other = world.release(2).await;
    let elsewhere = catalogue::platform(world.pool(), "Elsewhere").await;
    let waiting = catalogue::schedule(world.pool(), other, &[platform]).await;
    let free = catalogue::schedule(world.pool(), other, &[elsewhere]).await;
    assert_eq!(world.decided(free).await, "completed");
    assert_eq!(world.partner.deliveries(), 2);

    let mut conn = world.pool().acquire().await.unwrap();
    let now = chrono::Utc::now();
    let by = jobs::audit::By::new("test", "host key pinned anew").unwrap();
    let resumed = jobs::delivery::resume_platform(&mut conn, platform, &by, now)
        .await
        .unwrap();
    assert!(resumed.was_paused);
    assert_eq!(resumed.released, 1);
    drop(conn);
    assert_eq!(world.decided(schedule).await, "completed");
    assert_eq!(world.decided(waiting).await, "completed");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_daemon_gives_back_and_the_next_goes_on() {
    let mut world = World::new().await;
    let (_, schedule) = one(&world).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    let left: i64 = sqlx::query_scalar("select count(*) from worker.jobs where state = 'running'")
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_died_costs_no_attempt_and_the_partner_is_looked_at_first() {
    let mut world = World::new().await;
    let (_, schedule) = one(&world).await;
    // As a daemon leaves things that was killed while it sent.
    jobs::schedule::fan_out_due(world.pool(), 10, chrono::Utc::now())
        .await
        .unwrap();
    sqlx::query(
        "with job as (update worker.jobs set state = 'running', lease_token = gen_random_uuid(),
             lease_expires_at = now() - interval '1 second', worker = 'dead', attempt = 1,
             attempt_id = gen_random_uuid() returning id)
         update worker.deliveries set state = 'sending', attempts = 1, started_at = now()",
    )
    .execute(world.pool())
    .await
    .unwrap();
    world
        .partner
        .locate
        .lock()
        .unwrap()
        .push_back(Located::Complete(Box::new(taken())));
    world.start();
    until(|| async {
        let state = world.delivery("state").await;
        (state.as_deref() != Some("sending")).then_some(())
    })
    .await;
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 0);
    assert_eq!(world.delivery("attempts").await.as_deref(), Some("1"));
}
