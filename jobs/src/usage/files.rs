//! The files that were imported, and the lines that were not.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgPool;

use super::UsageError;

/// How a file stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum FileState {
    /// Not all of it is imported: `usage import` goes on with it.
    Importing,
    /// All of it is.
    Imported,
    /// Not all of its usage is taken back yet: `usage void` goes on with it.
    Voiding,
    /// None of its usage is left.
    Voided,
}

/// A row of `worker.usage_files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns of worker.usage_files")]
pub struct File {
    pub id: i32,
    pub name: String,
    pub sha256: String,
    pub platform_id: i32,
    pub platform_name: String,
    pub layout: String,
    pub state: FileState,
    pub records_total: i64,
    pub records_done: i64,
    pub lines_imported: i64,
    pub lines_aside: i64,
    pub streams: i64,
    pub downloads: i64,
    pub revenue: Decimal,
    pub first_day: Option<NaiveDate>,
    pub last_day: Option<NaiveDate>,
    pub started_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// The files, the newest first: of a platform, or all.
///
/// # Errors
/// The database's.
pub async fn files(
    pool: &PgPool,
    platform: Option<i32>,
    limit: i64,
) -> Result<Vec<File>, sqlx::Error> {
    select(pool, None, platform, None, limit).await
}

/// A file by its id.
pub(super) async fn file(pool: &PgPool, id: i32) -> Result<File, UsageError> {
    select(pool, Some(id), None, None, 1)
        .await?
        .pop()
        .ok_or(UsageError::Missing(id))
}

async fn select(
    pool: &PgPool,
    id: Option<i32>,
    platform: Option<i32>,
    sha256: Option<&str>,
    limit: i64,
) -> Result<Vec<File>, sqlx::Error> {
    sqlx::query_as!(
        File,
        r#"select id, name, sha256, platform_id, platform_name, layout,
               state as "state: FileState", records_total, records_done, lines_imported, lines_aside,
               streams, downloads, revenue, first_day, last_day, started_at, updated_at, finished_at
           from worker.usage_files
           where ($1::integer is null or id = $1) and ($2::integer is null or platform_id = $2)
             and ($3::text is null or (sha256 = $3 and state <> 'voided'))
           order by id desc limit $4"#,
        id,
        platform,
        sha256,
        limit,
    )
    .fetch_all(pool)
    .await
}

/// The file with this content whose import was not finished.
pub(super) async fn unfinished(pool: &PgPool, sha256: &str) -> Result<Option<File>, sqlx::Error> {
    let mut found = select(pool, None, None, Some(sha256), 1).await?;
    Ok(found
        .pop()
        .filter(|file| file.state == FileState::Importing))
}

/// Refuses content that is there already.
pub(super) async fn refuse_known(pool: &PgPool, sha256: &str) -> Result<(), UsageError> {
    match select(pool, None, None, Some(sha256), 1).await?.pop() {
        Some(file) if file.state != FileState::Importing => Err(UsageError::Known {
            id: file.id,
            name: file.name,
        }),
        _ => Ok(()),
    }
}

pub(super) async fn platform_name(pool: &PgPool, platform: i32) -> Result<String, UsageError> {
    sqlx::query_scalar!(
        "select name from public.distribution_platforms where id = $1",
        platform
    )
    .fetch_optional(pool)
    .await?
    .ok_or(UsageError::Platform(platform))
}

/// A line that was not imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// The file.
    pub file_id: i32,
    /// The line in it, from 1.
    pub line: i64,
    /// A word for the kind: `unreadable`, `unknown_recording`, `ambiguous_recording`, `no_rate`,
    /// `out_of_range`.
    pub reason: String,
    /// What is wrong.
    pub problem: String,
    /// Its ISRC, where it could be read.
    pub isrc: Option<String>,
    /// Its UPC, where it could be read.
    pub upc: Option<String>,
    /// Its fields, as far as they could be kept.
    pub fields: Vec<String>,
}

/// Which lines that were not imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnmatchedFilter {
    /// Of this file.
    pub file: Option<i32>,
    /// For this reason.
    pub reason: Option<String>,
    /// With this ISRC.
    pub isrc: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// The lines of files that are not voided that were not imported, in their order.
///
/// # Errors
/// The database's.
pub async fn unmatched(
    pool: &PgPool,
    filter: &UnmatchedFilter,
) -> Result<Vec<Unmatched>, sqlx::Error> {
    let isrc = filter
        .isrc
        .as_ref()
        .map(|isrc| isrc.replace('-', "").to_uppercase());
    sqlx::query_as!(
        Unmatched,
        r#"select u.file_id, u.line, u.reason, u.problem, u.isrc, u.upc, u.fields
           from worker.usage_unmatched u
           join worker.usage_files f on f.id = u.file_id
           where f.state in ('importing', 'imported')
             and ($1::integer is null or u.file_id = $1) and ($2::text is null or u.reason = $2)
             and ($3::text is null or u.isrc = $3)
           order by u.file_id, u.record limit $4"#,
        filter.file,
        filter.reason,
        isrc,
        filter.limit,
    )
    .fetch_all(pool)
    .await
}
