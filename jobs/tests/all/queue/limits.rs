//! Rates, windows, the pace and the circuit of a queue, over two daemons and with a moved clock.

use std::sync::{Arc, Mutex, atomic::Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    clock::Clock,
    queue::{
        self, Limits, NewJob, Rates,
        circuit::{self, CircuitPolicy, Observation, Recorded, Signal},
    },
};
use platform_adapters::settings::Windows;
use serde_json::json;

use super::harness::{Action, Bench, large, never_polling, quick, until};

/// A clock that only the test moves.
#[derive(Clone)]
struct Hands(Arc<Mutex<DateTime<Utc>>>);

impl Hands {
    fn at(text: &str) -> Self {
        Self(Arc::new(Mutex::new(text.parse().unwrap())))
    }

    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    fn forward(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }

    fn clock(&self) -> Clock {
        let hands = self.clone();
        Arc::new(move || hands.now())
    }
}

const RATE: Rates = Rates {
    per_second: None,
    per_hour: None,
    per_day: None,
};

async fn limit(bench: &Bench, limits: Limits, now: DateTime<Utc>) {
    let mut conn = bench.pool().acquire().await.unwrap();
    assert!(queue::limit(&mut conn, "q", &limits, now).await.unwrap());
    assert!(!queue::limit(&mut conn, "q", &limits, now).await.unwrap());
}

fn jobs(count: usize, action: &Action) -> Vec<NewJob> {
    (0..count).map(|_| large("q", action.clone())).collect()
}

/// Every daemon has looked at all queues since this was called.
async fn looked(bench: &Bench) {
    for _ in 0..4 {
        let witnesses: Vec<NewJob> = (0..8)
            .map(|n| large(&format!("witness/{n}"), Action::Succeed))
            .collect();
        for id in bench.enqueue(&witnesses).await {
            bench.until_state(id.unwrap(), "completed").await;
        }
    }
}

async fn done(bench: &Bench) -> i64 {
    sqlx::query_scalar("select count(*) from worker.jobs where queue = 'q' and state = 'completed'")
        .fetch_one(bench.pool())
        .await
        .unwrap()
}

async fn until_done(bench: &Bench, jobs: i64) {
    until(&format!("{jobs} of q are done"), async || {
        done(bench).await == jobs
    })
    .await;
}

