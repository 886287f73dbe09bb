//! Dead jobs: which there are, and giving them another life.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::read::ListedJob;
use crate::audit::{self, By, Change};

/// Which dead jobs: all that fit every condition given.
#[derive(Clone, Debug, Default)]
pub struct DeadFilter {
    /// `worker.jobs.kind`.
    pub kind: Option<String>,
    /// `worker.jobs.queue`.
    pub queue: Option<String>,
    /// At most so many, the oldest first.
    pub limit: i64,
}

/// A dead job.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the columns of worker.jobs")]
pub struct DeadJob {
    pub id: Uuid,
    pub queue: String,
    pub kind: String,
    pub arguments: serde_json::Value,
    pub attempt: i16,
    pub crashes: i16,
    pub fault_code: Option<String>,
    pub fault_message: Option<String>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl From<ListedJob> for DeadJob {
    fn from(job: ListedJob) -> Self {
        Self {
            id: job.id,
            queue: job.queue,
            kind: job.kind,
            arguments: job.arguments,
            attempt: job.attempt,
            crashes: job.crashes,
            fault_code: job.fault_code,
            fault_message: job.fault_message,
            finished_at: job.finished_at,
        }
    }
}

/// Lists dead jobs that nobody has followed up: where a later job has the same unique key, the work
/// went on there.
///
/// # Errors
/// The database's.
pub async fn dead(pool: &PgPool, filter: &DeadFilter) -> Result<Vec<DeadJob>, sqlx::Error> {
    sqlx::query_as!(
        DeadJob,
        r#"select id, queue, kind, arguments, attempt, crashes, fault_code, fault_message, finished_at
           from worker.jobs j
           where state = 'dead' and ($1::text is null or kind = $1)
             and ($2::text is null or queue = $2)
             and not exists (select from worker.jobs later
                             where later.unique_key = j.unique_key and later.id > j.id)
           order by id limit $3"#,
        filter.kind,
        filter.queue,
        filter.limit,
    )
    .fetch_all(pool)
    .await
}

/// Whether a job is dead and nobody has followed it up.
///
/// # Errors
/// The database's.
pub(crate) async fn is_dead(pool: &PgPool, job: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from worker.jobs j where id = $1 and state = 'dead'
                 and not exists (select from worker.jobs later
                                 where later.unique_key = j.unique_key and later.id > j.id)
           ) as "is_dead!""#,
        job
    )
    .fetch_one(pool)
    .await
}

/// Gives a dead job all its attempts back and makes it available, with its row in the audit. False:
/// it is not dead any more, or a later job has its unique key. A job whose meaning lies elsewhere is
/// retried through [`crate::dead::retry`].
///
/// # Errors
/// The database's.
pub(crate) async fn retry_dead(
    conn: &mut PgConnection,
    job: Uuid,
    by: &By,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let retried = sqlx::query!(
        r#"with dead as (
               select id, attempt, crashes, fault_code from worker.jobs j
               where id = $1 and state = 'dead'
                 and not exists (select from worker.jobs later
                                 where later.unique_key = j.unique_key and later.id > j.id)
               for update
           )
           update worker.jobs j
           set state = 'available', run_at = $2, attempt = 0, crashes = 0, finished_at = null,
               stop_requested_at = null
           from dead where j.id = dead.id
           returning dead.attempt, dead.crashes, dead.fault_code,
               (select pg_notify('worker_jobs', '')::text) as notified"#,
        job,
        now,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(before) = retried else {
        return Ok(false);
    };
    let change = Change {
        action: "job.retry",
        object_kind: "job",
        object_id: job.to_string(),
        before: Some(json!({
            "state": "dead", "attempt": before.attempt, "crashes": before.crashes,
            "fault": before.fault_code,
        })),
        after: Some(json!({"state": "available", "attempt": 0, "crashes": 0})),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(true)
}
