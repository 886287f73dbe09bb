//! Several rows of `daily_stats` for one user and day, which no key forbids. The newest is kept right;
//! the others go when somebody asks for it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;

use super::{Mark, Settings, Source, job, mark, recompute::begin};
use crate::audit::{self, By, Change};

/// A user's day with more than one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// The user.
    pub user_id: i32,
    /// The day.
    pub date: NaiveDate,
    /// The row that is kept right.
    pub newest: i32,
    /// The others.
    pub others: Vec<i32>,
}

/// Days with more than one row: the oldest first, at most `limit`.
///
/// # Errors
/// The database's.
pub async fn duplicates(pool: &PgPool, limit: i64) -> Result<Vec<Duplicate>, sqlx::Error> {
    sqlx::query_as!(
        Duplicate,
        r#"select user_id, date, max(id) as "newest!",
               (array_agg(id order by id))[:count(*)::integer - 1] as "others!"
           from public.daily_stats
           group by user_id, date
           having count(*) > 1
           order by date, user_id
           limit $1"#,
        limit,
    )
    .fetch_all(pool)
    .await
}

/// Deletes all rows of these days but the newest, and has the days computed anew. The audit keeps
/// what was deleted. The answer is the days that had more than one row still.
///
/// # Errors
/// The database's.
pub async fn merge_duplicates(
    pool: &PgPool,
    settings: &Settings,
    found: &[Duplicate],
    by: &By,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let mut tx = begin(pool, settings).await?;
    let mut merged = 0;
    for one in found {
        let deleted: Vec<Value> = sqlx::query_scalar!(
            r#"delete from public.daily_stats d
               where d.user_id = $1 and d.date = $2
                 and d.id < (select max(n.id) from public.daily_stats n
                             where n.user_id = $1 and n.date = $2)
               returning to_jsonb(d) as "row!""#,
            one.user_id,
            one.date,
        )
        .fetch_all(&mut *tx)
        .await?;
        if deleted.is_empty() {
            continue;
        }
        merged += 1;
        let change = Change {
            action: "statistics.merge_duplicates",
            object_kind: "daily_stats",
            object_id: format!("{}/{}", one.user_id, one.date),
            before: Some(Value::Array(deleted)),
            after: None,
        };
        audit::record(&mut tx, by, &change, now).await?;
        let marked = Mark {
            date: one.date,
            user: Some(one.user_id),
        };
        mark(&mut tx, &[marked], Source::Operator, now).await?;
    }
    job::wake(&mut tx, now).await?;
    tx.commit().await?;
    Ok(merged)
}
