//! What is done to queues and waiting jobs from outside, in the caller's transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::limits::{Limits, windows_value};

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

/// Sets the limits of a queue over all daemons. They count from the next claim on; what was claimed
/// before counts towards them where it was counted. True: they have changed.
///
/// # Errors
/// The database's.
pub async fn limit(
    conn: &mut PgConnection,
    queue: &str,
    limits: &Limits,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"insert into worker.queues as q
               (name, concurrency, per_second, per_hour, per_day, windows, limits_read_at, updated_at)
           values ($1, $2, $3, $4, $5, $6, $7, $7)
           on conflict (name) do update
               set concurrency = excluded.concurrency, per_second = excluded.per_second,
                   per_hour = excluded.per_hour, per_day = excluded.per_day,
                   windows = excluded.windows, limits_read_at = $7, updated_at = $7
               where q.limits_read_at is null
                  or (q.concurrency, q.per_second, q.per_hour, q.per_day, q.windows)
                     is distinct from (excluded.concurrency, excluded.per_second,
                         excluded.per_hour, excluded.per_day, excluded.windows)"#,
        queue,
        limits.concurrency,
        limits.rates.per_second,
        limits.rates.per_hour,
        limits.rates.per_day,
        windows_value(&limits.windows),
        now,
    )
    .execute(&mut *conn)
    .await?
    .rows_affected()
        > 0;
    if changed {
        // Daemons may sleep until a window opens that is no more.
        sqlx::query!("select pg_notify('worker_jobs', '')")
            .execute(conn)
            .await?;
    }
    Ok(changed)
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
