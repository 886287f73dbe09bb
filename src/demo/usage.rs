//! Two months of usage: each partner reports what was listened to, the reports are imported, and the
//! daemon makes daily statistics of them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Days, NaiveDate, Utc};
use jobs::{
    audit::By,
    royalty, statistics,
    usage::{self, Layout, Order, Plan, Settings},
};
use serde::Serialize;
use sqlx::PgPool;

/// Days that are reported, up to yesterday.
const DAYS: u64 = 60;
/// Lines of a platform's report for each of them.
const LINES_A_DAY: u64 = 40;
/// Between two looks at what waits to be recomputed.
const LOOK: Duration = Duration::from_millis(200);
/// Longer than the daemon takes from one look for marks to the next.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Statistics {
    reports: Vec<Report>,
    /// Rows of `daily_stats`.
    days: i64,
    users: Vec<User>,
    /// The rows say in sum what usage says.
    pub(crate) equal_to_usage: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    platform: String,
    file: PathBuf,
    lines: i64,
    unmatched: i64,
}

/// A user's days together, with those of sub-labels where there are any.
#[derive(Debug, Serialize, sqlx::FromRow)]
struct User {
    name: String,
    days: i64,
    streams: i64,
    downloads: i64,
    /// In the accounting currency.
    revenue: String,
    streams_with_sub_labels: i64,
}

impl Statistics {
    /// One line that sums it up.
    pub(crate) fn summary(&self) -> String {
        let lines: i64 = self.reports.iter().map(|report| report.lines).sum();
        let streams: i64 = self.users.iter().map(|user| user.streams).sum();
        format!(
            "Usage: {} reports with {lines} lines imported; daily statistics: {} days of {} users, \
             {streams} streams{}.",
            self.reports.len(),
            self.days,
            self.users.len(),
            if self.equal_to_usage {
                ", as usage says"
            } else {
                ", NOT what usage says"
            }
        )
    }
}

/// Imports a report of each platform and waits until the daemon has recomputed the days.
pub(crate) async fn play(
    pool: &PgPool,
    directory: &Path,
    now: DateTime<Utc>,
) -> anyhow::Result<Statistics> {
    fs::create_dir_all(directory)
        .with_context(|| format!("{} cannot be used", directory.display()))?;
    let platforms: Vec<(i32, String)> =
        sqlx::query_as("select id, name from public.distribution_platforms order by id")
            .fetch_all(pool)
            .await?;
    let isrcs = usage::isrcs(pool).await?;
    let mut reports = Vec::new();
    for (id, name) in platforms {
        let file = directory.join(format!("platform-{id}.csv"));
        // An interrupted demo may have imported it already.
        if usage::files(pool, Some(id), 1).await?.is_empty() {
            fs::write(&file, report(id, &isrcs, now.date_naive())?)?;
        }
        let order = Order {
            path: &file,
            platform: id,
            layout_name: "plain",
            layout: &Layout::default(),
            settings: &Settings::default(),
            royalties: &royalty::Settings::default(),
        };
        let by = By::new("demo", "the partner's report")?;
        match usage::import(pool, &order, &by, now, |_, _| {}).await {
            Ok(_) | Err(usage::UsageError::Known { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let imported = usage::files(pool, Some(id), 1).await?;
        reports.extend(imported.into_iter().map(|imported| Report {
            platform: name.clone(),
            file: file.clone(),
            lines: imported.lines_imported,
            unmatched: imported.lines_aside,
        }));
    }
    until_recomputed(pool).await?;
    account(pool, reports).await
}

/// A platform's report of days that are over.
fn report(platform: i32, isrcs: &[String], today: NaiveDate) -> std::io::Result<Vec<u8>> {
    let mut csv = Vec::new();
    let plan = Plan {
        isrcs,
        first_day: today - Days::new(DAYS),
        last_day: today - Days::new(1),
        lines: DAYS * LINES_A_DAY,
        seed: u64::from(platform.unsigned_abs()),
    };
    usage::generate(&mut csv, &plan)?;
    Ok(csv)
}

async fn until_recomputed(pool: &PgPool) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let status = statistics::status(pool).await?;
        if status.marks == 0 && status.trend_marks == 0 {
            return Ok(());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "the daemon has not recomputed daily statistics for {PATIENCE:?}: {} marks wait",
            status.marks
        );
        tokio::time::sleep(LOOK).await;
    }
}

async fn account(pool: &PgPool, reports: Vec<Report>) -> anyhow::Result<Statistics> {
    let users: Vec<User> = sqlx::query_as(
        "select u.full_name as name, count(*) as days,
             sum((s.trend_data #>> '{totals,streams}')::bigint)::bigint as streams,
             sum((s.trend_data #>> '{totals,downloads}')::bigint)::bigint as downloads,
             sum((s.trend_data #>> '{totals,revenue}')::numeric)::text as revenue,
             sum(coalesce(s.trend_data #>> '{with_sub_labels,streams}',
                 s.trend_data #>> '{totals,streams}')::bigint)::bigint as streams_with_sub_labels
         from public.daily_stats s join public.users u on u.id = s.user_id
         group by u.id order by u.id",
    )
    .fetch_all(pool)
    .await?;
    let (days, equal_to_usage): (i64, bool) = sqlx::query_as(
        "select (select count(*) from public.daily_stats),
             (select (sum(total_streams), sum(total_revenue)) from public.daily_stats)
             is not distinct from (select (sum(streams), sum(revenue)) from public.analytics)",
    )
    .fetch_one(pool)
    .await?;
    Ok(Statistics {
        reports,
        days,
        users,
        equal_to_usage,
    })
}
