//! Calling off what is being sent: the handler is stopped, and the partner decides.

use std::sync::atomic::Ordering;

use chrono::Utc;
use jobs::{
    audit::By,
    delivery::{Heard, Operated, Operation, State, Word, acknowledge_by_operator},
};
use platform_adapters::Located;
use test_support::catalogue;
use uuid::Uuid;

use super::{audited, newest, operate};
use crate::deliveries::harness::{Asked, World, taken, until};

/// A world whose one delivery is being sent and does not come to an end.
async fn sending() -> (World, i32, Uuid) {
    let mut world = World::new().await;
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.partner.stalls.store(true, Ordering::Relaxed);
    world.start();
    until(|| async { (world.partner.deliveries() == 1).then_some(()) }).await;
    let id = newest(&world).await;
    (world, schedule, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_at_the_partner_means_canceled() {
    let (mut world, schedule, id) = sending().await;
    assert_eq!(
        operate(&world, id, Operation::Cancel).await,
        Operated::Stopping
    );
    // The partner never answers: only the stop of the handler leads on.
    world.until_delivery("canceled").await;
    assert_eq!(world.decided(schedule).await, "failed");
    world.stop().await;
    let asked = world.partner.asked.lock().unwrap().clone();
    assert!(
        matches!(asked.as_slice(), [Asked::Deliver { .. }, Asked::Locate(_)]),
        "{asked:?}"
    );
    let open: i64 = sqlx::query_scalar(
        "select count(*) from worker.jobs
         where kind <> 'notify' and state not in ('completed', 'canceled', 'dead')",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!(open, 0);
    let entry = &audited(&world, id).await[0];
    assert_eq!(entry.after.as_ref().unwrap()["cancel_requested"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_is_accepted_all_the_same() {
    let (mut world, schedule, id) = sending().await;
    world
        .partner
        .locate
        .lock()
        .unwrap()
        .push_back(Located::Complete(Box::new(taken())));
    assert_eq!(
        operate(&world, id, Operation::Cancel).await,
        Operated::Stopping
    );
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 1);
    assert_eq!(world.delivery("state").await.as_deref(), Some("accepted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_tell_an_operator_decides() {
    let (mut world, schedule, id) = sending().await;
    world
        .partner
        .locate
        .lock()
        .unwrap()
        .push_back(Located::CannotTell);
    assert_eq!(
        operate(&world, id, Operation::Cancel).await,
        Operated::Stopping
    );
    until(|| async {
        let code = world.delivery("state || ' ' || fault_code").await;
        (code.as_deref() == Some("unknown outcome_unknown")).then_some(())
    })
    .await;
    let remedy = world.delivery("fault_remedy").await.unwrap();
    assert!(remedy.contains("or --absent to call it off"), "{remedy}");
    let story = jobs::delivery::story(world.pool(), id).await.unwrap();
    assert!(story.unwrap().unknown.unwrap().is_called_off);
    let by = By::new("test", "their support says so").unwrap();
    let heard = acknowledge_by_operator(world.pool(), id, Word::Absent, &by, Utc::now()).await;
    assert_eq!(heard.unwrap(), Heard::Changed(State::Canceled));
    assert_eq!(world.decided(schedule).await, "failed");
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 1);
}
