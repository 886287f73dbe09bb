//! Writing a batch: the rows of `analytics`, what their lines said, the lines that cannot be imported,
//! the days that changed, and how far the file has come, in one transaction.

use std::{collections::BTreeSet, fmt::Write as _};

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

use super::{
    UsageError,
    aside::{self, Aside},
    convert::{Converter, NoAmount},
    files::FileState,
    layout::Line,
    recording::{NoTrack, Recordings, Track},
};
use crate::{
    royalty::{self, rates::Rate},
    statistics::{self, Mark},
};

/// Bytes of rows that are sent at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Lines of a file, one after another.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<Line>,
    pub(super) asides: Vec<Aside>,
}

impl Batch {
    pub(super) fn records(&self) -> usize {
        self.lines.len() + self.asides.len()
    }
}

/// A line that is imported.
pub(super) struct Kept<'a> {
    pub(super) line: &'a Line,
    track: Track,
    revenue: Decimal,
    rate: Option<Rate>,
}

/// What came of lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) lines: i64,
    pub(super) asides: i64,
    pub(super) streams: i64,
    pub(super) downloads: i64,
    pub(super) revenue: Decimal,
    pub(super) days: Option<(NaiveDate, NaiveDate)>,
}

impl Tally {
    pub(super) fn of(kept: &[Kept<'_>], asides: &[Aside]) -> Self {
        let dates = || kept.iter().map(|one| one.line.date);
        Self {
            lines: i64::try_from(kept.len()).unwrap_or(i64::MAX),
            asides: i64::try_from(asides.len()).unwrap_or(i64::MAX),
            streams: kept.iter().map(|one| i64::from(one.line.streams)).sum(),
            downloads: kept.iter().map(|one| i64::from(one.line.downloads)).sum(),
            // Each is below 10^8 and has four decimals: a Decimal holds the sum of 10^16 of them.
            revenue: kept
                .iter()
                .fold(Decimal::ZERO, |sum, one| sum.saturating_add(one.revenue)),
            days: dates().min().zip(dates().max()),
        }
    }
}

/// What lines belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) file: i32,
    pub(super) platform: i32,
}

/// What is known of tracks and rates.
pub(super) struct Knowledge<'a> {
    recordings: Recordings,
    converter: Converter<'a>,
}

impl<'a> Knowledge<'a> {
    /// Nothing is known yet.
    pub(super) fn new(royalties: &'a royalty::Settings) -> Self {
        Self {
            recordings: Recordings::default(),
            converter: Converter::new(royalties),
        }
    }

    pub(super) async fn learn(
        &mut self,
        conn: &mut PgConnection,
        batch: &Batch,
    ) -> Result<(), sqlx::Error> {
        self.recordings.learn(conn, &batch.lines).await?;
        self.converter.learn(conn, &batch.lines).await
    }

    /// Parts lines into those that are imported and those that are not.
    pub(super) fn part<'b>(&mut self, batch: &'b Batch) -> (Vec<Kept<'b>>, Vec<Aside>) {
        let mut kept = Vec::with_capacity(batch.lines.len());
        let mut asides = batch.asides.clone();
        for line in &batch.lines {
            let track = match self.recordings.track(line) {
                Ok(track) => track,
                Err(NoTrack::Unknown(problem)) => {
                    asides.push(Aside::of(line, "unknown_recording", problem));
                    continue;
                }
                Err(NoTrack::Ambiguous(problem)) => {
                    asides.push(Aside::of(line, "ambiguous_recording", problem));
                    continue;
                }
            };
            match self.converter.convert(line) {
                Ok((revenue, rate)) => kept.push(Kept {
                    line,
                    track,
                    revenue,
                    rate: rate.cloned(),
                }),
                Err(NoAmount::Rate(problem)) => asides.push(Aside::of(line, "no_rate", problem)),
                Err(NoAmount::OutOfRange(problem)) => {
                    asides.push(Aside::of(line, "out_of_range", problem));
                }
            }
        }
        (kept, asides)
    }
}

/// What would come of a batch, and the lines that would not be imported.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    batch: &Batch,
    knowledge: &mut Knowledge<'_>,
) -> Result<(Tally, Vec<Aside>), sqlx::Error> {
    knowledge.learn(conn, batch).await?;
    let (kept, asides) = knowledge.part(batch);
    Ok((Tally::of(&kept, &asides), asides))
}

/// A batch whose lines are written, in a transaction that is still open: others can be written
/// meanwhile, and each counts in its turn.
pub(super) struct Written<'c> {
    tx: Transaction<'c, Postgres>,
    report: Report,
    records: usize,
    tally: Tally,
}

impl Written<'_> {
    /// Makes it count, of a file that has come to `done` records.
    pub(super) async fn commit(mut self, done: i64, now: DateTime<Utc>) -> Result<(), UsageError> {
        let file = self.report.file;
        if lock(&mut self.tx, file).await? != Some((FileState::Importing, done)) {
            return Err(UsageError::Busy(file));
        }
        advance(&mut self.tx, file, self.records, &self.tally, now).await?;
        self.tx.commit().await?;
        Ok(())
    }
}

/// Writes the lines of a batch. They count when they are committed.
pub(super) async fn write<'c>(
    conn: &'c mut PgConnection,
    report: Report,
    (kept, asides): &(Vec<Kept<'_>>, Vec<Aside>),
    now: DateTime<Utc>,
) -> Result<Written<'c>, UsageError> {
    let mut tx = conn.begin().await?;
    let written = async {
        write_kept(&mut tx, report, kept, now).await?;
        aside::write(&mut tx, report.file, asides).await
    };
    written.await.map_err(|error| taken(error, report.file))?;
    Ok(Written {
        tx,
        report,
        records: kept.len() + asides.len(),
        tally: Tally::of(kept, asides),
    })
}

