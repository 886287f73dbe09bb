//! The outbox itself: what is told, and that nothing of it is lost or told twice under two ids.

use super::servers::{Receiver, distribute, is_marked, settled, world};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_recorded_is_sent_again_under_the_same_id() {
    let receiver = Receiver::start(&[]).await;
    let mut world = world().await;
    world.notifications.webhooks = vec![receiver.webhook("ops")];
    // The database goes away between the answer of the receiver and its record, as it does for a
    // worker that is killed there; a sequence remembers through the rollback.
    sqlx::raw_sql(
        "create sequence refusals;
         create function refuse() returns trigger language plpgsql as $$ begin
             if nextval('refusals') <= 2 then raise exception 'gone'; end if;
             return new;
         end $$;
         create trigger refuse before insert on worker.notification_sends
             for each row execute function refuse();",
    )
    .execute(world.pool())
    .await
    .unwrap();
    let schedule = distribute(&mut world).await;
    assert_eq!(
        settled(world.pool(), "schedule.completed").await,
        "delivered"
    );
    assert!(is_marked(world.pool(), schedule).await);
    world.stop().await;
    let requests = receiver.requests();
    let ids: Vec<_> = requests
        .iter()
        .map(|one| &one.headers["webhook-id"])
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_channel_nobody_is_told_and_nothing_says_so() {
    let mut world = world().await;
    let schedule = distribute(&mut world).await;
    assert_eq!(
        settled(world.pool(), "schedule.completed").await,
        "unaddressed"
    );
    assert!(!is_marked(world.pool(), schedule).await);
    world.stop().await;
    let left: i64 = sqlx::query_scalar(
        "select count(*) from worker.jobs where finished_at is null or kind = 'notify'",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!(left, 0, "what nobody wants takes no job");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rolled_back_was_never_told() {
    let mut world = world().await;
    let schedule = distribute(&mut world).await;
    world.stop().await;
    let notice = jobs::notification::Notice {
        event: jobs::notification::Event::PlatformPaused,
        subject: "platform/1".into(),
        payload: serde_json::json!({}),
        once: Some("once".into()),
    };
    let now = chrono::Utc::now();
    let count = || async {
        sqlx::query_scalar::<_, i64>(
            "select count(*) from worker.notifications n
             join worker.jobs j on j.arguments->>'notification' = n.id::text
             where event = 'platform.paused'",
        )
        .fetch_one(world.pool())
        .await
        .unwrap()
    };
    for (commits, expected) in [(false, 0), (true, 1), (true, 1)] {
        let mut tx = world.pool().begin().await.unwrap();
        jobs::notification::raise(&mut tx, std::slice::from_ref(&notice), now)
            .await
            .unwrap();
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        assert_eq!(count().await, expected);
    }
    assert!(schedule > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_refused_at_once_is_told_too() {
    let receiver = Receiver::start(&[]).await;
    let mut world = world().await;
    world.notifications.webhooks = vec![receiver.webhook("ops")];
    let release = world.release(1).await;
    let nowhere = test_support::catalogue::schedule(world.pool(), release, &[4711]).await;
    world.start();
    assert_eq!(world.decided(nowhere).await, "failed");
    assert_eq!(settled(world.pool(), "schedule.failed").await, "delivered");
    assert!(is_marked(world.pool(), nowhere).await);
    world.stop().await;
    assert!(
        receiver.requests()[0]
            .body
            .contains("there is no platform 4711")
    );
}
