//! Sessions of the console: a random token in a cookie that stands for a key. What the cookie holds
//! stands in the database as its SHA-256 only.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};

use super::{Admitted, Refusal, fingerprint, keys::admit_id};
use crate::audit::{self, By, Change};

/// A session that was begun.
#[derive(Clone)]
pub struct Session {
    /// What the cookie holds.
    pub token: String,
    /// Until when it lasts.
    pub expires_at: DateTime<Utc>,
}

/// Begins a session of a key that was admitted, from 32 random bytes.
///
/// # Errors
/// The database's.
pub async fn log_in(
    conn: &mut PgConnection,
    admitted: &Admitted,
    lasts: TimeDelta,
    random: [u8; 32],
    by: &By,
    now: DateTime<Utc>,
) -> Result<Session, sqlx::Error> {
    let session = Session {
        token: hex::encode(random),
        expires_at: now + lasts,
    };
    // Whoever comes in sweeps up what nobody logged out of.
    sqlx::query!(
        "delete from worker.console_sessions where expires_at <= $1",
        now
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"insert into worker.console_sessions (token, key_id, created_at, expires_at)
           values ($1, $2, $3, $4)"#,
        fingerprint(session.token.as_bytes()),
        admitted.key_id,
        now,
        session.expires_at,
    )
    .execute(&mut *conn)
    .await?;
    let change = Change {
        action: "console.log_in",
        object_kind: "key",
        object_id: admitted.key_id.to_string(),
        before: None,
        after: Some(serde_json::json!({"expires_at": session.expires_at})),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(session)
}

/// Whose session it is. `None`: there is no such session, or it is over.
///
/// # Errors
/// The database's.
pub async fn session(
    pool: &PgPool,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Option<Result<Admitted, Refusal>>, sqlx::Error> {
    let key_id = sqlx::query_scalar!(
        "select key_id from worker.console_sessions where token = $1 and expires_at > $2",
        fingerprint(token.as_bytes()),
        now,
    )
    .fetch_optional(pool)
    .await?;
    match key_id {
        None => Ok(None),
        Some(id) => admit_id(pool, id, now).await.map(Some),
    }
}

/// Ends a session.
///
/// # Errors
/// The database's.
pub async fn log_out(pool: &PgPool, token: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from worker.console_sessions where token = $1",
        fingerprint(token.as_bytes()),
    )
    .execute(pool)
    .await?;
    Ok(())
}
