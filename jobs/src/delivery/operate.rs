//! What an operator does to deliveries.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    Event, confirm_queue, deliver_queue,
    outcome::{self, Happened, OutcomeError},
    row,
};
use crate::queue;

/// What [`resume_platform`] set going again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Resumed {
    /// The platform's queue had been paused.
    pub was_paused: bool,
    /// Deliveries that were held and are queued again.
    pub released: u64,
}

/// Lets a platform go on after its settings were mended: its queue is no longer paused, and its
/// held deliveries are queued again.
///
/// # Errors
/// The database's.
pub async fn resume_platform(
    conn: &mut PgConnection,
    platform_id: i32,
    now: DateTime<Utc>,
) -> Result<Resumed, sqlx::Error> {
    let was_paused = sqlx::query!(
        r#"update worker.queues set paused_at = null, paused_reason = null, updated_at = $2
           where name = $1 and paused_at is not null"#,
        deliver_queue(platform_id),
        now,
    )
    .execute(&mut *conn)
    .await?
    .rows_affected()
        > 0;
    let held = sqlx::query_scalar!(
        "select id from worker.deliveries where platform_id = $1 and state = 'held' order by id",
        platform_id
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut released = 0;
    for id in held {
        let Some(mut delivery) = row::lock(conn, id).await? else {
            continue;
        };
        match outcome::apply(
            conn,
            &mut delivery,
            Event::Release,
            &Happened::default(),
            None,
            now,
        )
        .await
        {
            Ok(_) => released += 1,
            Err(OutcomeError::Database(error)) => return Err(error),
            // Somebody else released it in the meantime.
            Err(OutcomeError::Refused(_) | OutcomeError::LeaseLost) => {}
        }
    }
    for name in [deliver_queue(platform_id), confirm_queue(platform_id)] {
        queue::release_held(conn, &name, now).await?;
    }
    Ok(Resumed {
        was_paused,
        released,
    })
}
