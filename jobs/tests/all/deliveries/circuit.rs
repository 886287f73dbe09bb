//! A platform that is down, one with limits, and what that costs the deliveries that wait.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    catalog::{self, PlatformQueue},
    queue::circuit::CircuitPolicy,
};
use platform_adapters::{Code, Fault, Receipt};
use serde_json::json;
use test_support::catalogue;

use super::harness::{Asked, World, until};

/// A world whose clock only the test moves.
struct Moved {
    world: World,
    now: Arc<Mutex<DateTime<Utc>>>,
}

impl Moved {
    /// At noon (UTC) of tomorrow, when all schedules are due; a circuit that opens at the second
    /// fault, for half an hour.
    async fn new() -> Self {
        let mut world = World::new().await;
        let noon = (Utc::now().date_naive() + TimeDelta::days(1)).and_hms_opt(12, 0, 0);
        let now = Arc::new(Mutex::new(noon.unwrap().and_utc()));
        let read = Arc::clone(&now);
        world.clock = Arc::new(move || *read.lock().unwrap());
        world.circuit = CircuitPolicy {
            faults: 2,
            cool_down_s: 3600,
            max_cool_down_s: 3600,
            ..CircuitPolicy::default()
        };
        Self { world, now }
    }

    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap()
    }

    /// Moves the clock, and wakes the daemons to look at it.
    async fn forward(&self, by: TimeDelta) {
        *self.now.lock().unwrap() += by;
        sqlx::query("select pg_notify('worker_jobs', '')")
            .execute(self.world.pool())
            .await
            .unwrap();
    }

    /// A platform that is spoken to once at a time.
    async fn platform(&self, name: &str, limits: serde_json::Value) -> i32 {
        let id = catalogue::platform(self.world.pool(), name).await;
        sqlx::query("update distribution_platforms set format_specs = $2 where id = $1")
            .bind(id)
            .bind(json!({"limits": limits}))
            .execute(self.world.pool())
            .await
            .unwrap();
        id
    }

    async fn queue(&self, platform: i32) -> PlatformQueue {
        let all = catalog::platforms(self.world.pool(), self.now()).await;
        let mut all = all.unwrap().into_iter();
        all.find(|one| one.id == platform).unwrap()
    }

    fn script(&self, answers: &[Option<Code>]) {
        let mut deliver = self.world.partner.deliver.lock().unwrap();
        deliver.extend(answers.iter().map(|code| match code {
            Some(code) => Err(Fault::new(*code, "as told")),
            None => Ok(super::harness::taken()),
        }));
    }

    async fn until_asked(&self, deliveries: usize) {
        until(|| async { (self.world.partner.deliveries() == deliveries).then_some(()) }).await;
    }

    async fn until_circuit(&self, platform: i32, state: &str) {
        until(|| async { (self.queue(platform).await.standing.circuit == state).then_some(()) })
            .await;
    }

    async fn until_idle(&self) {
        until(|| async {
            let running: i64 =
                sqlx::query_scalar("select count(*) from worker.jobs where state = 'running'")
                    .fetch_one(self.world.pool())
                    .await
                    .unwrap();
            (running == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_down_is_left_alone_until_a_probe_gets_through() {
    let mut moved = Moved::new().await;
    let platform = moved.platform("Nordlys", json!({"concurrency": 1})).await;
    let mut schedules = Vec::new();
    for number in 1..=3 {
        let release = moved.world.release(number).await;
        schedules.push(catalogue::schedule(moved.world.pool(), release, &[platform]).await);
    }
    moved.script(&[Some(Code::ConnectionFailed), Some(Code::TimedOut)]);
    moved.world.start();
    moved.until_circuit(platform, "open").await;

    // Elsewhere all goes on; here nothing is tried, however long retries are due.
    let elsewhere = moved.platform("Elsewhere", json!({})).await;
    let release = moved.world.release(4).await;
    let free = catalogue::schedule(moved.world.pool(), release, &[elsewhere]).await;
    moved.forward(TimeDelta::minutes(29)).await;
    assert_eq!(moved.world.decided(free).await, "completed");
    assert_eq!(moved.world.partner.deliveries(), 3);
    let standing = moved.queue(platform).await.standing;
    assert_eq!(standing.circuit_fault_code.as_deref(), Some("timed_out"));
    assert_eq!(standing.circuit_faults, 2);
    let untouched: i64 = sqlx::query_scalar(
        "select count(*) from worker.deliveries where attempts = 0 and state = 'queued'",
    )
    .fetch_one(moved.world.pool())
    .await
    .unwrap();
    assert_eq!(untouched, 1);

    moved.forward(TimeDelta::minutes(1)).await;
    for schedule in schedules {
        assert_eq!(moved.world.decided(schedule).await, "completed");
    }
    assert_eq!(moved.queue(platform).await.standing.circuit, "closed");
    moved.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_a_partner_probed_without_waiting() {
    let mut moved = Moved::new().await;
    let platform = moved.platform("Nordlys", json!({"concurrency": 1})).await;
    let mut schedules = Vec::new();
    for number in 1..=2 {
        let release = moved.world.release(number).await;
        schedules.push(catalogue::schedule(moved.world.pool(), release, &[platform]).await);
    }
    moved.script(&[Some(Code::ConnectionFailed), Some(Code::TimedOut)]);
    moved.world.start();
    moved.until_circuit(platform, "open").await;
    moved.until_idle().await;
    let by = jobs::audit::By::new("ada", "the partner says it is back").unwrap();
    let mut conn = moved.world.pool().acquire().await.unwrap();
    // The retries of both are due; only the circuit keeps them.
    moved.forward(TimeDelta::minutes(2)).await;
    assert_eq!(moved.world.partner.deliveries(), 2);
    let probed = jobs::delivery::probe_platform(&mut conn, platform, &by, moved.now()).await;
    assert!(probed.unwrap());
    for schedule in schedules {
        assert_eq!(moved.world.decided(schedule).await, "completed");
    }
    let probed = jobs::delivery::probe_platform(&mut conn, platform, &by, moved.now()).await;
    assert!(!probed.unwrap(), "its circuit is closed");
    let actions: Vec<String> = sqlx::query_scalar("select action from worker.audit")
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    assert_eq!(actions, ["platform.probe"]);
    moved.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_weeks_costs_neither_attempts_nor_time() {
    let mut moved = Moved::new().await;
    let platform = moved.platform("Nordlys", json!({"concurrency": 1})).await;
    let mut schedules = Vec::new();
    for number in 1..=2 {
        let release = moved.world.release(number).await;
        schedules.push(catalogue::schedule(moved.world.pool(), release, &[platform]).await);
    }
    let down = Some(Code::ConnectionFailed);
    // Both fail; five probes fail; one gets through; the other delivery fails once more.
    moved.script(&[down, down, down, down, down, down, down, None, down]);
    moved.world.start();
    moved.until_circuit(platform, "open").await;
    for probe in 1..=5 {
        moved.forward(TimeDelta::days(10)).await;
        moved.until_asked(2 + probe).await;
        moved.until_idle().await;
        assert_eq!(moved.queue(platform).await.standing.circuit, "open");
    }
    let attempts: Vec<i32> = sqlx::query_scalar("select attempts from worker.deliveries")
        .fetch_all(moved.world.pool())
        .await
        .unwrap();
    assert_eq!(attempts, [1, 1], "probes do not count");
    moved.forward(TimeDelta::days(10)).await;
    moved.until_asked(9).await;
    moved.until_idle().await;
    moved.forward(TimeDelta::hours(1)).await;
    for schedule in schedules {
        assert_eq!(moved.world.decided(schedule).await, "completed");
    }
    moved.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_fault_of_the_partner_does_not_open_its_circuit() {
    let mut moved = Moved::new().await;
    let platform = moved.platform("Nordlys", json!({"concurrency": 1})).await;
    let release = moved.world.release(1).await;
    let schedule = catalogue::schedule(moved.world.pool(), release, &[platform]).await;
    moved.script(&[Some(Code::AssetChanged), Some(Code::WorkerFault)]);
    moved.world.start();
    for asked in 1..=2 {
        moved.until_asked(asked).await;
        moved.until_idle().await;
        moved.forward(TimeDelta::minutes(1)).await;
    }
    assert_eq!(moved.world.decided(schedule).await, "completed");
    assert_eq!(
        moved.queue(platform).await.standing.circuit_fault_code,
        None
    );
    moved.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_delivery_of_a_new_platform_waits_for_its_window() {
    let mut moved = Moved::new().await;
    let nights = json!([{"from": "22:00", "to": "06:00", "zone": "UTC"}]);
    let platform = moved.platform("Nordlys", json!({"windows": nights})).await;
    let release = moved.world.release(1).await;
    let waits = catalogue::schedule(moved.world.pool(), release, &[platform]).await;
    moved.world.start();
    until(|| async { moved.world.delivery("id").await }).await;
    let elsewhere = moved.platform("Elsewhere", json!({})).await;
    let other = moved.world.release(2).await;
    let free = catalogue::schedule(moved.world.pool(), other, &[elsewhere]).await;
    assert_eq!(moved.world.decided(free).await, "completed");
    assert_eq!(moved.world.partner.deliveries(), 1);
    moved.forward(TimeDelta::hours(10)).await;
    assert_eq!(moved.world.decided(waits).await, "completed");
    moved.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_follow_the_platforms_row_and_the_configuration() {
    let moved = Moved::new().await;
    let own = moved
        .platform("Own", json!({"per_hour": 7, "windows": []}))
        .await;
    let plain = moved.platform("Plain", json!({})).await;
    let wrong = moved.platform("Wrong", json!({"per_hour": 5})).await;
    let policy = jobs::delivery::LimitPolicy {
        per_hour: 100,
        per_day: 1000,
        windows: serde_json::from_value(json!([{"from": "01:00", "to": "02:00"}])).unwrap(),
        ..Default::default()
    };
    let mut conn = moved.world.pool().acquire().await.unwrap();
    jobs::delivery::set_default_limits(&mut conn, &policy, moved.now())
        .await
        .unwrap();
    let standing = moved.queue(own).await.standing;
    assert_eq!((standing.per_hour, standing.per_day), (Some(7), Some(1000)));
    assert_eq!(
        standing.windows, None,
        "always, though the configuration has hours"
    );
    let standing = moved.queue(plain).await.standing;
    assert_eq!(
        (standing.per_hour, standing.per_day),
        (Some(100), Some(1000))
    );
    assert!(standing.windows.is_some());

    // A row that went wrong leaves the limits as they were, and stops nothing else.
    sqlx::query(
        r#"update distribution_platforms set format_specs =
               case id when $1 then '{"limits": {"per_hour": "many"}}'::jsonb
                       when $2 then '{"limits": {"per_hour": 9}}' end
           where id in ($1, $2)"#,
    )
    .bind(wrong)
    .bind(plain)
    .execute(&mut *conn)
    .await
    .unwrap();
    jobs::delivery::refresh_limits(&mut conn, jobs::delivery::Scope::All, moved.now())
        .await
        .unwrap();
    assert_eq!(moved.queue(wrong).await.standing.per_hour, Some(5));
    assert_eq!(moved.queue(plain).await.standing.per_hour, Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_cannot_be_holds_the_platform_and_names_its_path() {
    let mut moved = Moved::new().await;
    let platform = moved.platform("Nordlys", json!({"per_second": 0})).await;
    let release = moved.world.release(1).await;
    catalogue::schedule(moved.world.pool(), release, &[platform]).await;
    moved.world.start();
    moved.world.until_delivery("held").await;
    let message = moved.world.delivery("fault_message").await.unwrap();
    assert!(
        message.contains("format_specs.limits.per_second"),
        "{message}"
    );
    assert_eq!(moved.world.partner.deliveries(), 0);
    moved.world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_lasts_is_told_once() {
    let mut moved = Moved::new().await;
    let platform = moved.platform("Nordlys", json!({"concurrency": 1})).await;
    for number in 1..=3 {
        let release = moved.world.release(number).await;
        catalogue::schedule(moved.world.pool(), release, &[platform]).await;
    }
    moved.script(&[Some(Code::ConnectionFailed); 5]);
    moved.world.start();
    moved.until_circuit(platform, "open").await;
    let asked = moved.world.partner.deliveries();
    // Every probe fails, and each of them is of another delivery or long after its first attempt.
    for probe in 1..=3 {
        moved.until_idle().await;
        moved.forward(TimeDelta::hours(5)).await;
        moved.until_asked(asked + probe).await;
    }
    moved.until_idle().await;
    moved.world.stop().await;
    let told: Vec<String> = sqlx::query_scalar(
        "select once_key from worker.notifications where event = 'delivery.late'",
    )
    .fetch_all(moved.world.pool())
    .await
    .unwrap();
    let [key] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(
        key.starts_with(&format!("delivery.late/platform/{platform}/")),
        "{key}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_takes_deliveries_and_answers_nothing_is_asked_by_probes_only() {
    let mut moved = Moved::new().await;
    let platform = moved.platform("Nordlys", json!({})).await;
    let asked = |world: &World| {
        let asked = world.partner.asked.lock().unwrap();
        let questions = asked.iter().filter(|one| matches!(one, Asked::Status(_)));
        questions.count()
    };
    let received = || Receipt {
        is_final: false,
        ..super::harness::taken()
    };
    *moved.world.partner.status.lock().unwrap() = [Code::TimedOut, Code::ConnectionFailed]
        .map(|code| Err(Fault::new(code, "as told")))
        .into();
    let mut schedules = Vec::new();
    for number in 1..=3 {
        let release = moved.world.release(number).await;
        schedules.push(catalogue::schedule(moved.world.pool(), release, &[platform]).await);
        moved
            .world
            .partner
            .deliver
            .lock()
            .unwrap()
            .push_back(Ok(received()));
    }
    // One question at a time, for what is on its way when the circuit opens is no probe.
    let first = schedules[0];
    sqlx::query("update scheduled_distributions set scheduled_date = $2 where id <> $1")
        .bind(first)
        .bind((moved.now() + TimeDelta::hours(3)).naive_utc())
        .execute(moved.world.pool())
        .await
        .unwrap();
    moved.world.start();
    let name = format!("confirm/{platform}");
    let is_open = || async {
        sqlx::query_scalar::<_, bool>(
            "select circuit_opened_at is not null from worker.queues where name = $1",
        )
        .bind(&name)
        .fetch_optional(moved.world.pool())
        .await
        .unwrap()
            == Some(true)
    };
    until(|| async {
        moved.forward(TimeDelta::seconds(2)).await;
        is_open().await.then_some(())
    })
    .await;
    moved.until_idle().await;
    assert_eq!(asked(&moved.world), 2);
    assert_eq!(
        moved.queue(platform).await.standing.circuit,
        "closed",
        "deliveries go on"
    );
    let overview = jobs::overview::overview(moved.world.pool(), moved.now()).await;
    let attention = overview.unwrap().attention;
    let open = attention
        .iter()
        .find(|one| one.kind == "circuit_open")
        .unwrap();
    assert_eq!(open.platform.as_deref(), Some("Nordlys"));
    assert_eq!(open.message.as_deref(), Some("as told"));

    moved.forward(TimeDelta::minutes(5)).await;
    moved.until_idle().await;
    assert_eq!(
        asked(&moved.world),
        2,
        "its time has come, and the circuit keeps it"
    );

    // The probe is answered, and the others are asked about as ever.
    moved.forward(TimeDelta::hours(4)).await;
    for schedule in schedules {
        let decided = async {
            loop {
                moved.forward(TimeDelta::seconds(2)).await;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            status = moved.world.decided(schedule) => assert_eq!(status, "completed"),
            () = decided => {}
        }
    }
    assert!(!is_open().await);
    assert_eq!(asked(&moved.world), 5);
    moved.world.stop().await;
}
