//! What is done to runs: starting, computing again, calling off, making final, correcting, paying.
//! Each in one transaction, with its row in the audit.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    calculations,
    compute::{self, ComputeError},
    job::{Compute, QUEUE},
    lanes::{self, Part},
    ledger, payees,
    period::Period,
    run::{self, Run, RunFilter, State},
    settings::Settings,
    withdrawals,
};
use crate::{
    audit::{self, By, Change},
    clock::Clock,
    database::storable,
    queue::{self, NewJob},
};

/// Why something is not done to a run. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such run.
    #[error("there is no royalty run {0}; `royalties list` shows them")]
    Missing(String),
    /// It is in a state that does not allow it.
    #[error("royalty run {name} is {state}: {instead}")]
    State {
        /// Which run.
        name: String,
        /// Where it is.
        state: &'static str,
        /// What can be done.
        instead: &'static str,
    },
    /// The month is not over.
    #[error("{0} is not over; `royalties start {0} --dry-run` shows what it comes to so far")]
    NotOver(Period),
    /// Some tracks are not settled, and nobody said that this is meant.
    #[error(
        "{count} tracks of royalty run {name} are set aside (`royalties show {name}` says why): \
         correct what is wrong and recompute, or finalise it all the same (--accept-set-aside; in the \
         API accept_set_aside), and a later run settles them"
    )]
    SetAside {
        /// Which run.
        name: String,
        /// How many.
        count: u64,
    },
    /// It was computed anew, or something was done to it, since somebody looked.
    #[error("royalty run {0} is not as you have seen it: look at it again, then decide")]
    Stale(String),
    /// Another run was made final since this one read the balances.
    #[error(
        "another royalty run was made final since {0} was computed, and with it the balances that \
         it carries on: recompute it first"
    )]
    Outdated(String),
    /// A correction needs the ledger to itself.
    #[error(
        "royalty run {0} is open: finalise or void it before another one is corrected or rehearsed"
    )]
    OtherOpen(String),
    /// The payee has nothing to be paid with this run.
    #[error("there is nothing to be paid to user {payee} with royalty run {name}")]
    NothingDue {
        /// Whom.
        payee: i32,
        /// Which run.
        name: String,
    },
    /// It cannot be computed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The job cannot be written down.
    #[error(transparent)]
    Job(#[from] serde_json::Error),
}

/// What came of asking for a run.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = RoyaltyRunStarted)]
pub struct Started {
    /// The run.
    pub run: Run,
    /// Whether this call made it; otherwise it was there already.
    pub is_new: bool,
}

