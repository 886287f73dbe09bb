//! What an operator reads of schedules and does to those that are not yet taken up.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use utoipa::ToSchema;

use crate::audit::{self, By, Change};

/// A schedule as lists show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Schedule)]
#[expect(missing_docs, reason = "the columns of scheduled_distributions")]
pub struct Listed {
    pub id: i32,
    pub release_id: i32,
    pub release: String,
    pub upc: Option<String>,
    /// When it is due (UTC).
    #[schema(value_type = String, example = "2026-12-04T00:00:00")]
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
    /// Due at this time or later (UTC).
    pub due_from: Option<NaiveDateTime>,
    /// Due before this time (UTC).
    pub due_before: Option<NaiveDateTime>,
    /// Only those after this one, due then, in the list's order.
    pub after: Option<(NaiveDateTime, i32)>,
    /// At most so many.
    pub limit: i64,
}

/// Lists schedules.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, filter: &ListFilter) -> Result<Vec<Listed>, sqlx::Error> {
    let (after_due, after_id) = filter.after.unzip();
    sqlx::query_as!(
        Listed,
        r#"select s.id, s.release_id, r.title as release, r.upc, s.scheduled_date, s.platform_ids,
               s.status, s.completed_platform_ids, s.failed_platforms
           from public.scheduled_distributions s join public.releases r on r.id = s.release_id
           where ($1::text is null or s.status = $1) and ($2::integer is null or s.release_id = $2)
             and ($3::timestamp is null or s.scheduled_date >= $3)
             and ($4::timestamp is null or s.scheduled_date < $4)
             and ($5::timestamp is null or (s.scheduled_date, s.id) < ($5, $6::integer))
           order by s.scheduled_date desc, s.id desc
           limit $7"#,
        filter.status,
        filter.release_id,
        filter.due_from,
        filter.due_before,
        after_due,
        after_id,
        filter.limit,
    )
    .fetch_all(pool)
    .await
}

/// One schedule.
///
/// # Errors
/// The database's.
pub async fn one(pool: &PgPool, id: i32) -> Result<Option<Listed>, sqlx::Error> {
    sqlx::query_as!(
        Listed,
        r#"select s.id, s.release_id, r.title as release, r.upc, s.scheduled_date, s.platform_ids,
               s.status, s.completed_platform_ids, s.failed_platforms
           from public.scheduled_distributions s join public.releases r on r.id = s.release_id
           where s.id = $1"#,
        id,
    )
    .fetch_optional(pool)
    .await
}

impl Listed {
    /// Names what an operator decides upon: another after a change of status or due time.
    #[must_use]
    pub fn version(&self) -> String {
        version(&self.status, self.scheduled_date)
    }
}

fn version(status: &str, due: NaiveDateTime) -> String {
    format!("{}-{}", status, due.and_utc().timestamp_micros())
}

/// A schedule to be made.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    /// `releases.id`.
    pub release_id: i32,
    /// `distribution_platforms.id` of each.
    pub platform_ids: Vec<i32>,
    /// When it is due.
    pub due: DateTime<Utc>,
    /// `users.id` of whoever makes it; `None`: the release's owner.
    pub user_id: Option<i32>,
}

/// Why a schedule was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotScheduled {
    /// There is no such release.
    #[error("there is no release {0}")]
    NoRelease(i32),
    /// There are no such platforms.
    #[error("there are no platforms {0:?}")]
    NoPlatforms(Vec<i32>),
    /// It would come to nothing.
    #[error("a schedule names at least one platform")]
    Empty,
}

/// Makes a schedule. Whether the release can be sent is found out when it is due.
///
/// # Errors
/// The database's.
pub async fn create(
    pool: &PgPool,
    new: &NewSchedule,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Result<i32, NotScheduled>, sqlx::Error> {
    if new.platform_ids.is_empty() {
        return Ok(Err(NotScheduled::Empty));
    }
    let mut tx = pool.begin().await?;
    let owner = sqlx::query_scalar!(
        "select user_id from public.releases where id = $1 for key share",
        new.release_id
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(owner) = owner else {
        return Ok(Err(NotScheduled::NoRelease(new.release_id)));
    };
    let unknown = sqlx::query_scalar!(
        r#"select named.id as "id!" from unnest($1::integer[]) as named (id)
           where not exists (select from public.distribution_platforms p where p.id = named.id)
           order by 1"#,
        &new.platform_ids,
    )
    .fetch_all(&mut *tx)
    .await?;
    if !unknown.is_empty() {
        return Ok(Err(NotScheduled::NoPlatforms(unknown)));
    }
    let id = sqlx::query_scalar!(
        r#"insert into public.scheduled_distributions
               (release_id, user_id, scheduled_date, platform_ids, status, created_at, updated_at)
           values ($1, $2, $3, $4, 'pending', $5, $5) returning id"#,
        new.release_id,
        new.user_id.unwrap_or(owner),
        new.due.naive_utc(),
        &new.platform_ids,
        now.naive_utc(),
    )
    .fetch_one(&mut *tx)
    .await?;
    let change = Change {
        action: "schedule.create",
        object_kind: "schedule",
        object_id: id.to_string(),
        before: None,
        after: Some(json!({
            "release_id": new.release_id, "platform_ids": new.platform_ids,
            "scheduled_date": new.due,
        })),
    };
    audit::record(&mut tx, by, &change, now).await?;
    tx.commit().await?;
    Ok(Ok(id))
}

/// What came of a word on a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rescheduled {
    /// Done.
    Done,
    /// It has been taken up, or is over: it is in this status.
    TakenUp(String),
    /// It is not as whoever asks has seen it.
    Stale,
    /// There is no such schedule.
    Missing,
}

/// Calls a schedule off that has not been taken up, if it still is in the [version](Listed::version)
/// that was seen.
///
/// # Errors
/// The database's.
pub async fn cancel(
    pool: &PgPool,
    id: i32,
    seen: Option<&str>,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Rescheduled, sqlx::Error> {
    change(pool, id, seen, "schedule.cancel", by, now, |due| {
        ("canceled", due)
    })
    .await
}

/// Makes a schedule due now that has not been taken up, if it still is in the version that was seen.
///
/// # Errors
/// The database's.
pub async fn run_now(
    pool: &PgPool,
    id: i32,
    seen: Option<&str>,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Rescheduled, sqlx::Error> {
    let due_now = now.naive_utc();
    change(pool, id, seen, "schedule.run_now", by, now, |due| {
        ("pending", due.min(due_now))
    })
    .await
}

async fn change(
    pool: &PgPool,
    id: i32,
    seen: Option<&str>,
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
    if seen.is_some_and(|seen| seen != version(&row.status, row.scheduled_date)) {
        return Ok(Rescheduled::Stale);
    }
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

/// How many schedules are due on each of so many days (UTC) from one on; days without any are left
/// out.
///
/// # Errors
/// The database's.
pub async fn count_by_day(
    pool: &PgPool,
    first: NaiveDate,
    days: u64,
) -> Result<Vec<(NaiveDate, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select scheduled_date::date as "day!", count(*) as "count!"
           from public.scheduled_distributions
           where scheduled_date >= $1::date and scheduled_date < $1::date + $2::integer
           group by 1 order by 1"#,
        first,
        i32::try_from(days).unwrap_or(i32::MAX),
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.day, row.count)).collect())
}
