//! Marks: who changes usage says which days of whom.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

/// A user's day that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The day.
    pub date: NaiveDate,
    /// The user; `None`: all of that day are compared with what usage says.
    pub user: Option<i32>,
}

/// Who says that days changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Source {
    /// Usage was imported or taken back.
    Import,
    /// An operator did something.
    Operator,
}

/// Marks days as changed, in the transaction that changes them.
///
/// # Errors
/// The database's.
pub async fn mark(
    conn: &mut PgConnection,
    marks: &[Mark],
    source: Source,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let dates: Vec<NaiveDate> = marks.iter().map(|mark| mark.date).collect();
    let users: Vec<i32> = marks.iter().map(|mark| mark.user.unwrap_or(0)).collect();
    sqlx::query!(
        r#"insert into worker.dirty_days (date, user_id, source, marked_at)
           select marked.date, marked.user_id, $3, $4
           from unnest($1::date[], $2::integer[]) as marked (date, user_id)"#,
        &dates,
        &users,
        source as Source,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