#[tokio::test]
async fn a_rate_holds_over_all_daemons_and_time_frees_it() {
    let bench = Bench::new().await;
    let hands = Hands::at("2026-03-01T12:00:00Z");
    let limits = Limits {
        rates: Rates {
            per_hour: Some(10),
            per_day: Some(25),
            ..RATE
        },
        ..Limits::default()
    };
    limit(&bench, limits, hands.now()).await;
    bench.enqueue(&jobs(60, &Action::Succeed)).await;
    let one = bench.daemon_at(quick(), hands.clock());
    let other = bench.daemon_at(quick(), hands.clock());
    for (minutes, expected) in [
        (0, 10),
        (59, 10),
        (4, 20),
        (63, 25),
        (600, 25),
        (14 * 60, 35),
    ] {
        hands.forward(TimeDelta::minutes(minutes));
        until_done(&bench, expected).await;
        looked(&bench).await;
        assert_eq!(done(&bench).await, expected, "after {minutes} more minutes");
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn what_another_daemon_claims_while_this_one_waits_for_the_lock_counts() {
    let bench = Bench::new().await;
    let limits = Limits {
        rates: Rates {
            per_hour: Some(1),
            ..RATE
        },
        ..Limits::default()
    };
    limit(&bench, limits, Utc::now()).await;
    bench.enqueue(&jobs(1, &Action::Succeed)).await;
    let mut other = bench.pool().begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('worker.queue/q', 0))")
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
    sqlx::query("update worker.queues set grants = $1 where name = 'q'")
        .bind(json!([[Utc::now().timestamp_millis(), 1]]))
        .execute(&mut *other)
        .await
        .unwrap();
    other.commit().await.unwrap();
    looked(&bench).await;
    assert_eq!(done(&bench).await, 0);
    daemon.stop().await;
}

#[tokio::test]
async fn a_queue_wakes_for_its_next_place_and_not_by_polling() {
    let bench = Bench::new().await;
    let limits = Limits {
        rates: Rates {
            per_second: Some(4),
            ..RATE
        },
        ..Limits::default()
    };
    limit(&bench, limits, Utc::now()).await;
    bench.enqueue(&jobs(9, &Action::Succeed)).await;
    let daemon = bench.daemon_with(never_polling());
    bench.until_completed(9).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_window_opens_by_the_partners_clock_and_closes() {
    let bench = Bench::new().await;
    // Noon in Berlin, in winter.
    let hands = Hands::at("2026-01-15T11:00:00Z");
    limit(&bench, nights(), hands.now()).await;
    bench.enqueue(&jobs(1, &Action::Succeed)).await;
    let one = bench.daemon_at(quick(), hands.clock());
    let other = bench.daemon_at(quick(), hands.clock());
    looked(&bench).await;
    assert_eq!(done(&bench).await, 0);
    hands.forward(TimeDelta::hours(10));
    until_done(&bench, 1).await;
    hands.forward(TimeDelta::hours(8));
    bench.enqueue(&jobs(1, &Action::Succeed)).await;
    looked(&bench).await;
    assert_eq!(done(&bench).await, 1, "at six it is over");
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn limits_that_are_lifted_count_at_once() {
    let bench = Bench::new().await;
    let hands = Hands::at("2026-01-15T11:00:00Z");
    limit(&bench, nights(), hands.now()).await;
    bench.enqueue(&jobs(1, &Action::Succeed)).await;
    let daemon = bench.daemon_at(never_polling(), hands.clock());
    looked(&bench).await;
    assert_eq!(done(&bench).await, 0);
    limit(&bench, Limits::default(), hands.now()).await;
    until_done(&bench, 1).await;
    daemon.stop().await;
}

fn nights() -> Limits {
    let windows = json!([{"from": "22:00", "to": "06:00", "zone": "Europe/Berlin"}]);
    Limits {
        windows: serde_json::from_value::<Windows>(windows).unwrap(),
        ..Limits::default()
    }
}

#[tokio::test]
async fn windows_that_cannot_be_read_never_open_and_hurt_no_other_queue() {
    let bench = Bench::new().await;
    sqlx::query("insert into worker.queues (name, windows) values ('q', '[{\"from\": 22}]')")
        .execute(bench.pool())
        .await
        .unwrap();
    bench.enqueue(&jobs(1, &Action::Succeed)).await;
    let daemon = bench.daemon();
    looked(&bench).await;
    assert_eq!(done(&bench).await, 0);
    daemon.stop().await;
}

async fn observe(bench: &Bench, signal: Signal, now: DateTime<Utc>) -> Recorded {
    let mut conn = bench.pool().acquire().await.unwrap();
    let observed = Observation {
        signal,
        fault: None,
        default_concurrency: 4,
        random: 1.0,
    };
    circuit::record(&mut conn, &CircuitPolicy::default(), "q", observed, now)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_open_circuit_lets_one_probe_through_at_a_time() {
    let bench = Bench::new().await;
    let hands = Hands::at("2026-03-01T12:00:00Z");
    for _ in 0..4 {
        assert_eq!(
            observe(&bench, Signal::Fault, hands.now()).await.after.open,
            None
        );
    }
    let opened = observe(&bench, Signal::Fault, hands.now()).await.after.open;
    assert_eq!(opened.unwrap().since, hands.now());
    bench.enqueue(&jobs(10, &Action::Wait)).await;
    let one = bench.daemon_at(quick(), hands.clock());
    let other = bench.daemon_at(quick(), hands.clock());
    looked(&bench).await;
    assert_eq!(
        bench.count("running").await,
        0,
        "nothing before the cool-down"
    );

    hands.forward(TimeDelta::seconds(30));
    until("a probe runs", async || bench.count("running").await == 1).await;
    looked(&bench).await;
    assert_eq!(bench.count("running").await, 1);

    // It fails: the next waits twice as long.
    let failed = observe(&bench, Signal::Fault, hands.now()).await;
    assert_eq!(
        failed.after.open.unwrap().probe_at,
        hands.now() + TimeDelta::seconds(60)
    );
    bench.stage.gate.add_permits(1);
    until("the probe ends", async || bench.count("running").await == 0).await;
    hands.forward(TimeDelta::seconds(59));
    looked(&bench).await;
    assert_eq!(bench.count("running").await, 0);

    // The next gets through, and all that the default allows follow at once.
    hands.forward(TimeDelta::seconds(1));
    until("a probe runs", async || bench.count("running").await == 1).await;
    let closed = observe(&bench, Signal::Success, hands.now()).await;
    assert!(closed.before.open.is_some() && closed.after.open.is_none());
    for _ in 0..9 {
        observe(&bench, Signal::Success, hands.now()).await;
    }
    until("four run", async || bench.count("running").await == 4).await;
    bench.stage.gate.add_permits(10);
    until_done(&bench, 10).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_closed_circuit_wakes_daemons_that_wait_for_the_probe() {
    let bench = Bench::new().await;
    let hands = Hands::at("2026-03-01T12:00:00Z");
    for _ in 0..5 {
        observe(&bench, Signal::Fault, hands.now()).await;
    }
    bench.enqueue(&jobs(1, &Action::Succeed)).await;
    let daemon = bench.daemon_at(never_polling(), hands.clock());
    looked(&bench).await;
    assert_eq!(done(&bench).await, 0);
    observe(&bench, Signal::Success, hands.now()).await;
    until_done(&bench, 1).await;
    daemon.stop().await;
}

#[tokio::test]
async fn faults_slow_a_queue_down_over_all_daemons_and_successes_bring_it_back() {
    let bench = Bench::new().await;
    let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    observe(&bench, Signal::Throttled, now).await;
    bench.enqueue(&jobs(40, &Action::Sleep(3))).await;
    let (one, other) = (bench.daemon(), bench.daemon());
    until_done(&bench, 40).await;
    assert_eq!(bench.stage.most_running.load(Ordering::SeqCst), 2);
    for _ in 0..8 {
        observe(&bench, Signal::Success, now).await;
    }
    let pace: Option<f64> = sqlx::query_scalar("select pace from worker.queues where name = 'q'")
        .fetch_one(bench.pool())
        .await
        .unwrap();
    assert_eq!(pace, None);
    one.stop().await;
    other.stop().await;
}
