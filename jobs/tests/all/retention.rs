//! Pruning by age, and what must stay however old it is.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    audit::{self, By},
    clock,
    queue::{NewJob, Registry, cron::Schedule},
    retention::{self, Mode, Policy, Retention, prune},
};
use proptest::prelude::*;
use sqlx::PgPool;
use test_support::TestDatabase;
use uuid::Uuid;

use crate::cron::run_once;

/// Small batches, so that every loop goes round; different ages, so that none is taken for another.
fn policy() -> Policy {
    Policy {
        jobs_days: 10,
        dead_jobs_days: 20,
        attempts_days: 30,
        evidence_days: 40,
        files_days: 50,
        cron_runs_days: 60,
        notifications_days: 70,
        partner_notices_days: 80,
        statements_days: 90,
        batch_rows: 3,
        pause_ms: 0,
    }
}

/// Rows by table, as `prune` lists them.
async fn pruned(pool: &PgPool, mode: Mode, now: DateTime<Utc>) -> Vec<u64> {
    let pruned = prune(pool, &policy(), mode, now).await.unwrap();
    pruned.into_iter().map(|one| one.rows).collect()
}

async fn count(pool: &PgPool, table: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
        .fetch_one(pool)
        .await
        .unwrap()
}

/// A delivery with a document and two files if `is_sent`.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    release: i32,
    platform: i32,
    revision: i32,
    kind: &'static str,
    state: &'static str,
    decided_at: Option<DateTime<Utc>>,
    is_sent: bool,
}

impl Delivery {
    async fn insert(self, pool: &PgPool) -> Uuid {
        let id: Uuid = sqlx::query_scalar(
            "insert into worker.deliveries
                 (release_id, platform_id, record_id, kind, revision, state, release_title,
                  platform_name, method, decided_at)
             values ($1, $2, 1, $3, $4, $5, 'One', 'Nordlys', 'sftp', $6) returning id",
        )
        .bind(self.release)
        .bind(self.platform)
        .bind(self.kind)
        .bind(self.revision)
        .bind(self.state)
        .bind(self.decided_at)
        .fetch_one(pool)
        .await
        .unwrap();
        if self.is_sent {
            sqlx::query(
                "with document as (
                     insert into worker.evidence
                         (delivery_id, transmission, attempt, name, media_type, body)
                     values ($1, 1, 1, 'message.xml', 'application/xml', 'x')
                 )
                 insert into worker.delivery_files
                     (delivery_id, transmission, position, name, path, size, sha256, md5)
                 select $1, 1, position, 'a.wav', 'a.wav', 1, '', '' from generate_series(1, 2) position",
            )
            .bind(id)
            .execute(pool)
            .await
            .unwrap();
        }
        id
    }
}

