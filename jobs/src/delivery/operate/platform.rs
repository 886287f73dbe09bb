//! Operations on all deliveries of a platform.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::one;
use crate::{
    audit::{self, By, Change},
    delivery::{
        Event, confirm_queue, deliver_queue, job,
        outcome::{Happened, OutcomeError},
        row,
    },
    queue,
};

/// What [`pause_platform`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Paused {
    /// The platform's queue had been paused before.
    pub was_paused: bool,
    /// Attempts under way: they finish.
    pub running: i64,
}

/// What [`resume_platform`] set going again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Resumed {
    /// The platform's queue had been paused.
    pub was_paused: bool,
    /// Deliveries that were held and are queued again.
    pub released: u64,
}

/// Names what an operator decides upon when a platform is paused or resumed, locked for the rest of
/// the transaction: another after either.
///
/// # Errors
/// The database's.
pub async fn platform_version(
    conn: &mut PgConnection,
    platform_id: i32,
) -> Result<String, sqlx::Error> {
    let paused_at = sqlx::query_scalar!(
        "select paused_at from worker.queues where name = $1 for update",
        deliver_queue(platform_id),
    )
    .fetch_optional(conn)
    .await?
    .flatten();
    Ok(version(paused_at))
}

/// See [`platform_version`].
pub(crate) fn version(paused_at: Option<DateTime<Utc>>) -> String {
    match paused_at {
        Some(at) => format!("paused-{}", at.timestamp_micros()),
        None => "going".to_owned(),
    }
}

/// Holds a platform: from the commit on no attempt begins; those under way finish.
///
/// # Errors
/// The database's.
pub async fn pause_platform(
    conn: &mut PgConnection,
    platform_id: i32,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Paused, sqlx::Error> {
    let queue = deliver_queue(platform_id);
    let before = sqlx::query!(
        "select paused_at, paused_reason from worker.queues where name = $1 for update",
        queue
    )
    .fetch_optional(&mut *conn)
    .await?
    .filter(|row| row.paused_at.is_some());
    sqlx::query!(
        r#"insert into worker.queues (name, paused_at, paused_reason, updated_at)
           values ($1, $2, $3, $2)
           on conflict (name) do update
               set paused_at = coalesce(queues.paused_at, $2), paused_reason = $3, updated_at = $2"#,
        queue,
        now,
        by.reason(),
    )
    .execute(&mut *conn)
    .await?;
    let running = sqlx::query_scalar!(
        r#"select count(*) as "running!" from worker.jobs where queue = $1 and state = 'running'"#,
        queue
    )
    .fetch_one(&mut *conn)
    .await?;
    let was = |paused: bool, reason: Option<&str>| json!({"paused": paused, "reason": reason});
    let change = Change {
        action: "platform.pause",
        object_kind: "platform",
        object_id: platform_id.to_string(),
        before: Some(was(
            before.is_some(),
            before.as_ref().and_then(|row| row.paused_reason.as_deref()),
        )),
        after: Some(was(true, Some(by.reason()))),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(Paused {
        was_paused: before.is_some(),
        running,
    })
}

/// Has a partner probed at once whose circuit is open: the next delivery, or the next question to it,
/// is the probe. `false`: the circuit is closed for both, and nothing has changed.
///
/// # Errors
/// The database's.
pub async fn probe_platform(
    conn: &mut PgConnection,
    platform_id: i32,
    by: &By,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let probed = sqlx::query!(
        r#"update worker.queues q set circuit_probe_at = least(q.circuit_probe_at, $2)
           from worker.queues before
           where q.name = any($1) and before.name = q.name and q.circuit_opened_at is not null
           returning before.circuit_probe_at, pg_notify('worker_jobs', '')::text as notified"#,
        &[deliver_queue(platform_id), confirm_queue(platform_id)][..],
        now,
    )
    .fetch_all(&mut *conn)
    .await?;
    let Some(probe_at) = probed.iter().filter_map(|row| row.circuit_probe_at).min() else {
        return Ok(false);
    };
    let change = Change {
        action: "platform.probe",
        object_kind: "platform",
        object_id: platform_id.to_string(),
        before: Some(json!({"probe_at": probe_at})),
        after: Some(json!({"probe_at": now})),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(true)
}

/// Lets a platform go on: its queue is no longer paused, and its held deliveries are queued again.
///
/// # Errors
/// The database's.
pub async fn resume_platform(
    conn: &mut PgConnection,
    platform_id: i32,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Resumed, sqlx::Error> {
    let paused = sqlx::query!(
        r#"update worker.queues q set paused_at = null, paused_reason = null, updated_at = $2
           from worker.queues before
           where q.name = $1 and before.name = q.name and q.paused_at is not null
           returning before.paused_reason as reason"#,
        deliver_queue(platform_id),
        now,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let held = sqlx::query_scalar!(
        "select id from worker.deliveries where platform_id = $1 and state = 'held' order by id",
        platform_id
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut released = 0;
    for id in held {
        job::lock(conn, id).await?;
        let Some(mut delivery) = row::lock(conn, id).await? else {
            continue;
        };
        match one::apply(
            conn,
            &mut delivery,
            Event::Release,
            &Happened::default(),
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
    let change = Change {
        action: "platform.resume",
        object_kind: "platform",
        object_id: platform_id.to_string(),
        before: Some(json!({
            "paused": paused.is_some(),
            "reason": paused.as_ref().and_then(|row| row.reason.as_deref()),
        })),
        after: Some(json!({"paused": false, "released": released})),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(Resumed {
        was_paused: paused.is_some(),
        released,
    })
}
