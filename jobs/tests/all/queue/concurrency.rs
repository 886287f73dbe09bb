//! Order, limits and fairness, in one daemon and over several.

use std::sync::atomic::Ordering;

use jobs::queue::{NewJob, Settings};

use super::harness::{Action, Bench, epoch, large, never_polling, quick, small, until};

#[tokio::test]
async fn priority_goes_first_then_age() {
    let bench = Bench::new().await;
    let at = |priority: i16, second: i64| {
        let mut job = large("q", Action::Succeed).priority(priority);
        job.run_at = epoch() + chrono::Duration::seconds(second);
        job
    };
    let jobs = [at(5, 1), at(1, 30), at(1, 20), at(9, 0), at(5, 0)];
    let ids = bench.enqueue(&jobs).await;
    let daemon = bench.daemon_with(Settings {
        slots: 1,
        ..quick()
    });
    bench.until_completed(5).await;
    let order: Vec<_> = bench
        .stage
        .starts
        .lock()
        .unwrap()
        .iter()
        .map(|l| Some(l.job))
        .collect();
    assert_eq!(order, [ids[2], ids[1], ids[4], ids[0], ids[3]]);
    daemon.stop().await;
}

#[tokio::test]
async fn a_limit_holds_over_all_daemons() {
    let bench = Bench::new().await;
    limit(&bench, "q", 2).await;
    let jobs: Vec<NewJob> = (0..40).map(|_| large("q", Action::Sleep(5))).collect();
    bench.enqueue(&jobs).await;
    let (one, other) = (bench.daemon(), bench.daemon());
    bench.until_completed(40).await;
    assert_eq!(bench.stage.most_running.load(Ordering::SeqCst), 2);
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn running_jobs_are_counted_only_under_the_queues_lock() {
    let bench = Bench::new().await;
    limit(&bench, "q", 1).await;
    let first = bench.enqueue_one(large("q", Action::Succeed)).await;
    let second = bench.enqueue_one(large("q", Action::Succeed)).await;
    // Another daemon in the middle of its claim of the first job.
    let mut other = bench.pool().begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('worker.queue/q', 0))")
        .execute(&mut *other)
        .await
        .unwrap();
    sqlx::query(
        "update worker.jobs set state = 'running', lease_token = id, lease_expires_at = now() + interval '1 hour'
         where id = $1",
    )
    .bind(first)
    .execute(&mut *other)
    .await
    .unwrap();
    let daemon = bench.daemon();
    until("the daemon waits for its turn", async || {
        sqlx::query_scalar(
            "select exists (select from pg_locks where locktype = 'advisory' and not granted
                 and database = (select oid from pg_database where datname = current_database()))",
        )
        .fetch_one(bench.pool())
        .await
        .unwrap()
    })
    .await;
    other.commit().await.unwrap();
    // A job of another queue, claimed later than the first chance of the second.
    let witness = bench.enqueue_one(large("w", Action::Succeed)).await;
    bench.until_state(witness, "completed").await;
    assert_eq!(
        bench.job(second).await.state,
        "available",
        "the limit is used up"
    );
    bench
        .execute("update worker.jobs set state = 'completed', finished_at = now(), lease_token = null, lease_expires_at = null where id = $1", first)
        .await;
    bench.until_state(second, "completed").await;
    daemon.stop().await;
}

#[tokio::test]
async fn the_default_limit_holds_where_none_is_set() {
    let bench = Bench::new().await;
    let jobs: Vec<NewJob> = (0..30).map(|_| large("q", Action::Sleep(5))).collect();
    bench.enqueue(&jobs).await;
    let daemon = bench.daemon_with(Settings {
        default_concurrency: Some(3),
        ..quick()
    });
    bench.until_completed(30).await;
    assert_eq!(bench.stage.most_running.load(Ordering::SeqCst), 3);
    daemon.stop().await;
}

#[tokio::test]
async fn a_limit_counts_jobs_that_are_fetched_ahead() {
    let bench = Bench::new().await;
    limit(&bench, "q", 2).await;
    let jobs: Vec<NewJob> = (0..40).map(|_| small("q", Action::Sleep(2))).collect();
    bench.enqueue(&jobs).await;
    let daemon = bench.daemon();
    bench.until_completed(40).await;
    assert_eq!(bench.stage.most_running.load(Ordering::SeqCst), 2);
    daemon.stop().await;
}

#[tokio::test]
async fn a_queue_at_its_limit_wakes_when_its_slot_frees() {
    let bench = Bench::new().await;
    limit(&bench, "q", 1).await;
    limit(&bench, "s", 1).await;
    let mut jobs: Vec<NewJob> = (0..10).map(|_| large("q", Action::Sleep(1))).collect();
    jobs.extend((0..10).map(|_| small("s", Action::Sleep(1))));
    jobs.extend((0..10).map(|_| large("q", Action::Settle)));
    bench.enqueue(&jobs).await;
    let daemon = bench.daemon_with(never_polling());
    bench.until_completed(30).await;
    daemon.stop().await;
}

#[tokio::test]
async fn no_more_than_the_free_slots_are_claimed() {
    let bench = Bench::new().await;
    let jobs: Vec<NewJob> = (0..20)
        .map(|n| large(&format!("deliver/{n}"), Action::Wait))
        .collect();
    bench.enqueue(&jobs).await;
    let daemon = bench.daemon_with(Settings {
        slots: 3,
        ..quick()
    });
    until("three run", async || bench.stage.starts() == 3).await;
    assert_eq!(bench.count("running").await, 3);
    bench.stage.gate.add_permits(20);
    bench.until_completed(20).await;
    assert_eq!(bench.stage.most_running.load(Ordering::SeqCst), 3);
    daemon.stop().await;
}

#[tokio::test]
async fn a_backlog_of_one_queue_costs_the_others_nothing() {
    let bench = Bench::new().await;
    let backlog: Vec<NewJob> = (0..2000)
        .map(|_| large("deliver/1", Action::Succeed))
        .collect();
    bench.enqueue(&backlog).await;
    // Later in every order that is not by queue.
    let others: Vec<NewJob> = (0..40)
        .map(|n| {
            let mut job = large(&format!("deliver/{}", 2 + n % 4), Action::Succeed).priority(9);
            job.run_at = epoch() + chrono::Duration::days(1);
            job
        })
        .collect();
    bench.enqueue(&others).await;
    let daemon = bench.daemon_with(Settings {
        slots: 4,
        default_concurrency: None,
        ..quick()
    });
    until("enough have run", async || bench.stage.starts() >= 500).await;
    let starts = bench.stage.starts.lock().unwrap().clone();
    let of_others = starts
        .iter()
        .take(500)
        .filter(|l| l.queue != "deliver/1")
        .count();
    assert_eq!(
        of_others, 40,
        "after 500 starts all jobs of the small queues have run"
    );
    daemon.stop().await;
}

async fn limit(bench: &Bench, queue: &str, concurrency: i32) {
    sqlx::query("insert into worker.queues (name, concurrency) values ($1, $2)")
        .bind(queue)
        .bind(concurrency)
        .execute(bench.pool())
        .await
        .unwrap();
}
