//! What is done to waiting jobs from outside, in the caller's transaction.

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
