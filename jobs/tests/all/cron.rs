//! Runs at set times: one for each tick, however many daemons there are and whenever they look.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    audit::{self, By},
    clock,
    queue::{
        self, Registry,
        cron::{self, Entry, Schedule},
    },
    retention,
};
use sqlx::PgPool;
use test_support::TestDatabase;
use tokio_util::sync::CancellationToken;

use crate::deliveries::harness::until;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn by(reason: &str) -> By {
    By::new("test", reason).unwrap()
}

fn entries(expression: &str) -> Vec<Entry> {
    vec![retention::entry(Schedule::new(expression).unwrap())]
}

async fn known(pool: &PgPool, entries: &[Entry], now: DateTime<Utc>) {
    let mut conn = pool.acquire().await.unwrap();
    cron::register(&mut conn, entries, now).await.unwrap();
}

/// Runs an entry once, by a daemon with these kinds, until its job is completed.
pub(crate) async fn run_once(pool: &PgPool, registry: Registry, entry: &Entry) {
    let shutdown = CancellationToken::new();
    let daemon = tokio::spawn(queue::run(
        (*pool.connect_options()).clone(),
        registry,
        queue::Settings::default(),
        clock::system(),
        jobs::vitals::Vitals::default(),
        shutdown.clone(),
    ));
    let mut tx = pool.begin().await.unwrap();
    let run = cron::run_now(&mut tx, entry, &by("now"), Utc::now()).await;
    tx.commit().await.unwrap();
    let id = run.unwrap().job.unwrap();
    until(|| async {
        let state: String = sqlx::query_scalar("select state from worker.jobs where id = $1")
            .bind(id)
            .fetch_one(pool)
            .await
            .unwrap();
        (state == "completed").then_some(())
    })
    .await;
    shutdown.cancel();
    daemon.await.unwrap().unwrap();
}

/// Ticks of all runs, and the number of jobs.
async fn runs(pool: &PgPool) -> (Vec<DateTime<Utc>>, i64) {
    let ticks = sqlx::query_scalar("select tick from worker.cron_runs order by tick")
        .fetch_all(pool)
        .await
        .unwrap();
    let jobs = sqlx::query_scalar("select count(*) from worker.jobs")
        .fetch_one(pool)
        .await
        .unwrap();
    (ticks, jobs)
}

