//! Repeated requests: the first with an idempotency key is done and its answer kept; a repetition
//! gets that answer.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::database::storable;

/// How long an answer is kept.
const KEPT: TimeDelta = TimeDelta::days(1);
/// A request that has no answer after this died with its daemon, and may be made again. Longer than
/// any request may take.
const ABANDONED: TimeDelta = TimeDelta::minutes(10);
/// Old answers that one request takes with it.
const SWEPT: i64 = 20;

/// A request that may be repeated.
#[derive(Clone, Debug)]
pub struct Repeatable {
    /// `api_keys.id` of whoever makes it.
    pub key_id: i32,
    /// The `Idempotency-Key`.
    pub idempotency_key: String,
    /// Of method, path and body.
    pub fingerprint: String,
    /// Fences the answer; a new one for each request.
    pub token: Uuid,
}

/// An answer as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type.
    pub media_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is the first: do it, then [`answered`] or [`given_up`].
    First,
    /// It was done before, with this answer.
    Repeated(Answer),
    /// The first is still under way.
    UnderWay,
    /// Another request was made with this key.
    Different,
}

/// Decides on a request before it is done.
///
/// # Errors
/// The database's.
pub async fn begin(
    pool: &PgPool,
    request: &Repeatable,
    now: DateTime<Utc>,
) -> Result<Begun, sqlx::Error> {
    sqlx::query!(
        r#"delete from worker.idempotency_keys where (key_id, idempotency_key) in (
               select key_id, idempotency_key from worker.idempotency_keys
               where created_at < $1 limit $2 for update skip locked)"#,
        now - KEPT,
        SWEPT,
    )
    .execute(pool)
    .await?;
    let key = storable(&request.idempotency_key);
    let is_first = sqlx::query!(
        r#"insert into worker.idempotency_keys as known
               (key_id, idempotency_key, fingerprint, token, created_at)
           values ($1, $2, $3, $4, $5)
           on conflict (key_id, idempotency_key) do update
               set fingerprint = excluded.fingerprint, token = excluded.token,
                   created_at = excluded.created_at, status = null, media_type = null, body = null
               where known.created_at < $6
                  or (known.status is null and known.created_at < $7
                      and known.fingerprint = excluded.fingerprint)"#,
        request.key_id,
        &key,
        request.fingerprint,
        request.token,
        now,
        now - KEPT,
        now - ABANDONED,
    )
    .execute(pool)
    .await?
    .rows_affected()
        > 0;
    if is_first {
        return Ok(Begun::First);
    }
    let known = sqlx::query!(
        r#"select fingerprint, status, media_type, body from worker.idempotency_keys
           where key_id = $1 and idempotency_key = $2"#,
        request.key_id,
        &key,
    )
    .fetch_optional(pool)
    .await?;
    Ok(match known {
        // The first was given up at this moment: whoever asks again is the first.
        None => Begun::UnderWay,
        Some(row) if row.fingerprint != request.fingerprint => Begun::Different,
        Some(row) => match (row.status, row.body) {
            (Some(status), Some(body)) => Begun::Repeated(Answer {
                status: status.try_into().unwrap_or(500),
                media_type: row.media_type.unwrap_or_default(),
                body,
            }),
            _ => Begun::UnderWay,
        },
    })
}

/// Keeps the answer of a request.
///
/// # Errors
/// The database's.
pub async fn answered(
    pool: &PgPool,
    request: &Repeatable,
    answer: &Answer,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update worker.idempotency_keys set status = $4, media_type = $5, body = $6
           where key_id = $1 and idempotency_key = $2 and token = $3"#,
        request.key_id,
        &storable(&request.idempotency_key),
        request.token,
        i16::try_from(answer.status).unwrap_or(500),
        answer.media_type,
        answer.body,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The request came to nothing that is worth keeping: it may be made again.
///
/// # Errors
/// The database's.
pub async fn given_up(pool: &PgPool, request: &Repeatable) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"delete from worker.idempotency_keys
           where key_id = $1 and idempotency_key = $2 and token = $3"#,
        request.key_id,
        &storable(&request.idempotency_key),
        request.token,
    )
    .execute(pool)
    .await?;
    Ok(())
}
