//! Start, wake, outages, drain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use jobs::queue::{NewJob, Settings};
use sqlx::Connection as _;

use super::harness::{Action, Bench, epoch, large, never_polling, quick, small, until};

#[tokio::test]
async fn a_notification_wakes_both_kinds_of_fetcher() {
    let bench = Bench::new().await;
    let daemon = bench.daemon_with(never_polling());
    until("the daemon listens", async || {
        let listening: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and query like 'LISTEN %' and state = 'idle'",
        )
        .fetch_one(bench.pool())
        .await
        .unwrap();
        listening == 1
    })
    .await;
    for round in 1..=5 {
        bench
            .enqueue(&[large("q", Action::Succeed), small("s", Action::Succeed)])
            .await;
        bench.until_completed(2 * round).await;
    }
    daemon.stop().await;
}

#[tokio::test]
async fn due_is_what_the_passed_clock_says() {
    let bench = Bench::new().await;
    let seconds = Arc::new(AtomicI64::new(0));
    let hands = Arc::clone(&seconds);
    let clock =
        Arc::new(move || DateTime::from_timestamp(hands.load(Ordering::SeqCst), 0).unwrap());
    let mut later = large("q", Action::Succeed);
    later.run_at = epoch() + chrono::Duration::hours(1);
    let later = bench.enqueue_one(later).await;
    let daemon = bench.daemon_at(quick(), clock);
    let sooner = bench.enqueue_one(large("q", Action::Succeed)).await;
    bench.until_state(sooner, "completed").await;
    assert_eq!(bench.job(later).await.state, "available");
    seconds.store(3600, Ordering::SeqCst);
    let row = bench.until_state(later, "completed").await;
    assert_eq!(row.finished_at, DateTime::from_timestamp(3600, 0));
    daemon.stop().await;
}

#[tokio::test]
async fn a_shutdown_finishes_what_runs_and_gives_back_what_waits() {
    let bench = Bench::new().await;
    let running = bench.enqueue_one(small("s", Action::Wait)).await;
    let jobs: Vec<NewJob> = (0..50).map(|_| small("s", Action::Succeed)).collect();
    bench.enqueue(&jobs).await;
    let daemon = bench.daemon_with(Settings {
        small_slots: 1,
        ..quick()
    });
    until("one runs and the others are fetched", async || {
        bench.stage.starts() == 1 && bench.count("running").await == 51
    })
    .await;
    daemon.shutdown.cancel();
    until("the others are given back", async || {
        bench.count("available").await == 50
    })
    .await;
    bench.stage.gate.add_permits(1);
    daemon.ended().await;
    assert_eq!(bench.job(running).await.state, "completed");
    let counted: i64 = sqlx::query_scalar(
        "select count(*) from worker.jobs where state = 'available' and (attempt > 0 or crashes > 0 or lease_token is not null)",
    )
    .fetch_one(bench.pool())
    .await
    .unwrap();
    assert_eq!(counted, 0);
    assert_eq!(bench.stage.starts(), 1);
}

#[tokio::test]
async fn a_shutdown_cuts_off_what_outlasts_the_drain() {
    let bench = Bench::new().await;
    let ids = bench
        .enqueue(&[large("q", Action::Wait), small("s", Action::Wait)])
        .await;
    let daemon = bench.daemon_with(Settings {
        drain: Duration::from_millis(50),
        ..quick()
    });
    until("both run", async || bench.stage.starts() == 2).await;
    daemon.stop().await;
    for id in ids {
        let id = id.unwrap();
        let row = bench.job(id).await;
        assert_eq!(
            (row.state.as_str(), row.attempt, row.crashes),
            ("available", 0, 0)
        );
        assert_eq!(row.fault_code.as_deref(), Some("shutdown"));
        assert_eq!(bench.attempt_outcomes(id).await, ["snoozed"]);
    }
    let decisions = bench.decisions().await;
    assert!(
        decisions
            .iter()
            .all(|d| d.outcome == "snooze" && d.code == "shutdown")
    );
    assert_eq!(decisions.len(), 2);
}

#[tokio::test]
async fn the_last_completions_are_recorded_before_the_end() {
    let bench = Bench::new().await;
    let jobs: Vec<NewJob> = (0..300).map(|_| small("s", Action::Succeed)).collect();
    bench.enqueue(&jobs).await;
    let daemon = bench.daemon();
    until("some have run", async || bench.stage.starts() >= 50).await;
    daemon.stop().await;
    let run = i64::try_from(bench.stage.starts()).unwrap();
    assert_eq!(bench.count("completed").await, run);
    assert_eq!(bench.count("running").await, 0);
}

#[tokio::test]
async fn the_loss_of_all_connections_loses_nothing() {
    let bench = Bench::new().await;
    let daemon = bench.daemon();
    let mut jobs: Vec<NewJob> = (0..100)
        .map(|n| large(&format!("deliver/{}", n % 10), Action::Sleep(20)))
        .collect();
    jobs.extend((0..300).map(|_| small("s", Action::Sleep(20))));
    bench.enqueue(&jobs).await;
    for _ in 0..10 {
        sqlx::query(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .execute(bench.pool())
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bench.until_completed(400).await;
    let repeated: i64 = sqlx::query_scalar(
        "select count(*) from (select job_id from worker.job_attempts where outcome = 'completed' group by 1 having count(*) > 1) twice",
    )
    .fetch_one(bench.pool())
    .await
    .unwrap();
    assert_eq!(repeated, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn an_outage_longer_than_the_lease_is_survived() {
    let bench = Bench::new().await;
    let jobs = [large("q", Action::Wait), small("s", Action::Wait)];
    bench.enqueue(&jobs).await;
    let daemon = bench.daemon();
    until("both run", async || bench.stage.starts() == 2).await;

    let url = std::env::var("DATABASE_URL").unwrap();
    let mut server = sqlx::PgConnection::connect(&url).await.unwrap();
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(bench.pool())
        .await
        .unwrap();
    set_open(&mut server, &name, false).await;
    until(
        "the handlers are stopped, for another daemon may have their jobs",
        async || bench.stage.ended.load(Ordering::SeqCst) == 2,
    )
    .await;
    set_open(&mut server, &name, true).await;

    bench.stage.gate.add_permits(10);
    bench.until_completed(2).await;
    bench
        .enqueue(&[large("q", Action::Succeed), small("s", Action::Succeed)])
        .await;
    bench.until_completed(4).await;
    daemon.stop().await;
}

/// Opens a database to connections, or closes it and ends those it has.
async fn set_open(server: &mut sqlx::PgConnection, name: &str, open: bool) {
    let statement = format!("alter database {name} allow_connections {open}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut *server)
        .await
        .unwrap();
    if !open {
        sqlx::query(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1",
        )
        .bind(name)
        .execute(server)
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let bench = Bench::new().await;
    let error = jobs::queue::run(
        (*bench.pool().connect_options()).clone(),
        jobs::queue::Registry::new(),
        Settings {
            slots: 0,
            ..quick()
        },
        jobs::clock::system(),
        jobs::vitals::Vitals::default(),
        tokio_util::sync::CancellationToken::new(),
    )
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "queue settings: slots must be at least 1"
    );
}
