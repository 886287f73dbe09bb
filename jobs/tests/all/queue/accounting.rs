//! Enqueue, begin and settle: what is counted, what is fenced, what is unique.

use jobs::queue::{Outcome, QueueError, Registry};
use uuid::Uuid;

use super::harness::{Action, Bench, Small, epoch, large, now, small};

#[tokio::test]
async fn a_unique_key_admits_one_unfinished_job() {
    let bench = Bench::new().await;
    let job = || small("q", Action::Succeed).unique("statistics/2026-07-01");
    let ids = bench
        .enqueue(&[job(), small("q", Action::Succeed), job()])
        .await;
    assert!(ids[0].is_some() && ids[1].is_some());
    assert_eq!(ids[2], None);
    assert_eq!(bench.enqueue(&[job()]).await, [None]);

    let first = ids[0].unwrap();
    let lease = bench.claim(first).await;
    assert_eq!(
        bench.enqueue(&[job()]).await,
        [None],
        "a running job keeps its key"
    );
    let held = Outcome::Held {
        code: "c".to_owned(),
        message: "m".to_owned(),
    };
    assert!(bench.settle(&lease, &held).await);
    assert_eq!(
        bench.enqueue(&[job()]).await,
        [None],
        "a held job keeps its key"
    );
    bench
        .execute(
            "update worker.jobs set state = 'available' where id = $1",
            first,
        )
        .await;
    let lease = bench.claim(first).await;
    assert!(bench.settle(&lease, &Outcome::Completed).await);
    assert!(
        bench.enqueue(&[job()]).await[0].is_some(),
        "a finished job frees it"
    );
}

#[tokio::test]
async fn jobs_are_enqueued_by_the_callers_transaction_or_not_at_all() {
    let bench = Bench::new().await;
    let mut transaction = bench.pool().begin().await.unwrap();
    let ids = jobs::queue::enqueue(&mut transaction, &[small("q", Action::Succeed)])
        .await
        .unwrap();
    assert!(ids[0].is_some());
    transaction.rollback().await.unwrap();
    assert_eq!(bench.count("available").await, 0);
    assert_eq!(bench.enqueue(&[]).await, []);
}

#[tokio::test]
async fn a_stale_token_changes_nothing() {
    let bench = Bench::new().await;
    let id = bench.enqueue_one(large("q", Action::Succeed)).await;
    let mut stale = bench.claim(id).await;
    let holder = stale.clone();
    stale.token = Uuid::now_v7();

    assert_eq!(bench.begin(&stale).await, None);
    assert!(!bench.settle(&stale, &Outcome::Completed).await);
    let row = bench.job(id).await;
    assert_eq!((row.state.as_str(), row.attempt), ("running", 0));
    assert_eq!(bench.attempts(id).await, []);

    assert_eq!(bench.begin(&holder).await, Some(1));
    assert!(bench.settle(&holder, &Outcome::Completed).await);
    assert!(
        !bench.settle(&holder, &Outcome::Canceled).await,
        "a lease has one outcome"
    );
    assert_eq!(bench.begin(&holder).await, None);
    assert_eq!(bench.job(id).await.state, "completed");
    assert_eq!(bench.attempt_outcomes(id).await, ["completed"]);
}

#[tokio::test]
async fn attempts_are_counted_when_begun_and_given_back_by_a_snooze() {
    let bench = Bench::new().await;
    let id = bench.enqueue_one(large("q", Action::Succeed)).await;
    let at = now();
    let (code, message) = ("network".to_owned(), "refused\0by a partner".to_owned());

    let lease = bench.claim(id).await;
    assert_eq!(bench.begin(&lease).await, Some(1));
    assert_eq!(
        bench.begin(&lease).await,
        Some(1),
        "begun twice, counted once"
    );
    let retry = Outcome::Retry {
        at,
        code: code.clone(),
        message: message.clone(),
    };
    assert!(bench.settle(&lease, &retry).await);
    let row = bench.job(id).await;
    assert_eq!(
        (row.state.as_str(), row.attempt, row.run_at),
        ("available", 1, at)
    );
    assert_eq!(
        row.fault_message.as_deref(),
        Some("refused\u{fffd}by a partner")
    );
    assert_eq!((row.lease_token, row.attempt_id), (None, None));

    let lease = bench.claim(id).await;
    assert_eq!(lease.attempt, 2);
    assert_eq!(bench.begin(&lease).await, Some(2));
    let snooze = Outcome::Snooze {
        at,
        code: "throttled".to_owned(),
        message: message.clone(),
    };
    assert!(bench.settle(&lease, &snooze).await);
    assert_eq!(bench.job(id).await.attempt, 1);

    let lease = bench.claim(id).await;
    let dead = Outcome::Dead {
        code: code.clone(),
        message,
    };
    assert!(
        bench.settle(&lease, &dead).await,
        "also when it was never begun"
    );
    let row = bench.job(id).await;
    assert_eq!((row.state.as_str(), row.attempt), ("dead", 2));
    assert_eq!(row.fault_code, Some(code));
    assert_eq!(row.finished_at, Some(epoch()));
    assert_eq!(
        bench.attempt_outcomes(id).await,
        ["retry", "snoozed", "dead"]
    );
    let numbers: Vec<i16> = bench.attempts(id).await.iter().map(|a| a.number).collect();
    assert_eq!(numbers, [1, 2, 2]);
}

#[tokio::test]
async fn the_delivery_is_noted_whenever_it_becomes_known() {
    let bench = Bench::new().await;
    let id = bench.enqueue_one(large("q", Action::Succeed)).await;
    let lease = bench.claim(id).await;
    let delivery = Uuid::now_v7();
    assert_eq!(bench.begin(&lease).await, Some(1));
    let mut conn = bench.pool().acquire().await.unwrap();
    let number = jobs::queue::begin(&mut conn, &lease, Some(delivery), epoch())
        .await
        .unwrap();
    assert_eq!(number, Some(1));
    let attempts = bench.attempts(id).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].delivery_id, Some(delivery));
}

#[tokio::test]
async fn a_kind_is_registered_once() {
    let bench = Bench::new().await;
    let twice = Registry::new()
        .with::<Small>(bench.stage.clone())
        .unwrap()
        .with::<Small>(bench.stage.clone());
    assert!(matches!(twice, Err(QueueError::DuplicateKind("small"))));
}
