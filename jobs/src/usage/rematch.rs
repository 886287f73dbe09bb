//! Looking again at lines that were not imported: the catalogue may know their recording by now, and
//! the rates their day.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;
use sqlx::{Connection as _, PgConnection, PgPool};

use super::{
    Settings, UsageError, aside, files,
    store::{self, Batch, Knowledge, Report, Tally},
};
use crate::{
    audit::{self, By, Change},
    royalty, statistics,
};

/// What came of lines that had not been imported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rematched {
    /// Lines that were looked at again: all that could be read.
    pub looked_at: i64,
    /// Lines of them that are usage now.
    pub lines: i64,
    /// Streams on these.
    pub streams: i64,
    /// Downloads on them.
    pub downloads: i64,
    /// What they come to in the accounting currency.
    pub revenue: Decimal,
    /// Lines that are not, those among them that cannot be read.
    pub unmatched: i64,
    /// The files of lines that are usage now.
    pub files: Vec<i32>,
}

/// Looks again at the lines that were not imported, of a file or of all, and imports those that can be
/// by now, at the rate of their day of use. It may be repeated, and cut off, without harm. Usage of a
/// month that is final goes into the next royalty run, as all late usage does.
///
/// # Errors
/// [`UsageError`]. What was imported by then stays.
pub async fn rematch(
    pool: &PgPool,
    file: Option<i32>,
    settings: &Settings,
    royalties: &royalty::Settings,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Rematched, UsageError> {
    if let Some(id) = file {
        files::file(pool, id).await?;
    }
    let mut knowledge = Knowledge::new(royalties);
    let mut found = Rematched::default();
    // A connection of its own: it is closed, and not used again, if this is dropped amid a COPY.
    let mut conn = pool.acquire().await?.detach();
    for report in with_asides(&mut conn, file).await? {
        let mut after = 0;
        let limit = settings.batch_lines.max(1).into();
        while let Some(batch) =
            again(&mut conn, report, (after, limit), &mut knowledge, by, now).await?
        {
            after = batch.last;
            found.add(report, &batch);
        }
    }
    conn.close().await?;
    found.unmatched = remaining(pool, file).await?;
    Ok(found)
}

impl Rematched {
    fn add(&mut self, report: Report, batch: &Again) {
        self.looked_at += batch.looked_at;
        self.lines += batch.tally.lines;
        self.streams += batch.tally.streams;
        self.downloads += batch.tally.downloads;
        self.revenue = self.revenue.saturating_add(batch.tally.revenue);
        if batch.tally.lines > 0 && self.files.last() != Some(&report.file) {
            self.files.push(report.file);
        }
    }
}

/// A batch that was looked at again.
struct Again {
    /// Its last record.
    last: i64,
    looked_at: i64,
    tally: Tally,
}

/// Looks again at a batch of a file's lines: those after a record, at most so many. `None`: there is
/// none, or the file is being voided.
async fn again(
    conn: &mut PgConnection,
    report: Report,
    (after, limit): (i64, i64),
    knowledge: &mut Knowledge<'_>,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Option<Again>, UsageError> {
    let mut tx = conn.begin().await?;
    if store::lock(&mut tx, report.file).await?.is_none() {
        return Ok(None);
    }
    // Read when nobody else can take them.
    let batch = Batch {
        lines: aside::readable(&mut tx, report.file, after, limit).await?,
        asides: Vec::new(),
    };
    let Some(last) = batch.lines.last() else {
        return Ok(None);
    };
    knowledge.learn(&mut tx, &batch).await?;
    let (kept, asides) = knowledge.part(&batch);
    store::write_kept(&mut tx, report, &kept, now).await?;
    let places = kept.iter().map(|one| one.line.place);
    aside::remove(&mut tx, report.file, places).await?;
    aside::explain(&mut tx, report.file, &asides).await?;
    let mut tally = Tally::of(&kept, &asides);
    tally.asides = -tally.lines;
    if tally.lines > 0 {
        store::advance(&mut tx, report.file, 0, &tally, now).await?;
        let change = Change {
            action: "usage.rematch",
            object_kind: "usage_file",
            object_id: report.file.to_string(),
            before: None,
            after: Some(json!({
                "lines": tally.lines, "streams": tally.streams, "downloads": tally.downloads,
                "revenue": tally.revenue,
            })),
        };
        audit::record(&mut tx, by, &change, now).await?;
        statistics::wake(&mut tx, now).await?;
    }
    let again = Again {
        last: i64::try_from(last.place.record).unwrap_or(i64::MAX),
        looked_at: i64::try_from(batch.records()).unwrap_or(i64::MAX),
        tally,
    };
    tx.commit().await?;
    Ok(Some(again))
}

/// The files that have lines to look at again.
async fn with_asides(
    conn: &mut PgConnection,
    file: Option<i32>,
) -> Result<Vec<Report>, sqlx::Error> {
    sqlx::query_as!(
        Report,
        r#"select f.id as file, f.platform_id as platform
           from worker.usage_files f
           where ($1::integer is null or f.id = $1) and f.state in ('importing', 'imported')
             and exists (select from worker.usage_unmatched u
                         where u.file_id = f.id and u.date is not null)
           order by f.id"#,
        file,
    )
    .fetch_all(conn)
    .await
}

async fn remaining(pool: &PgPool, file: Option<i32>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(lines_aside), 0)::bigint as "lines!"
           from worker.usage_files
           where ($1::integer is null or id = $1) and state in ('importing', 'imported')"#,
        file,
    )
    .fetch_one(pool)
    .await
}