/// A record that is there already was written by another process that imports the file.
fn taken(error: sqlx::Error, file: i32) -> UsageError {
    let constraint = error.as_database_error().and_then(|e| e.constraint());
    match constraint {
        Some("usage_lines_pkey" | "usage_unmatched_pkey") => UsageError::Busy(file),
        _ => error.into(),
    }
}

/// Keeps others from changing what is known of a file, if it may have lines: its state, and the records
/// that are done.
pub(super) async fn lock(
    conn: &mut PgConnection,
    file: i32,
) -> Result<Option<(FileState, i64)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select state as "state: FileState", records_done
           from worker.usage_files
           where id = $1 and state in ('importing', 'imported') for update"#,
        file,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.state, row.records_done)))
}

/// Writes lines that are imported, and marks their days.
pub(super) async fn write_kept(
    conn: &mut PgConnection,
    report: Report,
    kept: &[Kept<'_>],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    write_lines(&mut *conn, report, kept, now).await?;
    let marks: BTreeSet<Mark> = kept
        .iter()
        .map(|one| Mark {
            date: one.line.date,
            user: Some(one.track.owner),
        })
        .collect();
    let marks: Vec<Mark> = marks.into_iter().collect();
    statistics::mark(conn, &marks, statistics::Source::Import, now).await
}

async fn write_lines(
    conn: &mut PgConnection,
    report: Report,
    kept: &[Kept<'_>],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if kept.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(kept.len()).unwrap_or(i64::MAX);
    // The ids are taken first, so that each line knows its row. The triggers need not look for the days,
    // which the same transaction marks.
    let ids = sqlx::query!(
        r#"select array_agg(nextval(pg_get_serial_sequence('public.analytics', 'id'))) as "ids!",
               set_config('tunemantra.records_days', 'yes', true) as setting
           from generate_series(1, $1::bigint)"#,
        count,
    )
    .fetch_one(&mut *conn)
    .await?
    .ids;
    let created_at = now.naive_utc().format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    let mut origins = String::with_capacity(kept.len() * 60);
    let mut copy = conn
        .copy_in_raw(
            "copy public.analytics (id, track_id, platform_id, date, streams, downloads, revenue,
                 territory, created_at) from stdin",
        )
        .await?;
    // The server takes what is there while the next is put together.
    let mut rows = String::with_capacity(2 * CHUNK_BYTES);
    for (id, one) in ids.iter().zip(kept) {
        let line = one.line;
        // Writing to a String cannot fail.
        let _ = write!(
            rows,
            "{id}\t{}\t{}\t{}\t{}\t{}\t{}\t",
            one.track.id, report.platform, line.date, line.streams, line.downloads, one.revenue
        );
        text(&mut rows, &line.territory);
        let _ = writeln!(rows, "\t{created_at}");
        origin(&mut origins, report.file, *id, one);
        if rows.len() >= CHUNK_BYTES {
            copy.send(rows.as_bytes()).await?;
            rows.clear();
        }
    }
    copy.send(rows.as_bytes()).await?;
    copy.finish().await?;
    let mut copy = conn
        .copy_in_raw(
            "copy worker.usage_lines (file_id, record, analytics_id, amount, currency, rate, rate_date,
                 rate_source) from stdin",
        )
        .await?;
    copy.send(origins.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// A row of `worker.usage_lines`.
fn origin(to: &mut String, file: i32, id: i64, one: &Kept<'_>) {
    let _ = write!(to, "{file}\t{}\t{id}\t", one.line.place.record);
    match one.line.amount {
        Some(amount) => {
            let _ = write!(to, "{amount}\t");
        }
        None => to.push_str("\\N\t"),
    }
    match one.line.currency {
        Some(currency) => to.push_str(currency.as_str()),
        None => to.push_str("\\N"),
    }
    match &one.rate {
        Some(rate) => {
            let _ = write!(to, "\t{}\t{}\t", rate.rate, rate.date);
            text(to, &rate.source);
        }
        None => to.push_str("\t\\N\t\\N\t\\N"),
    }
    to.push('\n');
}

/// A text in the format of COPY; an empty one is NULL.
fn text(to: &mut String, text: &str) {
    if text.is_empty() {
        to.push_str("\\N");
    }
    for one in text.chars() {
        match one {
            '\\' => to.push_str("\\\\"),
            '\t' => to.push_str("\\t"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            one => to.push(one),
        }
    }
}

/// Notes how far the file has come.
pub(super) async fn advance(
    conn: &mut PgConnection,
    file: i32,
    records: usize,
    tally: &Tally,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (first, last) = tally.days.unzip();
    sqlx::query!(
        r#"update worker.usage_files
           set records_done = records_done + $2, lines_imported = lines_imported + $3,
               lines_aside = lines_aside + $4, streams = streams + $5, downloads = downloads + $6,
               revenue = revenue + $7, first_day = least(first_day, $8),
               last_day = greatest(last_day, $9), updated_at = $10
           where id = $1"#,
        file,
        i64::try_from(records).unwrap_or(i64::MAX),
        tally.lines,
        tally.asides,
        tally.streams,
        tally.downloads,
        tally.revenue,
        first,
        last,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}
