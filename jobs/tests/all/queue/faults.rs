//! Jobs that fail, panic, hang, cannot be decoded, or take their daemon with them.

use std::{sync::atomic::Ordering, time::Duration};

use chrono::Utc;
use jobs::{
    clock,
    queue::{self, Done, Job, JobFault, Lease, NewJob, Registry, Settings},
    vitals::Vitals,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::harness::{Action, Bench, hasty, large, quick, small, until};

#[tokio::test]
async fn a_fault_is_retried_until_the_attempts_are_used_up() {
    for new_job in [large, small] {
        let bench = Bench::new().await;
        let id = bench.enqueue_one(new_job("q", Action::Fault)).await;
        let daemon = bench.daemon();
        let row = bench.until_state(id, "dead").await;
        assert_eq!(row.attempt, 3);
        assert_eq!(row.fault_code.as_deref(), Some("told_to"));
        assert_eq!(
            row.fault_message.as_deref(),
            Some("fails as it was told (attempt 3 of 3, the last)")
        );
        assert_eq!(bench.attempt_outcomes(id).await, ["retry", "retry", "dead"]);
        assert_eq!(outcomes(&bench).await, ["retry", "retry", "dead"]);
        assert_eq!(
            bench.decisions().await[0].arguments,
            json!({"action": "Fault"})
        );
        assert_eq!(bench.stage.starts(), 3);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_circuit_that_a_clock_ahead_has_opened_is_probed_at_once() {
    let bench = Bench::new().await;
    sqlx::query(
        "insert into worker.queues
             (name, circuit_faults, circuit_opened_at, circuit_probe_at, circuit_fault_at)
         values ('q', 5, now() - interval '1 hour', now() + interval '1 day', now() + interval '1 day')",
    )
    .execute(bench.pool())
    .await
    .unwrap();
    bench.enqueue_one(large("q", Action::Succeed)).await;
    let daemon = bench.daemon();
    bench.until_completed(1).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_fault_like_any_other() {
    for new_job in [large, small] {
        let bench = Bench::new().await;
        let id = bench.enqueue_one(new_job("q", Action::Panic)).await;
        let daemon = bench.daemon();
        let row = bench.until_state(id, "dead").await;
        assert_eq!(row.fault_code.as_deref(), Some("panicked"));
        assert!(row.fault_message.unwrap().contains("as it was told"));
        assert_eq!(bench.attempt_outcomes(id).await, ["retry", "retry", "dead"]);
        assert_eq!(outcomes(&bench).await, ["retry", "retry", "dead"]);

        bench.enqueue_one(new_job("q", Action::Succeed)).await;
        bench.until_completed(1).await;
        daemon.stop().await;
    }
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_stopped() {
    let bench = Bench::new().await;
    let id = bench.enqueue_one(hasty("q", Action::Wait)).await;
    let daemon = bench.daemon();
    let row = bench.until_state(id, "dead").await;
    assert_eq!(row.fault_code.as_deref(), Some("timeout"));
    assert_eq!(outcomes(&bench).await, ["retry", "retry", "dead"]);
    until("the handlers are gone", async || {
        bench.stage.ended.load(Ordering::SeqCst) == 3
    })
    .await;
    daemon.stop().await;
}

#[tokio::test]
async fn what_a_handler_asks_for_is_done() {
    let bench = Bench::new().await;
    let dead = bench.enqueue_one(large("q", Action::Dead)).await;
    let daemon = bench.daemon();
    assert_eq!(bench.until_state(dead, "dead").await.attempt, 1);

    let snoozed = bench.enqueue_one(large("q", Action::Snooze)).await;
    until("the job is snoozed", async || {
        bench.decisions().await.len() == 2
    })
    .await;
    let row = bench.job(snoozed).await;
    assert_eq!((row.state.as_str(), row.attempt), ("available", 0));
    assert_eq!(row.run_at.to_rfc3339(), "2100-01-01T00:00:00+00:00");

    let settled = bench.enqueue_one(large("q", Action::Settle)).await;
    assert_eq!(bench.until_state(settled, "completed").await.attempt, 1);
    let attempts = bench.attempts(settled).await;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].delivery_id, Some(settled));
    daemon.stop().await;
    assert_eq!(
        outcomes(&bench).await,
        ["dead", "snooze"],
        "settled is not the queue's decision"
    );
}

#[tokio::test]
async fn what_cannot_be_run_is_set_aside_or_left_alone() {
    let bench = Bench::new().await;
    // The good job is the last in the queue.
    let wrong = bench.enqueue_one(large("q", Action::Succeed)).await;
    bench
        .execute(
            r#"update worker.jobs set arguments = '{"action": "Dance"}' where id = $1"#,
            wrong,
        )
        .await;
    let too_large = bench.enqueue_one(small("q", Action::Succeed)).await;
    bench
        .execute(
            r#"update worker.jobs set arguments = '{"action": 1e999}' where id = $1"#,
            too_large,
        )
        .await;
    let unknown = bench.enqueue_one(large("q", Action::Succeed)).await;
    bench
        .execute(
            "update worker.jobs set kind = 'of_a_later_version' where id = $1",
            unknown,
        )
        .await;
    let good = bench.enqueue_one(large("q", Action::Succeed)).await;
    let daemon = bench.daemon();

    bench.until_state(good, "completed").await;
    for id in [wrong, too_large] {
        let row = bench.until_state(id, "dead").await;
        assert_eq!(row.fault_code.as_deref(), Some("arguments_undecodable"));
        assert!(row.fault_message.unwrap().contains("do not fit job kind"));
    }
    daemon.stop().await;
    let row = bench.job(unknown).await;
    assert_eq!((row.state.as_str(), row.attempt), ("available", 0));
    assert_eq!(bench.attempts(unknown).await, []);
    let decisions = bench.decisions().await;
    assert_eq!(decisions.len(), 2);
    assert!(
        decisions
            .iter()
            .any(|d| d.job == wrong && d.arguments == json!({"action": "Dance"}))
    );
    assert!(
        decisions
            .iter()
            .any(|d| d.job == too_large && d.arguments == Value::Null)
    );
}

#[tokio::test]
async fn the_third_crash_is_the_last() {
    let bench = Bench::new().await;
    let id = bench.enqueue_one(large("q", Action::Succeed)).await;
    // The daemon rescues and does not claim.
    pause(&bench).await;
    let daemon = bench.daemon();
    for crash in 1..=3 {
        let lease = bench.claim(id).await;
        assert_eq!(bench.begin(&lease).await, Some(1), "a crash is no attempt");
        expire(&bench, id).await;
        let state = if crash == 3 { "dead" } else { "available" };
        let row = bench.until_state(id, state).await;
        assert_eq!((row.crashes, row.attempt), (crash, 0));
        assert_eq!(row.fault_code.as_deref(), Some("crashed"));
    }
    let row = bench.job(id).await;
    assert!(row.fault_message.unwrap().contains("3 daemons died"));
    assert_eq!(
        bench.attempt_outcomes(id).await,
        ["crashed", "crashed", "crashed"]
    );
    assert_eq!(outcomes(&bench).await, ["retry", "retry", "dead"]);
    daemon.stop().await;
}

#[tokio::test]
async fn a_job_that_was_not_begun_is_suspected_once_and_never_condemned() {
    let bench = Bench::new().await;
    let id = bench.enqueue_one(small("q", Action::Succeed)).await;
    pause(&bench).await;
    let daemon = bench.daemon();
    for _ in 0..5 {
        bench.claim(id).await;
        expire(&bench, id).await;
        assert_eq!(bench.until_state(id, "available").await.crashes, 1);
    }
    assert_eq!(outcomes(&bench).await, ["retry"]);
    // A suspect is begun before its work, so that the next crash would tell.
    sqlx::query("delete from worker.queues")
        .execute(bench.pool())
        .await
        .unwrap();
    let row = bench.until_state(id, "completed").await;
    assert_eq!(row.attempt, 1);
    assert!(row.attempt_id.is_some());
    assert_eq!(bench.attempt_outcomes(id).await, ["completed"]);
    daemon.stop().await;
}

#[tokio::test]
async fn the_jobs_of_a_killed_daemon_are_run_by_another() {
    let bench = Bench::new().await;
    let mut jobs = vec![large("q", Action::Wait), small("s", Action::Wait)];
    jobs.extend((0..20).map(|_| small("s", Action::Succeed)));
    bench.enqueue(&jobs).await;
    let first = bench.daemon_with(Settings {
        small_slots: 1,
        ..quick()
    });
    until("both wait", async || bench.stage.starts() == 2).await;
    first.kill().await;
    bench.stage.gate.add_permits(10);
    let second = bench.daemon();
    bench.until_completed(22).await;
    second.stop().await;
}

#[tokio::test]
async fn a_job_longer_than_its_lease_keeps_it() {
    let bench = Bench::new().await;
    let settings = Settings {
        lease: Duration::from_millis(600),
        heartbeat: Duration::from_millis(100),
        ..quick()
    };
    let id = bench.enqueue_one(large("q", Action::Sleep(2000))).await;
    let (one, other) = (
        bench.daemon_with(settings.clone()),
        bench.daemon_with(settings),
    );
    let row = bench.until_state(id, "completed").await;
    assert_eq!((row.crashes, row.attempt), (0, 1));
    assert_eq!(bench.stage.starts(), 1);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_lost_lease_stops_the_handler_and_records_nothing() {
    let bench = Bench::new().await;
    let id = bench.enqueue_one(large("q", Action::Wait)).await;
    let daemon = bench.daemon();
    until("it runs", async || bench.stage.starts() == 1).await;
    bench
        .execute(
            "update worker.jobs set lease_token = gen_random_uuid() where id = $1",
            id,
        )
        .await;
    until("the handler is gone", async || {
        bench.stage.ended.load(Ordering::SeqCst) == 1
    })
    .await;
    daemon.stop().await;
    assert_eq!(bench.job(id).await.state, "running", "its new holder's");
    assert_eq!(outcomes(&bench).await, Vec::<String>::new());
}

async fn outcomes(bench: &Bench) -> Vec<String> {
    let decisions = bench.decisions().await;
    decisions.into_iter().map(|d| d.outcome).collect()
}

async fn pause(bench: &Bench) {
    sqlx::query("insert into worker.queues (name, paused_at) values ('q', now())")
        .execute(bench.pool())
        .await
        .unwrap();
}

async fn expire(bench: &Bench, job: Uuid) {
    bench
        .execute(
            "update worker.jobs set lease_expires_at = now() - interval '1 s' where id = $1",
            job,
        )
        .await;
}

/// Its begin is still on its way when it believes that it has failed, as on a connection that breaks
/// while it commits.
#[derive(Serialize, Deserialize)]
struct HalfBegun;

impl Job for HalfBegun {
    type Context = PgPool;
    const KIND: &'static str = "half_begun";
    const MAX_ATTEMPTS: i16 = 1;
    const TIMEOUT: Duration = Duration::from_secs(60);
    const PREFETCH: bool = false;
    const BEGINS_ITSELF: bool = true;

    async fn run(self, pool: PgPool, lease: Lease) -> Result<Done, JobFault> {
        let mut transaction = pool.begin().await?;
        let begun = queue::begin(&mut transaction, &lease, None, Utc::now()).await?;
        assert_eq!(begun, Some(1));
        tokio::spawn(async move {
            // Until the outcome waits for it.
            until("the outcome waits for it", || async {
                let waiting: Option<i32> =
                    sqlx::query_scalar("select 1 from pg_locks where not granted limit 1")
                        .fetch_optional(&pool)
                        .await
                        .unwrap();
                waiting.is_some()
            })
            .await;
            transaction.commit().await.unwrap();
        });
        Err(JobFault::retry("database", "the connection broke"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_begin_was_believed_to_have_failed_is_ended() {
    let database = test_support::TestDatabase::create().await;
    let pool = database.pool().clone();
    let job = NewJob::new("q", &HalfBegun, Utc::now()).unwrap();
    let mut transaction = pool.begin().await.unwrap();
    queue::enqueue(&mut transaction, &[job]).await.unwrap();
    transaction.commit().await.unwrap();
    let shutdown = CancellationToken::new();
    let daemon = tokio::spawn(queue::run(
        (*pool.connect_options()).clone(),
        Registry::new().with::<HalfBegun>(pool.clone()).unwrap(),
        Settings::default(),
        clock::system(),
        Vitals::default(),
        shutdown.clone(),
    ));
    until("the job is dead", || async {
        let dead: Option<i32> =
            sqlx::query_scalar("select 1 from worker.jobs where state = 'dead'")
                .fetch_optional(&pool)
                .await
                .unwrap();
        dead.is_some()
    })
    .await;
    shutdown.cancel();
    daemon.await.unwrap().unwrap();
    let outcomes: Vec<Option<String>> = sqlx::query_scalar("select outcome from worker.attempts")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(outcomes, [Some("dead".to_owned())]);
}
