//! What an operator reads of schedules and does to those that are not yet taken up.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::audit::{self, By, Change};

/// A schedule as lists show it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the columns of scheduled_distributions")]
pub struct Listed {
    pub id: i32,
    pub release_id: i32,
    pub release: String,
    pub upc: Option<String>,
    /// When it is due (UTC).
    pub scheduled_date: NaiveDateTime,
    pub platform_ids: Vec<i32>,
    pub status: String,
    pub completed_platform_ids: Option<Vec<i32>>,
    pub failed_platforms: Option<Value>,
}

/// Which schedules are listed: all that fit every condition given, the latest due first.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// `scheduled_distributions.status`.
    pub status: Option<String>,
    /// `scheduled_distributions.release_id`.
    pub release_id: Option<i32>,
    /// At most so many.
    pub limit: i64,
}

/// Lists schedules.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, filter: &ListFilter) -> Result<Vec<Listed>, sqlx::Error> {
    sqlx::query_as!(
        Listed,
        r#"select s.id, s.release_id, r.title as release, r.upc, s.scheduled_date, s.platform_ids,
               s.status, s.completed_platform_ids, s.failed_platforms
           from public.scheduled_distributions s join public.releases r on r.id = s.release_id
           where ($1::text is null or s.status = $1) and ($2::integer is null or s.release_id = $2)
           order by s.scheduled_date desc, s.id desc
           limit $3"#,
        filter.status,
        filter.release_id,
        filter.limit,
    )
    .fetch_all(pool)
    .await
}

/// What came of a word on a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rescheduled {
    /// Done.
    Done,
    /// It has been taken up, or is over: it is in this status.
    TakenUp(String),
    /// There is no such schedule.
    Missing,
}

/// Calls a schedule off that has not been taken up.
///
/// # Errors
/// The database's.
pub async fn cancel(
    pool: &PgPool,
    id: i32,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Rescheduled, sqlx::Error> {
    change(pool, id, "schedule.cancel", by, now, |due| {
        ("canceled", due)
    })
    .await
}

/// Makes a schedule due now that has not been taken up.
///
/// # Errors
/// The database's.
pub async fn run_now(
    pool: &PgPool,
    id: i32,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Rescheduled, sqlx::Error> {
    let due_now = now.naive_utc();
    change(pool, id, "schedule.run_now", by, now, |due| {
        ("pending", due.min(due_now))
    })
    .await
}

async fn change(
    pool: &PgPool,
    id: i32,
    action: &str,
    by: &By,
    now: DateTime<Utc>,
    to: impl FnOnce(NaiveDateTime) -> (&'static str, NaiveDateTime) + Send,
) -> Result<Rescheduled, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let Some(row) = sqlx::query!(
        "select status, scheduled_date from public.scheduled_distributions where id = $1 for update",
        id
    )
    .fetch_optional(&mut *tx)
    .await?
    else {
        return Ok(Rescheduled::Missing);
    };
    if !matches!(row.status.as_str(), "pending" | "scheduled") {
        return Ok(Rescheduled::TakenUp(row.status));
    }
    let (status, due) = to(row.scheduled_date);
    sqlx::query!(
        r#"update public.scheduled_distributions
           set status = $2, scheduled_date = $3, updated_at = $4 where id = $1"#,
        id,
        status,
        due,
        now.naive_utc(),
    )
    .execute(&mut *tx)
    .await?;
    let change = Change {
        action,
        object_kind: "schedule",
        object_id: id.to_string(),
        before: Some(json!({"status": row.status, "scheduled_date": row.scheduled_date})),
        after: Some(json!({"status": status, "scheduled_date": due})),
    };
    audit::record(&mut tx, by, &change, now).await?;
    tx.commit().await?;
    Ok(Rescheduled::Done)
}