/// A job of this state with an ended attempt, both finished at `at`; `delivery` if it has one.
async fn job(pool: &PgPool, state: &str, at: DateTime<Utc>, delivery: Option<Uuid>) {
    let id = Uuid::now_v7();
    let is_finished = matches!(state, "completed" | "canceled" | "dead");
    sqlx::query(
        "with attempt as (
             insert into worker.attempts
                 (id, job_id, delivery_id, number, started_at, ended_at, outcome, worker)
             values ($1, $1, $5, 1, $3, $3, 'completed', 'w')
         ), listed as (
             insert into worker.upkeep_jobs values ($1)
         )
         insert into worker.jobs (id, queue, kind, arguments, state, run_at, max_attempts, finished_at)
         values ($1, 'q', 'k', coalesce(jsonb_build_object('delivery', $5::uuid), '{}'), $2, $3, 1,
             case when $4 then $3 end)",
    )
    .bind(id)
    .bind(state)
    .bind(at)
    .bind(is_finished)
    .bind(delivery)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_and_attempts_go_by_their_age() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let start = Utc::now() + TimeDelta::minutes(1);
    let undecided = Delivery {
        release: 1,
        platform: 1,
        revision: 1,
        kind: "insert",
        state: "sent",
        decided_at: None,
        is_sent: true,
    };
    let undecided = undecided.insert(pool).await;
    for _ in 0..4 {
        for state in ["completed", "canceled", "dead", "available", "held"] {
            job(pool, state, start, None).await;
        }
        job(pool, "completed", start, Some(undecided)).await;
    }
    // A value that looks like no id is nobody's.
    sqlx::query("update worker.jobs set arguments = '{\"delivery\": 7}' where state = 'canceled'")
        .execute(pool)
        .await
        .unwrap();

    let day = |days: i64| start + TimeDelta::days(days);
    assert_eq!(pruned(pool, Mode::Remove, day(10)).await, [0; 9]);
    assert_eq!(
        pruned(pool, Mode::Count, day(11)).await,
        [0, 8, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(
        count(pool, "worker.jobs").await,
        24,
        "counting removes nothing"
    );
    assert_eq!(
        pruned(pool, Mode::Remove, day(11)).await,
        [0, 8, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(
        pruned(pool, Mode::Remove, day(21)).await,
        [0, 0, 4, 0, 0, 0, 0, 0, 0]
    );
    // Attempts of the jobs that are gone; not those of unfinished jobs, nor of the delivery.
    assert_eq!(
        pruned(pool, Mode::Count, day(31)).await,
        [12, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(
        pruned(pool, Mode::Remove, day(31)).await,
        [12, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(pruned(pool, Mode::Remove, day(4000)).await, [0; 9]);
    assert_eq!(count(pool, "worker.jobs").await, 12);
    assert_eq!(count(pool, "worker.upkeep_jobs").await, 12);
    assert_eq!(count(pool, "worker.attempts").await, 12);
    assert_eq!(count(pool, "worker.evidence").await, 1);

    sqlx::query("update worker.deliveries set state = 'accepted', decided_at = $1")
        .bind(start)
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(
        pruned(pool, Mode::Remove, day(31)).await,
        [4, 4, 0, 0, 0, 0, 0, 0, 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_shorter_than_for_ever_where_that_is_set() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    job(pool, "completed", Utc::now(), None).await;
    let for_ever = Policy {
        jobs_days: 0,
        attempts_days: 0,
        ..policy()
    };
    let later = Utc::now() + TimeDelta::days(4000);
    let pruned = prune(pool, &for_ever, Mode::Remove, later).await.unwrap();
    assert!(pruned.iter().all(|one| one.rows == 0), "{pruned:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cron_runs_go_but_the_newest_of_each_entry() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let start = Utc::now();
    sqlx::query(
        "with entry as (
             insert into worker.cron_entries (name, expression, handled_until)
             select name, '', $1 from unnest(array['one', 'two']) name returning name
         )
         insert into worker.cron_runs (name, tick, started_at)
         select name, tick, tick
         from entry, generate_series($1, $1 + interval '9 days', interval '1 day') tick",
    )
    .bind(start)
    .execute(pool)
    .await
    .unwrap();
    let later = start + TimeDelta::days(64) + TimeDelta::seconds(1);
    assert_eq!(
        pruned(pool, Mode::Count, later).await,
        [0, 0, 0, 0, 0, 10, 0, 0, 0]
    );
    assert_eq!(
        pruned(pool, Mode::Remove, later).await,
        [0, 0, 0, 0, 0, 10, 0, 0, 0]
    );
    let later = later + TimeDelta::days(1000);
    assert_eq!(
        pruned(pool, Mode::Remove, later).await,
        [0, 0, 0, 0, 0, 8, 0, 0, 0]
    );
    assert_eq!(count(pool, "worker.cron_runs").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_proof_of_a_live_release_stays() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let start = Utc::now();
    let delivery = |revision, kind, state, is_sent| Delivery {
        release: 1,
        platform: 1,
        revision,
        kind,
        state,
        decided_at: Some(start),
        is_sent,
    };
    let first = delivery(1, "insert", "accepted", true).insert(pool).await;
    delivery(2, "update", "rejected", true).insert(pool).await;
    // It found nothing changed, and sent nothing.
    delivery(3, "update", "accepted", false).insert(pool).await;
    delivery(4, "update", "failed", true).insert(pool).await;
    let later = start + TimeDelta::days(400);
    assert_eq!(pruned(pool, Mode::Count, later).await[3..5], [2, 4]);
    assert_eq!(pruned(pool, Mode::Remove, later).await[3..5], [2, 4]);
    let left: Vec<Uuid> = sqlx::query_scalar("select delivery_id from worker.evidence")
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(left, [first]);
    assert_eq!(count(pool, "worker.delivery_files").await, 2);

    // A later one takes its place; then it goes with the others, at once for both tables' ages.
    let decided_at = Some(later);
    let next = Delivery {
        decided_at,
        ..delivery(5, "update", "accepted", true)
    };
    next.insert(pool).await;
    assert_eq!(pruned(pool, Mode::Remove, later).await[3..5], [0, 0]);
    let last = later + TimeDelta::days(51);
    assert_eq!(pruned(pool, Mode::Remove, last).await[3..5], [1, 2]);
    assert_eq!(count(pool, "worker.evidence").await, 1);
    assert_eq!(
        count(pool, "worker.deliveries").await,
        5,
        "the history stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_prunes_when_its_entry_runs() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    job(pool, "completed", Utc::now() - TimeDelta::days(11), None).await;
    // The walk goes along the ids, so the row must be as old as it says.
    sqlx::query("update worker.jobs set id = '01900000-0000-7000-8000-000000000000'")
        .execute(pool)
        .await
        .unwrap();
    let services = retention::Services {
        pool: pool.clone(),
        clock: clock::system(),
        policy: Arc::new(policy()),
    };
    let registry = Registry::new().with::<Retention>(services).unwrap();
    let entry = retention::entry(Schedule::new("40 3 * * *").unwrap());
    run_once(pool, registry, &entry).await;
    assert_eq!(
        count(pool, "worker.jobs").await,
        1,
        "the job itself is young"
    );
    // The kind keeps its name and arguments: jobs of it wait in databases.
    let job = NewJob::new("retention", &Retention {}, Utc::now()).unwrap();
    assert_eq!(
        (job.kind, job.arguments.to_string()),
        ("retention", "{}".into())
    );
}

/// What is known of a delivery in the property test; days count from the beginning.
#[derive(Clone, Debug)]
struct Told {
    place: usize,
    kind: &'static str,
    state: &'static str,
    day: i64,
    is_sent: bool,
}

fn told() -> impl Strategy<Value = Told> {
    let kind = prop::sample::select(vec!["insert", "update", "update", "takedown"]);
    let state = prop::sample::select(vec![
        "accepted", "accepted", "accepted", "rejected", "failed", "canceled", "queued", "sent",
        "held", "unknown", "batched",
    ]);
    (0..3usize, kind, state, 0..400i64, any::<bool>()).prop_map(
        |(place, kind, state, day, is_sent)| Told {
            place,
            kind,
            state,
            day,
            is_sent,
        },
    )
}

fn is_decided(state: &str) -> bool {
    matches!(state, "accepted" | "rejected" | "failed" | "canceled")
}

/// Which deliveries may have lost their evidence or files when what was decided on or before `day`
/// is old: written down as the rule says it, over all deliveries at once. A later delivery takes
/// the place of the last proof if it was decided on or before `heir_day`.
fn may_go(history: &[(Told, Uuid)], day: i64, heir_day: i64) -> BTreeSet<Uuid> {
    let is_live = |told: &Told| {
        told.state == "accepted" && matches!(told.kind, "insert" | "update") && told.is_sent
    };
    let mut gone = BTreeSet::new();
    for (at, (told, id)) in history.iter().enumerate() {
        let has_heir = history[at + 1..]
            .iter()
            .any(|(later, _)| later.place == told.place && is_live(later) && later.day <= heir_day);
        let is_last_proof = is_live(told) && !has_heir;
        if is_decided(told.state) && told.day <= day && told.is_sent && !is_last_proof {
            gone.insert(*id);
        }
    }
    gone
}

async fn keepers(pool: &PgPool, table: &str) -> BTreeSet<Uuid> {
    let sql = format!("select distinct delivery_id from {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_all(pool)
        .await
        .unwrap()
        .into_iter()
        .collect()
}

/// Revisions come in order, decisions as they like; retention runs in between, at a time that only
/// goes on. After each run what must stay is there and what must go is not.
async fn live_through(pool: &PgPool, chapters: Vec<(Vec<Told>, i64)>) {
    sqlx::query("truncate worker.deliveries, worker.retention_marks cascade")
        .execute(pool)
        .await
        .unwrap();
    let start = Utc::now();
    let mut history: Vec<(Told, Uuid)> = Vec::new();
    let mut sent = BTreeSet::new();
    let mut today = 0;
    for (deliveries, days) in chapters {
        for mut told in deliveries {
            // Nothing is decided in a past that retention has seen.
            told.day += today;
            let revision = i32::try_from(history.len()).unwrap() + 1;
            let delivery = Delivery {
                release: 1,
                platform: i32::try_from(told.place).unwrap(),
                revision,
                kind: told.kind,
                state: told.state,
                decided_at: is_decided(told.state).then(|| start + TimeDelta::days(told.day)),
                is_sent: told.is_sent,
            };
            let id = delivery.insert(pool).await;
            if told.is_sent {
                sent.insert(id);
            }
            history.push((told, id));
        }
        today += days;
        let now = start + TimeDelta::days(today);
        let counted = pruned(pool, Mode::Count, now).await;
        let removed = pruned(pool, Mode::Remove, now).await;
        assert_eq!(counted, removed, "counting says what removing does");
        for (table, age) in [("worker.evidence", 40), ("worker.delivery_files", 50)] {
            let old = today - age - 1;
            let found = keepers(pool, table).await;
            let must_stay = &sent - &may_go(&history, old, i64::MAX);
            let lost = &must_stay - &found;
            assert!(lost.is_empty(), "{table} lost {lost:?} of {history:#?}");
            // What has an heir goes when the heir is old too, at the latest.
            let must_go = may_go(&history, old, old);
            let forgotten = &found & &must_go;
            assert!(
                forgotten.is_empty(),
                "{table} forgot {forgotten:?} of {history:#?}"
            );
        }
    }
}

#[test]
fn retention_never_removes_what_the_rule_protects() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let chapters = prop::collection::vec((prop::collection::vec(told(), 0..7), 0..300i64), 1..6);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&chapters, |chapters| {
            runtime.block_on(live_through(database.pool(), chapters));
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_at_an_operators_word_is_audited() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    job(pool, "completed", Utc::now(), None).await;
    let by = By::new("cli:ada", "the disk is full").unwrap();
    let later = Utc::now() + TimeDelta::days(11);
    let pruned = retention::prune_by_operator(pool, &policy(), &by, later).await;
    assert!(pruned.unwrap().iter().any(|one| one.rows == 1));
    let entries = audit::list(pool, Some(("retention", "all")), 10)
        .await
        .unwrap();
    let [entry] = entries.as_slice() else {
        panic!("{entries:?}");
    };
    assert_eq!(
        (entry.actor.as_str(), entry.reason.as_str()),
        ("cli:ada", "the disk is full")
    );
    assert_eq!(entry.after.as_ref().unwrap()["older_than"]["jobs_days"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_partners_notices_go() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let start = Utc::now();
    sqlx::query(
        "insert into worker.partner_notices (platform_id, id, heard_at)
         select 1, n::text, $1 + make_interval(days => n) from generate_series(1, 10) n",
    )
    .bind(start)
    .execute(pool)
    .await
    .unwrap();
    let later = start + TimeDelta::days(87);
    for mode in [Mode::Count, Mode::Remove] {
        assert_eq!(
            pruned(pool, mode, later).await.iter().rev().nth(1),
            Some(&6)
        );
    }
    assert_eq!(count(pool, "worker.partner_notices").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_all_payees_go() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let start = Utc::now();
    sqlx::query(
        "with made as (
             insert into worker.statement_sets (run_id, layout, version, state, total, created_at, updated_at, finished_at)
             select worker.uuid_v7(), 'pdf', 'final', case when n = 1 then 'running' else 'completed' end, 2, $1, $1,
                 case when n > 1 then $1 + make_interval(days => n) end
             from generate_series(1, 4) n returning id)
         insert into worker.statement_files (set_id, payee_id, body)
         select id, payee, 'x' from made, generate_series(1, 2) payee",
    )
    .bind(start)
    .execute(pool)
    .await
    .unwrap();
    let later = start + TimeDelta::hours(24 * 93 + 1);
    for mode in [Mode::Count, Mode::Remove] {
        assert_eq!(pruned(pool, mode, later).await.last(), Some(&2));
    }
    assert_eq!(count(pool, "worker.statement_sets").await, 2);
    assert_eq!(count(pool, "worker.statement_files").await, 4);
}