/// Makes the run of a period and has it computed by a daemon. If there is one already, whatever its
/// state but void, that one is the answer: so it may be asked for again without harm.
///
/// # Errors
/// [`Refused`].
pub async fn start(
    pool: &PgPool,
    period: Period,
    settings: &Settings,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Started, Refused> {
    if !period.is_over(now) {
        return Err(Refused::NotOver(period));
    }
    let mut tx = pool.begin().await?;
    lock_period(&mut tx, period).await?;
    if let Some(run) = run::newest(&mut tx, period).await? {
        return Ok(Started { run, is_new: false });
    }
    let run = create(&mut tx, period, 1, settings, now).await?;
    let run = begin(&mut tx, run.id, "royalty_run.start", by, now).await?;
    tx.commit().await?;
    Ok(Started { run, is_new: true })
}

/// Makes the next revision of a period whose run is final, which posts the difference between what
/// the ledger says and what is right now. An open revision is the answer if there is one.
///
/// # Errors
/// [`Refused`].
pub async fn revise(
    pool: &PgPool,
    period: Period,
    settings: &Settings,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Started, Refused> {
    let mut tx = pool.begin().await?;
    lock_period(&mut tx, period).await?;
    let Some(last) = run::newest(&mut tx, period).await? else {
        return Err(Refused::Missing(period.to_string()));
    };
    if !last.state.is_final() {
        if last.is_revision() {
            return Ok(Started {
                run: last,
                is_new: false,
            });
        }
        return Err(refused(
            &last,
            "it is not final yet, so recompute it instead",
        ));
    }
    let runs = run::list(&mut tx, &RunFilter::default()).await?;
    let is_open = |run: &&Run| matches!(run.state, State::Running | State::Pending);
    if let Some(open) = runs.iter().find(is_open) {
        return Err(Refused::OtherOpen(open.name()));
    }
    let run = create(&mut tx, period, last.revision + 1, settings, now).await?;
    let run = begin(&mut tx, run.id, "royalty_run.revise", by, now).await?;
    tx.commit().await?;
    Ok(Started { run, is_new: true })
}

/// What the run of a period would come to now. Nothing is kept. The month need not be over; if the
/// period has a final run, the answer is what a further one would settle. An open run is looked at,
/// and computed again, instead.
///
/// # Errors
/// [`Refused`].
pub async fn rehearse(
    pool: &PgPool,
    period: Period,
    settings: &Settings,
    clock: &Clock,
) -> Result<(Run, Vec<run::SetAsideTrack>), Refused> {
    let mut tx = pool
        .begin_with("begin isolation level repeatable read")
        .await?;
    compute::take_turn(&mut tx).await?;
    if let Some(last) = run::newest(&mut tx, period).await?
        && !last.state.is_final()
    {
        let instead = "it shows what it comes to; to see what it would come to now, recompute it";
        return Err(refused(&last, instead));
    }
    // Rolled back at the end, so the revision that no run has is nobody's.
    let run = create(&mut tx, period, i16::MAX, settings, clock())
        .await
        .map_err(|error| match error {
            // One that was started since this transaction's snapshot.
            Refused::Database(sqlx::Error::Database(error))
                if error.constraint() == Some("royalty_runs_open") =>
            {
                Refused::OtherOpen(period.to_string())
            }
            other => other,
        })?;
    sqlx::query!(
        "update worker.royalty_runs set revision = 1 where id = $1 and not exists
            (select from worker.royalty_runs where period = $2 and id <> $1 and state <> 'void')",
        run.id,
        String::from(period)
    )
    .execute(&mut *tx)
    .await?;
    let run = get(&mut tx, run.id).await?;
    let run = compute::rehearse(&mut tx, &run, clock).await?;
    let aside = run::set_aside(&mut tx, run.id, None, 1000).await?;
    tx.rollback().await?;
    Ok((run, aside))
}

/// Has a run that is not final computed again: from what usage says now, or with `keep_input` from
/// what it read before, by today's rules in the configuration.
///
/// # Errors
/// [`Refused`].
pub async fn recompute(
    pool: &PgPool,
    id: Uuid,
    keep_input: bool,
    settings: &Settings,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Run, Refused> {
    let mut tx = pool.begin().await?;
    let before = lock(&mut tx, id).await?;
    let is_stuck = before.state == State::Running && before.fault.is_some();
    if before.state != State::Pending && !is_stuck {
        return Err(refused(&before, "only a pending run can be computed again"));
    }
    sqlx::query!(
        r#"update worker.royalty_runs
           set state = 'running', rules = $3, fault = null, input_at = case when $2 then input_at end
           where id = $1"#,
        id,
        keep_input,
        Json(settings) as _,
    )
    .execute(&mut *tx)
    .await?;
    enqueue(&mut tx, id, now).await?;
    let kept = json!({"keep_input": keep_input});
    record(
        &mut tx,
        by,
        "royalty_run.recompute",
        &before,
        Some(kept),
        now,
    )
    .await?;
    let run = get(&mut tx, id).await?;
    tx.commit().await?;
    Ok(run)
}

/// Calls a run off that is not final. One that is being computed is stopped.
///
/// # Errors
/// [`Refused`].
pub async fn void(pool: &PgPool, id: Uuid, by: &By, now: DateTime<Utc>) -> Result<Run, Refused> {
    let mut tx = pool.begin().await?;
    let before = lock(&mut tx, id).await?;
    if before.state == State::Void {
        return Ok(before);
    }
    if before.state.is_final() {
        return Err(refused(
            &before,
            "nothing of it changes any more; correct it with `royalties revise`",
        ));
    }
    if let Some(job) = before.job {
        stop(&mut tx, job, now).await?;
    }
    calculations::set_status(&mut tx, id, Part::ALL, "void", now).await?;
    sqlx::query!(
        "update worker.royalty_runs set state = 'void', void_at = $2 where id = $1",
        id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    let after = Some(json!({"state": State::Void}));
    record(&mut tx, by, "royalty_run.void", &before, after, now).await?;
    let run = get(&mut tx, id).await?;
    tx.commit().await?;
    Ok(run)
}

/// Makes a pending run final: its entries go into the ledger, and nothing of it changes any more.
/// One that is final already is the answer as it is.
///
/// # Errors
/// [`Refused`].
pub async fn finalise(
    pool: &PgPool,
    id: Uuid,
    accept_set_aside: bool,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Run, Refused> {
    finalise_if(pool, id, None, accept_set_aside, by, now).await
}

/// As [`finalise`], but only if the run is still as it was seen: `seen` is its [`Run::version`].
///
/// # Errors
/// [`Refused`].
pub async fn finalise_if(
    pool: &PgPool,
    id: Uuid,
    seen: Option<&str>,
    accept_set_aside: bool,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Run, Refused> {
    let mut tx = pool.begin().await?;
    // One at a time: each goes on from the balances that the one before left.
    compute::take_turn(&mut tx).await?;
    let before = lock(&mut tx, id).await?;
    if before.state.is_final() {
        return Ok(before);
    }
    if seen.is_some_and(|seen| seen != before.version()) {
        return Err(Refused::Stale(before.name()));
    }
    if before.state != State::Pending {
        return Err(refused(&before, "only a pending run can be made final"));
    }
    if payees::last_final(&mut tx).await? != before.based_on {
        return Err(Refused::Outdated(before.name()));
    }
    let count = before.totals.as_ref().map_or(0, |totals| totals.set_aside);
    if count > 0 && !accept_set_aside {
        return Err(Refused::SetAside {
            name: before.name(),
            count,
        });
    }
    // What the second connection writes is written again by whoever makes the run final after all.
    let mut second = lanes::second(pool).await?;
    post(&mut tx, second.as_deref_mut(), &before, now).await?;
    sqlx::query!(
        "update worker.royalty_runs set state = 'final', final_at = $2 where id = $1",
        id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    let after = json!({"state": State::Final, "accept_set_aside": accept_set_aside, "totals": before.totals});
    record(
        &mut tx,
        by,
        "royalty_run.finalise",
        &before,
        Some(after),
        now,
    )
    .await?;
    let run = get(&mut tx, id).await?;
    if let Some(second) = second {
        second.commit().await?;
    }
    tx.commit().await?;
    Ok(run)
}

/// Posts a run and makes its rows final.
async fn post(
    conn: &mut PgConnection,
    second: Option<&mut PgConnection>,
    run: &Run,
    now: DateTime<Utc>,
) -> Result<(), ComputeError> {
    let (id, status) = (run.id, "final");
    let Some(second) = second else {
        ledger::post(conn, run, now).await?;
        return Ok(calculations::set_status(conn, id, Part::ALL, status, now).await?);
    };
    let [own, other] = Part::BESIDE_POSTING;
    let first = async {
        ledger::post(conn, run, now).await?;
        Ok::<_, ComputeError>(calculations::set_status(conn, id, own, status, now).await?)
    };
    let beside = async { Ok(calculations::set_status(second, id, other, status, now).await?) };
    tokio::try_join!(first, beside)?;
    Ok(())
}

/// Notes that payees were paid what a final run owes them: one, or all. Those who are paid already
/// are left as they are. When nobody is left, the run is paid.
///
/// # Errors
/// [`Refused`].
pub async fn pay(
    pool: &PgPool,
    id: Uuid,
    payee: Option<i32>,
    reference: Option<&str>,
    by: &By,
    now: DateTime<Utc>,
) -> Result<(Run, Vec<ledger::Payment>), Refused> {
    let reference = reference.map(storable);
    let reference = reference.as_deref();
    let mut tx = pool.begin().await?;
    let before = lock(&mut tx, id).await?;
    if !before.state.is_final() {
        return Err(refused(&before, "only a final run can be paid"));
    }
    // What was withdrawn is not paid again.
    withdrawals::post(&mut tx, &before.rules, now).await?;
    let paid = ledger::pay(&mut tx, &before, payee, reference, now).await?;
    if let (Some(payee), true) = (payee, paid.is_empty()) {
        if !ledger::is_due(&mut tx, id, payee).await? {
            return Err(Refused::NothingDue {
                payee,
                name: before.name(),
            });
        }
        return Ok((before, paid));
    }
    calculations::mark_paid(&mut tx, id, now).await?;
    sqlx::query!(
        r#"update worker.royalty_runs set state = 'paid', paid_at = $2
           where id = $1 and state = 'final' and not exists
               (select from worker.royalty_payments where run_id = $1 and paid_at is null)"#,
        id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    let after = json!({"payee": payee, "payments": paid, "reference": reference});
    record(&mut tx, by, "royalty_run.pay", &before, Some(after), now).await?;
    let run = get(&mut tx, id).await?;
    tx.commit().await?;
    Ok((run, paid))
}

fn refused(run: &Run, instead: &'static str) -> Refused {
    Refused::State {
        name: run.name(),
        state: run.state.as_str(),
        instead,
    }
}

async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Run, Refused> {
    let run = run::get(conn, id).await?;
    run.ok_or_else(|| Refused::Missing(id.to_string()))
}

/// The run, locked until the transaction ends.
async fn lock(conn: &mut PgConnection, id: Uuid) -> Result<Run, Refused> {
    sqlx::query!(
        "select id from worker.royalty_runs where id = $1 for update",
        id
    )
    .fetch_optional(&mut *conn)
    .await?;
    get(conn, id).await
}

/// Two who ask for the run of a period at once take turns.
async fn lock_period(conn: &mut PgConnection, period: Period) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('royalties ' || $1, 0))",
        String::from(period),
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

async fn create(
    conn: &mut PgConnection,
    period: Period,
    revision: i16,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Run, Refused> {
    let id = sqlx::query_scalar!(
        r#"insert into worker.royalty_runs (period, revision, currency, rules, created_at)
           values ($1, $2, $3, $4, $5) returning id"#,
        String::from(period),
        revision,
        String::from(settings.currency),
        Json(settings) as _,
        now,
    )
    .fetch_one(&mut *conn)
    .await?;
    get(conn, id).await
}

/// Has a run computed that was just made, and notes who wanted it.
async fn begin(
    conn: &mut PgConnection,
    run: Uuid,
    action: &str,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Run, Refused> {
    enqueue(conn, run, now).await?;
    let run = get(conn, run).await?;
    record(conn, by, action, &run, None, now).await?;
    Ok(run)
}

async fn enqueue(conn: &mut PgConnection, run: Uuid, now: DateTime<Utc>) -> Result<(), Refused> {
    // Not unique: the job before may just be ending, and computing twice comes to the same.
    let job = NewJob::new(QUEUE, &Compute { run }, now)?;
    let job = queue::enqueue(conn, &[job])
        .await?
        .into_iter()
        .next()
        .flatten();
    sqlx::query!(
        "update worker.royalty_runs set job_id = coalesce($2, job_id) where id = $1",
        run,
        job,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Cancels a job that waits, or has one stopped that runs.
async fn stop(conn: &mut PgConnection, job: Uuid, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    if queue::cancel_running(conn, job, now).await? {
        return Ok(());
    }
    sqlx::query!(
        r#"update worker.jobs set state = 'canceled', finished_at = $2
           where id = $1 and state in ('available', 'held')"#,
        job,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn record(
    conn: &mut PgConnection,
    by: &By,
    action: &str,
    run: &Run,
    after: Option<Value>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let change = Change {
        action,
        object_kind: "royalty_run",
        object_id: run.id.to_string(),
        before: Some(
            json!({"period": run.period, "revision": run.revision, "state": run.state,
                            "output_digest": run.output_digest}),
        ),
        after,
    };
    audit::record(conn, by, &change, now).await
}
