//! What operators see of the outbox and do about what did not arrive.

use chrono::{TimeDelta, Utc};
use jobs::{
    audit::{self, By},
    dead,
    notification::{self, Filter, Listed, Remedied, Remedy},
    queue::{self, DeadFilter},
    retention::{self, Mode, Policy},
};

use super::servers::{Receiver, distribute, is_marked, settled, world};
use crate::deliveries::harness::{World, until};

fn by() -> By {
    By::new("test", "because").unwrap()
}

async fn listed(world: &World, state: &str) -> Vec<Listed> {
    let filter = Filter {
        state: Some(state.into()),
        limit: 10,
        ..Filter::default()
    };
    notification::list(world.pool(), &filter).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_seen_and_sent_again_to_whoever_lacks_it() {
    let by = by();
    let gone = Receiver::start(&["410 Gone\r\n"]).await;
    let slow = Receiver::start(&["500 Oh\r\n", "500 Oh\r\n"]).await;
    let mut world = world().await;
    world.notifications.webhooks = vec![gone.webhook("gone"), slow.webhook("slow")];
    let schedule = distribute(&mut world).await;
    assert_eq!(settled(world.pool(), "schedule.completed").await, "failed");
    // Given up for one channel, it was tried for the other until it had it.
    assert_eq!((gone.requests().len(), slow.requests().len()), (1, 3));
    assert!(!is_marked(world.pool(), schedule).await);
    let failed = listed(&world, "failed").await;
    let [one] = failed.as_slice() else {
        panic!("{failed:?}");
    };
    assert_eq!(one.taken, 1);
    let problem = "webhook/gone: the receiver answered 410 Gone";
    assert_eq!(one.problems.as_deref(), Some(problem));
    let story = notification::story(world.pool(), one.id).await.unwrap();
    let story = story.unwrap();
    assert_eq!(story.notification.problems.as_deref(), Some(problem));
    assert_eq!(story.payload["schedule"], schedule);
    let sends: Vec<_> = story
        .sends
        .iter()
        .map(|send| {
            (
                send.channel.as_str(),
                send.tries,
                send.given_up_at.is_some(),
            )
        })
        .collect();
    assert_eq!(
        sends,
        [("webhook/gone", 1, true), ("webhook/slow", 3, false)]
    );

    let remedied = notification::remedy(world.pool(), one.id, Remedy::Retry, &by, Utc::now());
    assert_eq!(remedied.await.unwrap(), Remedied::Done);
    assert_eq!(
        settled(world.pool(), "schedule.completed").await,
        "delivered"
    );
    until(|| async { is_marked(world.pool(), schedule).await.then_some(()) }).await;
    assert_eq!((gone.requests().len(), slow.requests().len()), (2, 3));
    let again = notification::remedy(world.pool(), one.id, Remedy::Retry, &by, Utc::now());
    assert_eq!(again.await.unwrap(), Remedied::Refused("delivered".into()));
    world.stop().await;
    let id = one.id.to_string();
    let entries = audit::list(world.pool(), Some(("notification", &id)), 10).await;
    let entries = entries.unwrap();
    let [entry] = entries.as_slice() else {
        panic!("{entries:?}");
    };
    assert_eq!(entry.action, "notification.retry");
    assert_eq!(entry.before.as_ref().unwrap()["state"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_job_that_notifies_is_retried_through_its_notification() {
    let receiver = Receiver::start(&["410 Gone\r\n"]).await;
    let mut world = world().await;
    world.notifications.webhooks = vec![receiver.webhook("ops")];
    distribute(&mut world).await;
    assert_eq!(settled(world.pool(), "schedule.completed").await, "failed");
    let filter = DeadFilter {
        kind: Some("notify".into()),
        queue: None,
        limit: 10,
    };
    let listed = queue::dead(world.pool(), &filter).await.unwrap();
    assert_eq!(listed.len(), 1);
    let tally = dead::retry(world.pool(), &listed, &by(), Utc::now()).await;
    let tally = tally.unwrap();
    assert_eq!((tally.changed, tally.refused.len()), (1, 0));
    assert_eq!(
        settled(world.pool(), "schedule.completed").await,
        "delivered"
    );
    world.stop().await;
    let listed = queue::dead(world.pool(), &filter).await.unwrap();
    assert!(listed.is_empty(), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_reached_everybody_is_not_pruned() {
    let by = by();
    let receiver = Receiver::start(&["410 Gone\r\n"]).await;
    let mut world = world().await;
    world.notifications.webhooks = vec![receiver.webhook("ops")];
    distribute(&mut world).await;
    assert_eq!(settled(world.pool(), "schedule.completed").await, "failed");
    world.stop().await;
    sqlx::query(
        "insert into worker.notifications
             (event, subject, topic, payload, state, created_at, settled_at)
         select n.event, n.subject, n.topic, n.payload, other.state, n.created_at,
             case when other.state <> 'pending' then n.created_at end
         from worker.notifications n, unnest(array['pending', 'delivered', 'unaddressed'])
             as other (state)",
    )
    .execute(world.pool())
    .await
    .unwrap();
    let policy = Policy {
        notifications_days: 30,
        batch_rows: 2,
        pause_ms: 0,
        ..Policy::default()
    };
    let prune = async |mode, days| {
        let now = Utc::now() + TimeDelta::days(days);
        let pruned = retention::prune(world.pool(), &policy, mode, now).await;
        let mut rows = pruned.unwrap().into_iter();
        let of = rows.find(|one| one.table == "worker.notifications");
        of.unwrap().rows
    };
    let states = async || {
        sqlx::query_scalar::<_, String>("select state from worker.notifications order by state")
            .fetch_all(world.pool())
            .await
            .unwrap()
    };
    assert_eq!(prune(Mode::Count, 29).await, 0);
    assert_eq!(prune(Mode::Count, 31).await, 2);
    assert_eq!(prune(Mode::Remove, 31).await, 2);
    assert_eq!(states().await, ["failed", "pending"]);

    let failed = listed(&world, "failed").await[0].id;
    let dismissed = notification::remedy(world.pool(), failed, Remedy::Dismiss, &by, Utc::now());
    assert_eq!(dismissed.await.unwrap(), Remedied::Done);
    assert_eq!(prune(Mode::Remove, 32).await, 1);
    assert_eq!(states().await, ["pending"]);
}
