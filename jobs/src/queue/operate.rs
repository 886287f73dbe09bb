//! What is done to queues and waiting jobs from outside, in the caller's transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

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
