//! What is done to queues and waiting jobs from outside, in the caller's transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Makes the held jobs of a queue available at `now`. The answer is their number.
///
/// # Errors
/// The database's.
pub async fn release_held(
    conn: &mut PgConnection,
    queue: &str,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let released = sqlx::query!(
        r#"update worker.jobs set state = 'available', run_at = $2
           where queue = $1 and state = 'held'"#,
        queue,
        now,
    )
    .execute(&mut *conn)
    .await?
    .rows_affected();
    // Also where none was held: the queue may have been paused until now.
    sqlx::query!("select pg_notify('worker_jobs', '')")
        .execute(conn)
        .await?;
    Ok(released)
}

/// Sets how many jobs of a queue run at a time over all daemons; `None`: the configuration's
/// default. It counts from the next claim on.
///
/// # Errors
/// The database's.
pub async fn limit(
    conn: &mut PgConnection,
    queue: &str,
    concurrency: Option<i32>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into worker.queues (name, concurrency, updated_at)
           select $1, $2, $3
           where $2::integer is not null or exists (select from worker.queues where name = $1)
           on conflict (name) do update set concurrency = excluded.concurrency, updated_at = $3
               where queues.concurrency is distinct from excluded.concurrency"#,
        queue,
        concurrency,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has a running job canceled: its daemon stops the handler as soon as it learns of it (by
/// notification, or with its next heartbeat), and only then is the job canceled and its owner told
/// ([`Job::decided_by_queue`](super::Job::decided_by_queue)). A handler that finishes before that
/// has its own outcome. False: the job is not running.
///
/// # Errors
/// The database's.
pub async fn cancel_running(
    conn: &mut PgConnection,
    job: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let asked = sqlx::query!(
        r#"update worker.jobs set stop_requested_at = coalesce(stop_requested_at, $2)
           where id = $1 and state = 'running'
           returning (select pg_notify('worker_jobs_stop', $3)::text) as notified"#,
        job,
        now,
        job.to_string(),
    )
    .fetch_optional(conn)
    .await?;
    Ok(asked.is_some())
}
