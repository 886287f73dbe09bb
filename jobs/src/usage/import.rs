//! Importing a file, from its survey to the last batch.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;
use sqlx::{Connection as _, PgPool};
use tokio::sync::mpsc;

use super::{
    Layout, Settings, UsageError,
    aside::Aside,
    files::{self, File},
    layout::Columns,
    source::{Records, Survey},
    store::{self, Batch, Knowledge, Report, Tally},
};
use crate::{
    audit::{self, By, Change},
    royalty, statistics,
};

/// Problems that a dry run shows.
const PROBLEMS: usize = 20;
/// Batches that are read ahead of the database.
const AHEAD: usize = 1;

/// What is to be imported, and how.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The file: CSV, plain or gzip.
    pub path: &'a Path,
    /// The platform that reports it.
    pub platform: i32,
    /// The layout's name in the configuration.
    pub layout_name: &'a str,
    /// The layout.
    pub layout: &'a Layout,
    /// How usage is imported.
    pub settings: &'a Settings,
    /// The accounting currency, and how old a rate may be.
    pub royalties: &'a royalty::Settings,
}

/// What came of a file, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The file's id; `None`: it was a dry run.
    pub file: Option<i32>,
    /// SHA-256 of its content, unpacked.
    pub sha256: String,
    /// Records in it, without the names of the columns.
    pub records: u64,
    /// Lines that became usage.
    pub lines: i64,
    /// Lines that did not.
    pub unmatched: i64,
    /// Streams on those that did.
    pub streams: i64,
    /// Downloads on them.
    pub downloads: i64,
    /// What they come to in the accounting currency.
    pub revenue: Decimal,
    /// The first day of use.
    pub first_day: Option<NaiveDate>,
    /// The last day of use.
    pub last_day: Option<NaiveDate>,
    /// Of a dry run: what is wrong with the first lines that would not be imported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// A line that would not be imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// In the file, from 1.
    pub line: u64,
    /// A word for the kind: `unknown_recording`.
    pub reason: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// Imports a file, or goes on with one that was not finished. `progress` is told after each batch how
/// many of how many records are done.
///
/// # Errors
/// [`UsageError`]. What was imported by then stays, and the next call goes on from there.
pub async fn import(
    pool: &PgPool,
    order: &Order<'_>,
    by: &By,
    now: DateTime<Utc>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Imported, UsageError> {
    let survey = survey(order, now).await?;
    let file = begin(pool, order, &survey, by, now).await?;
    let report = Report {
        file: file.id,
        platform: order.platform,
    };
    let mut knowledge = Knowledge::new(order.royalties);
    let mut done = file.records_done;
    // Connections of its own: they are closed, and not used again, if this is dropped amid a COPY. Two,
    // because the server writes lines for longer than they take to be read.
    let mut conn = pool.acquire().await?.detach();
    let mut second = pool.acquire().await?.detach();
    let mut batches = read(order, u64::try_from(done).unwrap_or_default(), now);
    while let Some(batch) = batches.recv().await {
        let batch = batch?;
        let next = batches.recv().await.transpose()?.unwrap_or_default();
        knowledge.learn(&mut conn, &batch).await?;
        let lines = knowledge.part(&batch);
        knowledge.learn(&mut conn, &next).await?;
        let next_lines = knowledge.part(&next);
        let (written, next_written) = tokio::try_join!(
            store::write(&mut conn, report, &lines, now),
            store::write(&mut second, report, &next_lines, now),
        )?;
        for (written, records) in [(written, batch.records()), (next_written, next.records())] {
            written.commit(done, now).await?;
            done += i64::try_from(records).unwrap_or(i64::MAX);
            progress(u64::try_from(done).unwrap_or_default(), survey.records);
        }
    }
    conn.close().await?;
    second.close().await?;
    finish(pool, &file, now).await?;
    let file = files::file(pool, file.id).await?;
    Ok(Imported {
        file: Some(file.id),
        sha256: survey.sha256,
        records: survey.records,
        lines: file.lines_imported,
        unmatched: file.lines_aside,
        streams: file.streams,
        downloads: file.downloads,
        revenue: file.revenue,
        first_day: file.first_day,
        last_day: file.last_day,
        problems: Vec::new(),
    })
}

/// What an import of the file would come to. Changes nothing.
///
/// # Errors
/// [`UsageError`].
pub async fn dry_run(
    pool: &PgPool,
    order: &Order<'_>,
    now: DateTime<Utc>,
) -> Result<Imported, UsageError> {
    let survey = survey(order, now).await?;
    files::platform_name(pool, order.platform).await?;
    files::refuse_known(pool, &survey.sha256).await?;
    let mut knowledge = Knowledge::new(order.royalties);
    let mut found = Imported {
        sha256: survey.sha256,
        records: survey.records,
        ..Imported::default()
    };
    let mut conn = pool.acquire().await?;
    let mut batches = read(order, 0, now);
    while let Some(batch) = batches.recv().await {
        let (tally, asides) = store::rehearse(&mut conn, &batch?, &mut knowledge).await?;
        found.add(tally, asides);
    }
    Ok(found)
}

impl Imported {
    fn add(&mut self, tally: Tally, asides: Vec<Aside>) {
        self.lines += tally.lines;
        self.unmatched += tally.asides;
        self.streams += tally.streams;
        self.downloads += tally.downloads;
        self.revenue = self.revenue.saturating_add(tally.revenue);
        if let Some((first, last)) = tally.days {
            self.first_day = Some(self.first_day.map_or(first, |day| day.min(first)));
            self.last_day = self.last_day.max(Some(last));
        }
        let room = PROBLEMS.saturating_sub(self.problems.len());
        self.problems
            .extend(asides.into_iter().take(room).map(Problem::of));
    }
}

/// What a file is without a look at the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// Records in it, without the names of the columns.
    pub records: u64,
    /// Those of them that can be read; whether there is such a track is another question.
    pub readable: u64,
    /// What is wrong with the first ones that cannot.
    pub problems: Vec<Problem>,
}

