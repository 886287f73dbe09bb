//! A platform where nobody answers, with a long backlog, beside others that are well.

use std::time::Duration;

use jobs::{queue::circuit::CircuitPolicy, schedule::fan_out_due};
use test_support::catalogue;

use super::harness::{DEAD, World, until};

const BACKLOG: i32 = 2000;
const HEALTHY: i64 = 4;
const EACH: i64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_for_a_dead_platform_costs_the_others_nothing() {
    let mut world = World::new().await;
    world.circuit = CircuitPolicy {
        cool_down_s: 3600,
        max_cool_down_s: 3600,
        ..CircuitPolicy::default()
    };
    let pool = world.pool().clone();
    let dead = catalogue::platform(&pool, DEAD).await;
    let mut healthy = Vec::new();
    for number in 0..HEALTHY {
        healthy.push(catalogue::platform(&pool, &format!("Healthy {number}")).await);
    }
    let releases = catalogue::singles(&pool, world.assets.path(), BACKLOG).await;
    // The backlog has waited longer than what the others wait for.
    catalogue::schedule_spread(&pool, &releases, &[dead], Duration::ZERO).await;
    let few = &releases[..usize::try_from(EACH).unwrap()];
    catalogue::schedule_spread(&pool, few, &healthy, Duration::ZERO).await;
    let now = (world.clock)();
    while fan_out_due(&pool, 1000, now).await.unwrap().schedules > 0 {}

    world.start();
    until(|| async {
        let accepted: i64 =
            sqlx::query_scalar("select count(*) from worker.deliveries where state = 'accepted'")
                .fetch_one(&pool)
                .await
                .unwrap();
        (accepted == HEALTHY * EACH).then_some(())
    })
    .await;
    world.stop().await;
    let (waiting, attempts): (i64, i64) = sqlx::query_as(
        "select (select count(*) from worker.deliveries
                 where platform_id = $1 and state in ('queued', 'retrying')),
                (select count(*) from worker.attempts a join worker.deliveries d on d.id = a.delivery_id
                 where d.platform_id = $1)",
    )
    .bind(dead)
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(
        waiting,
        i64::from(BACKLOG),
        "all of the backlog still waits"
    );
    // Five faults open the circuit, and three more were under way beside the fifth.
    assert!((1..=8).contains(&attempts), "{attempts} attempts");
    let unserved: i64 = sqlx::query_scalar(
        "select count(*) from scheduled_distributions
         where not platform_ids @> array[$1] and status <> 'completed'",
    )
    .bind(dead)
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(unserved, 0);
}
