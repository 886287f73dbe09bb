//! The beginning and the end of one attempt, in the caller's transaction, fenced by the lease.
//! Completions without a transaction of their own are recorded in batches by `complete`.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::job::{Lease, Outcome};
use crate::database::storable;

/// Counts the attempt before the work and opens its row in `worker.attempts`. The answer is the
/// attempt's number, or `None`: the lease is lost and nothing changed. Called again under the same
/// lease it counts nothing, and notes the delivery if it was not known before.
pub async fn begin(
    conn: &mut PgConnection,
    lease: &Lease,
    delivery: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Option<i16>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with held as (
               select id, attempt_id as begun from worker.jobs
               where id = $1 and lease_token = $2
               for update
           ), counted as (
               update worker.jobs j
               set attempt = (j.attempt + (held.begun is null)::int)::smallint,
                   attempt_id = coalesce(held.begun, $3)
               from held where j.id = held.id
               returning j.attempt, j.worker, j.attempt_id, held.begun
           ), opened as (
               insert into worker.attempts (id, job_id, delivery_id, number, started_at, worker)
               select $3, $1, $4, attempt, $5, coalesce(worker, '') from counted where begun is null
           ), noted as (
               update worker.attempts a set delivery_id = $4
               from counted
               where $4::uuid is not null and a.job_id = $1 and a.id = counted.begun
           )
           select attempt from counted"#,
        lease.job,
        lease.token,
        Uuid::now_v7(),
        delivery,
        now,
    )
    .fetch_optional(conn)
    .await
}

/// Records the outcome of this attempt in the job's row and in `worker.attempts`. False: the lease
/// is lost and nothing changed. An attempt that was never begun is counted here, with its outcome.
pub async fn settle(
    conn: &mut PgConnection,
    lease: &Lease,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    settle_started(conn, lease, outcome, now, now).await
}

/// [`settle`] for an attempt whose start is known though it was not begun in the database.
pub(super) async fn settle_started(
    conn: &mut PgConnection,
    lease: &Lease,
    outcome: &Outcome,
    started_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let row = OutcomeRow::from(outcome);
    sqlx::query_scalar!(
        r#"with held as (
               select id, attempt_id as begun, attempt,
                      (attempt + (attempt_id is null)::int)::smallint as number
               from worker.jobs
               where id = $1 and lease_token = $2
               for update
           ), settled as (
               update worker.jobs j
               set state = $3,
                   run_at = coalesce($4, j.run_at),
                   attempt = (held.number - $5::boolean::int)::smallint,
                   fault_code = $6,
                   fault_message = $7,
                   finished_at = case when $8 then $9::timestamptz end,
                   lease_token = null, lease_expires_at = null, attempt_id = null
               from held where j.id = held.id
               returning j.id, j.worker, held.begun, held.number
           ), closed as (
               update worker.attempts a
               set ended_at = $9, outcome = $10, fault_code = $6, fault_message = $7
               from settled
               where a.job_id = settled.id and a.id = settled.begun
           ), recorded as (
               insert into worker.attempts
                   (id, job_id, number, started_at, ended_at, outcome, fault_code, fault_message, worker)
               select $11, id, number, $12, $9, $10, $6, $7, coalesce(worker, '')
               from settled where begun is null
           )
           select exists (select from settled) as "settled!""#,
        lease.job,
        lease.token,
        row.state,
        row.run_at,
        row.given_back,
        row.code.as_deref(),
        row.message.as_deref(),
        row.finished,
        now,
        row.outcome,
        Uuid::now_v7(),
        started_at,
    )
    .fetch_one(conn)
    .await
}

/// An outcome as the columns of a job and of an attempt.
struct OutcomeRow<'a> {
    state: &'static str,
    outcome: &'static str,
    run_at: Option<DateTime<Utc>>,
    given_back: bool,
    finished: bool,
    code: Option<Cow<'a, str>>,
    message: Option<Cow<'a, str>>,
}

impl<'a> From<&'a Outcome> for OutcomeRow<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        let (state, name, run_at, reason) = match outcome {
            Outcome::Completed => ("completed", "completed", None, None),
            Outcome::Retry { at, code, message } => {
                ("available", "retry", Some(*at), Some((code, message)))
            }
            Outcome::Snooze { at, code, message } => {
                ("available", "snoozed", Some(*at), Some((code, message)))
            }
            Outcome::Dead { code, message } => ("dead", "dead", None, Some((code, message))),
            Outcome::Canceled => ("canceled", "canceled", None, None),
            Outcome::Held { code, message } => ("held", "held", None, Some((code, message))),
        };
        Self {
            state,
            outcome: name,
            run_at,
            given_back: matches!(outcome, Outcome::Snooze { .. }),
            finished: matches!(state, "completed" | "dead" | "canceled"),
            code: reason.map(|(code, _)| storable(code)),
            message: reason.map(|(_, message)| storable(message)),
        }
    }
}