async fn finish_jobs(pool: &PgPool) {
    sqlx::query("update worker.jobs set state = 'completed', finished_at = now()")
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_daemons_make_one_run_of_each_tick() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let nightly = entries("40 3 * * *");
    known(pool, &nightly, at("2026-05-01T12:00:00Z")).await;
    for day in 2..5 {
        let tick = at(&format!("2026-05-0{day}T03:40:00Z"));
        // Their clocks differ, by more than anybody's should.
        let daemons = (0..8).map(|number| {
            let (pool, nightly) = (pool.clone(), nightly.clone());
            let now = tick + TimeDelta::milliseconds(number * 700);
            tokio::spawn(async move { cron::turn(&pool, &nightly, now).await.unwrap() })
        });
        let mut made = Vec::new();
        for daemon in daemons.collect::<Vec<_>>() {
            made.extend(daemon.await.unwrap());
        }
        assert_eq!(made.len(), 1, "{made:?}");
        assert_eq!((made[0].name, made[0].tick), ("retention", tick));
        assert!(made[0].job.is_some());
        finish_jobs(pool).await;
    }
    let (ticks, jobs) = runs(pool).await;
    assert_eq!((ticks.len(), jobs), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_missed_ticks_the_last_is_made_up_for() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let hourly = entries("15 * * * *");
    known(pool, &hourly, at("2026-05-01T12:30:00Z")).await;
    let none = cron::turn(pool, &hourly, at("2026-05-01T13:14:59Z")).await;
    assert_eq!(none.unwrap(), [], "nothing from before it was known");
    // Four days later.
    let made = cron::turn(pool, &hourly, at("2026-05-05T09:00:00Z"))
        .await
        .unwrap();
    assert_eq!(made.len(), 1);
    let again = cron::turn(pool, &hourly, at("2026-05-05T09:14:00Z")).await;
    assert_eq!(again.unwrap(), []);
    // A clock that is behind makes no older run.
    let behind = cron::turn(pool, &hourly, at("2026-05-04T01:00:00Z")).await;
    assert_eq!(behind.unwrap(), []);
    assert_eq!(runs(pool).await, (vec![at("2026-05-05T08:15:00Z")], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_predecessor_is_not_finished_adds_no_job() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let hourly = entries("0 * * * *");
    known(pool, &hourly, at("2026-05-01T12:30:00Z")).await;
    let mut jobs = Vec::new();
    for hour in 13..16 {
        let now = at(&format!("2026-05-01T{hour}:00:03Z"));
        let made = cron::turn(pool, &hourly, now).await.unwrap();
        jobs.push(made[0].job.is_some());
        if hour == 14 {
            finish_jobs(pool).await;
        }
    }
    assert_eq!(jobs, [true, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_expression_begins_with_its_next_tick() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    known(pool, &entries("0 3 * * *"), at("2026-05-01T12:00:00Z")).await;
    let changed = entries("0 11 * * *");
    let now = at("2026-05-02T11:30:00Z");
    known(pool, &changed, now).await;
    assert_eq!(cron::turn(pool, &changed, now).await.unwrap(), []);
    // The same again changes nothing.
    known(pool, &changed, at("2026-05-03T12:00:00Z")).await;
    let made = cron::turn(pool, &changed, at("2026-05-03T12:00:00Z")).await;
    assert_eq!(made.unwrap()[0].tick, at("2026-05-03T11:00:00Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_its_job_is_no_run() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let mut broken = entries("0 3 * * *");
    broken[0].job = |_| Err(serde_json::from_str::<()>("no").unwrap_err());
    known(pool, &broken, at("2026-05-01T12:00:00Z")).await;
    let now = at("2026-05-02T03:00:00Z");
    cron::turn(pool, &broken, now).await.unwrap_err();
    assert_eq!(runs(pool).await, (vec![], 0));
    let mended = cron::turn(pool, &entries("0 3 * * *"), now).await.unwrap();
    assert_eq!(mended.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_pauses_resumes_and_runs_by_hand() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let nightly = entries("0 3 * * *");
    let entry = &nightly[0];
    let mut conn = pool.acquire().await.unwrap();
    // No daemon has run yet: it is listed all the same.
    let noon = at("2026-05-01T12:00:00Z");
    let listed = cron::list(&mut conn, &nightly, noon).await.unwrap();
    assert_eq!(listed[0].next, Some(at("2026-05-02T03:00:00Z")));
    assert_eq!((listed[0].paused_at, &listed[0].last), (None, &None));

    assert!(
        cron::pause(&mut conn, entry, &by("moving house"), noon)
            .await
            .unwrap()
    );
    assert!(
        !cron::pause(&mut conn, entry, &by("again"), noon)
            .await
            .unwrap()
    );
    let later = at("2026-05-02T05:00:00Z");
    assert_eq!(cron::turn(pool, &nightly, later).await.unwrap(), []);
    let listed = cron::list(&mut conn, &nightly, later).await.unwrap();
    assert_eq!((listed[0].next, listed[0].paused_at), (None, Some(noon)));
    assert_eq!(listed[0].reason.as_deref(), Some("moving house"));

    let by_hand = cron::run_now(&mut conn, entry, &by("the disk is full"), later).await;
    let job = by_hand.unwrap().job;
    assert!(job.is_some());
    let again = cron::run_now(
        &mut conn,
        entry,
        &by("hurry"),
        later + TimeDelta::seconds(1),
    )
    .await;
    assert_eq!(again.unwrap().job, None, "it waits already");
    let resumed = later + TimeDelta::seconds(2);

    assert!(
        cron::resume(&mut conn, entry, &by("settled"), resumed)
            .await
            .unwrap()
    );
    assert!(
        !cron::resume(&mut conn, entry, &by("settled"), later)
            .await
            .unwrap()
    );
    assert_eq!(
        cron::turn(pool, &nightly, later + TimeDelta::hours(1))
            .await
            .unwrap(),
        [],
        "what passed during the pause is not made up for"
    );
    finish_jobs(pool).await;
    let next = at("2026-05-03T03:00:02Z");
    assert_eq!(cron::turn(pool, &nightly, next).await.unwrap().len(), 1);
    let last = cron::list(&mut conn, &nightly, next).await.unwrap()[0]
        .last
        .clone()
        .unwrap();
    assert_eq!(last.tick, at("2026-05-03T03:00:00Z"));
    // To pause what is paused changes nothing.
    let entries = audit::list(pool, Some(("cron", entry.name)), 10)
        .await
        .unwrap();
    let audited: Vec<_> = entries
        .iter()
        .rev()
        .map(|one| (one.action.as_str(), one.reason.as_str()))
        .collect();
    assert_eq!(
        audited,
        [
            ("cron.pause", "moving house"),
            ("cron.run", "the disk is full"),
            ("cron.run", "hurry"),
            ("cron.resume", "settled"),
        ]
    );
    assert_eq!(
        (last.reason, last.state.as_deref()),
        (None, Some("available"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_follow_the_clock_on_the_wall() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let shutdown = CancellationToken::new();
    let daemons: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn(cron::run(
                pool.clone(),
                entries("* * * * * *"),
                clock::system(),
                jobs::vitals::Vitals::default(),
                shutdown.clone(),
            ))
        })
        .collect();
    until(|| async { (runs(pool).await.0.len() >= 3).then_some(()) }).await;
    shutdown.cancel();
    for daemon in daemons {
        tokio::time::timeout(Duration::from_secs(30), daemon)
            .await
            .unwrap()
            .unwrap();
    }
    let (ticks, jobs) = runs(pool).await;
    assert!(ticks.iter().all(|tick| tick.timestamp_subsec_nanos() == 0));
    assert_eq!(jobs, 1, "nothing finished the first one");
}
