//! Pruning by age: finished jobs, attempts, evidence, files of packages, cron runs,
//! notifications, names of partners' notices, statements of all payees.
//!
//! What it never removes: anything of a delivery that is not decided; the newest evidence and the
//! newest list of files that an accepted insert or update of a release left at a platform, however
//! old (they are the proof of what is live there, and are kept after a takedown too); the newest
//! run of each cron entry; a notification that has not reached everybody. Rows of deliveries themselves stay: they are the history, and what a
//! takedown needs when the release is gone.

mod deliveries;
mod history;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    audit::{self, By, Change},
    clock::Clock,
    queue::{
        Done, Job, JobFault, Lease, NewJob,
        cron::{Entry, Schedule},
    },
};

/// How long things are kept, in days; 0: for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Jobs that were completed or canceled, after they finished.
    pub jobs_days: u32,
    /// Jobs that died, after they did.
    pub dead_jobs_days: u32,
    /// Attempts, after they ended.
    pub attempts_days: u32,
    /// Messages and answers, after their delivery was decided.
    pub evidence_days: u32,
    /// Names, sizes and hash sums of what was sent, after the delivery was decided.
    pub files_days: u32,
    /// Runs of cron entries.
    pub cron_runs_days: u32,
    /// Notifications, after every channel had taken them, or nobody wanted them.
    pub notifications_days: u32,
    /// Which notices of partners were heard: one that comes again after that is taken for another.
    pub partner_notices_days: u32,
    /// Statements that daemons wrote for all payees of a run, after that. They can be written again.
    pub statements_days: u32,
    /// The most rows looked at in one transaction; 10,000 at most.
    pub batch_rows: u32,
    /// Milliseconds between two transactions.
    pub pause_ms: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            jobs_days: 14,
            dead_jobs_days: 90,
            attempts_days: 90,
            evidence_days: 180,
            files_days: 730,
            cron_runs_days: 90,
            notifications_days: 90,
            partner_notices_days: 30,
            statements_days: 30,
            batch_rows: 1000,
            pause_ms: 100,
        }
    }
}

impl Policy {
    fn limit(&self) -> i64 {
        i64::from(self.batch_rows.max(1))
    }
}

/// What was removed of one kind, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The table.
    pub table: &'static str,
    /// After so many days; 0: never.
    pub days: u32,
    /// Rows.
    pub rows: u64,
}

/// Whether rows are removed or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are removed, in small transactions.
    Remove,
    /// Nothing is changed.
    Count,
}

/// Removes what is older than `policy` keeps, or counts it. It may be dropped at any moment: what
/// is removed by then stays removed, and the rest goes the next time.
///
/// # Errors
/// The database's.
pub async fn prune(
    pool: &PgPool,
    policy: &Policy,
    mode: Mode,
    now: DateTime<Utc>,
) -> Result<Vec<Pruned>, sqlx::Error> {
    let work = Work {
        pool,
        policy,
        mode,
        now,
    };
    let mut pruned = Vec::new();
    // Attempts before jobs and deliveries' documents: nothing is left without what explains it.
    for (table, days, rows) in [
        (
            "worker.attempts",
            policy.attempts_days,
            history::attempts(&work).await?,
        ),
        (
            "worker.jobs (completed, canceled)",
            policy.jobs_days,
            history::jobs(&work, history::Ended::Well).await?,
        ),
        (
            "worker.jobs (dead)",
            policy.dead_jobs_days,
            history::jobs(&work, history::Ended::Dead).await?,
        ),
        (
            "worker.evidence",
            policy.evidence_days,
            deliveries::prune(&work, deliveries::Kept::Evidence).await?,
        ),
        (
            "worker.delivery_files",
            policy.files_days,
            deliveries::prune(&work, deliveries::Kept::Files).await?,
        ),
        (
            "worker.cron_runs",
            policy.cron_runs_days,
            history::cron_runs(&work).await?,
        ),
        (
            "worker.notifications",
            policy.notifications_days,
            history::notifications(&work).await?,
        ),
        (
            "worker.partner_notices",
            policy.partner_notices_days,
            history::partner_notices(&work).await?,
        ),
        (
            "worker.statement_sets",
            policy.statements_days,
            history::statement_sets(&work).await?,
        ),
    ] {
        pruned.push(Pruned { table, days, rows });
    }
    Ok(pruned)
}

/// [`prune`] at an operator's word: the row of the audit is there before anything goes, so that a
/// round which is broken off has one too.
///
/// # Errors
/// The database's.
pub async fn prune_by_operator(
    pool: &PgPool,
    policy: &Policy,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Vec<Pruned>, sqlx::Error> {
    let change = Change {
        action: "retention.prune",
        object_kind: "retention",
        object_id: "all".into(),
        before: None,
        after: Some(json!({"older_than": policy})),
    };
    let mut conn = pool.acquire().await?;
    audit::record(&mut conn, by, &change, now).await?;
    drop(conn);
    prune(pool, policy, Mode::Remove, now).await
}

/// One round of pruning.
struct Work<'a> {
    pool: &'a PgPool,
    policy: &'a Policy,
    mode: Mode,
    now: DateTime<Utc>,
}

impl Work<'_> {
    /// What is older than this goes; `None`: nothing does.
    fn cutoff(&self, days: u32) -> Option<DateTime<Utc>> {
        let age = TimeDelta::try_days(days.into()).filter(|_| days > 0)?;
        self.now.checked_sub_signed(age)
    }

    /// Leaves the database to others for a moment.
    async fn pause(&self) {
        if self.mode == Mode::Remove {
            tokio::time::sleep(Duration::from_millis(self.policy.pause_ms)).await;
        }
    }
}

/// What the job needs.
#[derive(Clone)]
pub struct Services {
    /// The database.
    pub pool: PgPool,
    /// Tells the time.
    pub clock: Clock,
    /// How long things are kept.
    pub policy: Arc<Policy>,
}

/// The job that prunes: kind `retention`, without arguments.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Retention {}

impl Job for Retention {
    type Context = Services;
    const KIND: &'static str = "retention";
    /// The next night is another chance.
    const MAX_ATTEMPTS: i16 = 5;
    /// The first time after years may take long; it goes on where it stopped.
    const TIMEOUT: Duration = Duration::from_secs(12 * 3600);
    const PREFETCH: bool = false;

    async fn run(self, services: Services, _lease: Lease) -> Result<Done, JobFault> {
        let now = (services.clock)();
        let pruned = prune(&services.pool, &services.policy, Mode::Remove, now).await?;
        for one in pruned.iter().filter(|one| one.rows > 0) {
            tracing::info!(table = one.table, rows = one.rows, "pruned by age");
        }
        Ok(Done::Complete)
    }
}

/// The cron entry that enqueues the job.
#[must_use]
pub fn entry(schedule: Schedule) -> Entry {
    Entry {
        name: Retention::KIND,
        schedule,
        job: |tick| NewJob::new(Retention::KIND, &Retention {}, tick),
    }
}
