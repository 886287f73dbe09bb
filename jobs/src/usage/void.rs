//! Taking a file's usage back.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgPool;

use super::{
    UsageError,
    files::{self, File, FileState},
};
use crate::{
    audit::{self, By, Change},
    statistics,
};

/// Lines in one transaction.
const BATCH: i64 = 20_000;

/// Deletes the usage that came of a file, and marks its days; the file may be imported again then. What
/// was deleted by others meanwhile is no matter. A void that was cut off goes on where it stopped.
///
/// # Errors
/// [`UsageError`].
pub async fn void(pool: &PgPool, id: i32, by: &By, now: DateTime<Utc>) -> Result<File, UsageError> {
    let before = files::file(pool, id).await?;
    match before.state {
        FileState::Voided => return Ok(before),
        FileState::Voiding => {}
        FileState::Importing | FileState::Imported => begin(pool, &before, by, now).await?,
    }
    while batch(pool, id, now).await? {}
    let mut tx = pool.begin().await?;
    sqlx::query!("delete from worker.usage_unmatched where file_id = $1", id)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        r#"update worker.usage_files
           set state = 'voided', finished_at = $2, updated_at = $2
           where id = $1 and state = 'voiding'"#,
        id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    statistics::wake(&mut tx, now).await?;
    tx.commit().await?;
    files::file(pool, id).await
}

async fn begin(
    pool: &PgPool,
    before: &File,
    by: &By,
    now: DateTime<Utc>,
) -> Result<(), UsageError> {
    let mut tx = pool.begin().await?;
    sqlx::query!(
        "update worker.usage_files set state = 'voiding', updated_at = $2 where id = $1",
        before.id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    let change = Change {
        action: "usage.void",
        object_kind: "usage_file",
        object_id: before.id.to_string(),
        before: Some(json!({
            "state": before.state, "lines": before.lines_imported, "streams": before.streams,
            "downloads": before.downloads, "revenue": before.revenue,
        })),
        after: Some(json!({"state": FileState::Voided})),
    };
    audit::record(&mut tx, by, &change, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Some lines; whether there may be more.
async fn batch(pool: &PgPool, id: i32, now: DateTime<Utc>) -> Result<bool, UsageError> {
    let mut tx = pool.begin().await?;
    // A table that was filled and is emptied now has statistics that fit neither.
    let deleted = sqlx::query_scalar!(
        r#"with setting as materialized (
               select set_config('tunemantra.records_days', 'yes', true) as value
           ),
           last as (
               select max(record) as record from (
                   select record from worker.usage_lines where file_id = $1
                   order by record limit $2
               ) ahead
           ),
           lines as (
               delete from worker.usage_lines l
               using last, setting
               where l.file_id = $1 and l.record <= last.record and setting.value = 'yes'
               returning l.analytics_id
           ),
           gone as (
               delete from public.analytics a
               using lines
               where a.id = lines.analytics_id
               returning a.track_id, a.date
           ),
           marked as (
               insert into worker.dirty_days (date, user_id, source, marked_at)
               select distinct g.date, coalesce(t.user_id, 0), 'import', $3::timestamptz
               from gone g left join public.tracks t on t.id = g.track_id
           )
           select count(*) as "lines!" from lines"#,
        id,
        BATCH,
        now,
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(deleted > 0)
}