/// Reads a file as an import would, without a database. It reads on this thread.
///
/// # Errors
/// [`UsageError::Unreadable`]: nothing of it would be imported.
pub fn examine(
    path: &Path,
    layout: &Layout,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<Examined, UsageError> {
    let reading = Reading::new(path, layout, settings, now);
    let mut records = reading.open()?;
    let columns = reading.columns(&records)?;
    let mut found = Examined::default();
    while let Some((place, record)) = records.next()? {
        found.records += 1;
        match columns.read(place, record) {
            Ok(_) => found.readable += 1,
            Err((problem, record)) if found.problems.len() < PROBLEMS => {
                let aside = Aside::unreadable(place, problem, &record);
                found.problems.push(Problem::of(aside));
            }
            Err(_) => {}
        }
    }
    Ok(found)
}

impl Problem {
    fn of(aside: Aside) -> Self {
        Self {
            line: aside.place.line,
            reason: aside.reason,
            problem: aside.problem,
        }
    }
}

/// Reads the whole file once: nothing is imported of one that breaks off.
async fn survey(order: &Order<'_>, now: DateTime<Utc>) -> Result<Survey, UsageError> {
    let reading = Reading::of(order, now);
    tokio::task::spawn_blocking(move || {
        let records = reading.open()?;
        reading.columns(&records)?;
        records.survey()
    })
    .await
    .map_err(|error| UsageError::CutOff(error.to_string()))?
}

/// What a thread needs that reads.
struct Reading {
    path: PathBuf,
    layout: Layout,
    settings: Settings,
    latest: NaiveDate,
}

impl Reading {
    fn of(order: &Order<'_>, now: DateTime<Utc>) -> Self {
        Self::new(order.path, order.layout, order.settings, now)
    }

    fn new(path: &Path, layout: &Layout, settings: &Settings, now: DateTime<Utc>) -> Self {
        Self {
            path: path.to_owned(),
            layout: layout.clone(),
            settings: settings.clone(),
            // Where the sun rises first it is tomorrow already.
            latest: (now + TimeDelta::hours(14)).date_naive(),
        }
    }

    fn open(&self) -> Result<Records, UsageError> {
        Records::open(&self.path, &self.layout, &self.settings)
    }

    fn columns(&self, records: &Records) -> Result<Columns, UsageError> {
        Columns::find(&self.layout, records.head(), self.latest).map_err(|problem| {
            UsageError::Unreadable {
                path: self.path.clone(),
                problem,
            }
        })
    }

    /// Reads batches from a record on, until nobody takes them.
    fn batches(
        &self,
        skip: u64,
        batches: &mpsc::Sender<Result<Batch, UsageError>>,
    ) -> Result<(), UsageError> {
        let mut records = self.open()?;
        let columns = self.columns(&records)?;
        for _ in 0..skip {
            records.next()?;
        }
        let size = usize::try_from(self.settings.batch_lines.max(1)).unwrap_or(usize::MAX);
        let mut batch = Batch::default();
        while let Some((place, record)) = records.next()? {
            match columns.read(place, record) {
                Ok(line) => batch.lines.push(line),
                Err((problem, record)) => {
                    batch
                        .asides
                        .push(Aside::unreadable(place, problem, &record));
                }
            }
            if batch.records() >= size
                && batches
                    .blocking_send(Ok(std::mem::take(&mut batch)))
                    .is_err()
            {
                return Ok(());
            }
        }
        if batch.records() > 0 {
            // Nobody left to take it: the import has failed otherwise.
            let _ = batches.blocking_send(Ok(batch));
        }
        Ok(())
    }
}

/// Batches of the file, read on a thread of their own while the database takes the one before.
fn read(
    order: &Order<'_>,
    skip: u64,
    now: DateTime<Utc>,
) -> mpsc::Receiver<Result<Batch, UsageError>> {
    let reading = Reading::of(order, now);
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = reading.batches(skip, &sender) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// The file's row: a new one, or that of an import that was not finished.
async fn begin(
    pool: &PgPool,
    order: &Order<'_>,
    survey: &Survey,
    by: &By,
    now: DateTime<Utc>,
) -> Result<File, UsageError> {
    let platform_name = files::platform_name(pool, order.platform).await?;
    if let Some(begun) = files::unfinished(pool, &survey.sha256).await? {
        if begun.platform_id != order.platform || begun.layout != order.layout_name {
            return Err(UsageError::Otherwise {
                id: begun.id,
                platform: begun.platform_id,
                layout: begun.layout,
            });
        }
        return Ok(begun);
    }
    files::refuse_known(pool, &survey.sha256).await?;
    let name = order
        .path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut tx = pool.begin().await?;
    let id = sqlx::query_scalar!(
        r#"insert into worker.usage_files
               (name, sha256, platform_id, platform_name, layout, records_total, started_at, updated_at)
           values ($1, $2, $3, $4, $5, $6, $7, $7)
           on conflict (sha256) where state <> 'voided' do nothing
           returning id"#,
        name,
        survey.sha256,
        order.platform,
        platform_name,
        order.layout_name,
        i64::try_from(survey.records).unwrap_or(i64::MAX),
        now,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(id) = id else {
        // Another process was quicker.
        return files::unfinished(pool, &survey.sha256).await?.map_or_else(
            || Err(UsageError::CutOff(name)),
            |file| Err(UsageError::Busy(file.id)),
        );
    };
    let change = Change {
        action: "usage.import",
        object_kind: "usage_file",
        object_id: id.to_string(),
        before: None,
        after: Some(json!({
            "name": name, "sha256": survey.sha256, "platform": order.platform,
            "layout": order.layout_name, "records": survey.records,
        })),
    };
    audit::record(&mut tx, by, &change, now).await?;
    tx.commit().await?;
    files::file(pool, id).await
}

/// All of it is there: the days it changed are recomputed at once.
async fn finish(pool: &PgPool, file: &File, now: DateTime<Utc>) -> Result<(), UsageError> {
    let mut tx = pool.begin().await?;
    let finished = sqlx::query!(
        r#"update worker.usage_files
           set state = 'imported', finished_at = $2, updated_at = $2
           where id = $1 and state = 'importing' and records_done = records_total"#,
        file.id,
        now,
    )
    .execute(&mut *tx)
    .await?;
    if finished.rows_affected() == 0 {
        return Err(UsageError::Busy(file.id));
    }
    statistics::wake(&mut tx, now).await?;
    tx.commit().await?;
    Ok(())
}
