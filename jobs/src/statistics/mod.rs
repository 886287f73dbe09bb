//! Daily statistics: `public.daily_stats`, a row for each user and day, always what a recomputation
//! from usage (`analytics`) would give.
//!
//! A track counts for `tracks.user_id`. Which days changed is told by marks in `worker.dirty_days`:
//! the importer's, those of triggers on the web application's tables, and a nightly scan that
//! compares a fingerprint of each user's day with the one that its row was made of, and so finds
//! what nobody told. Marked days are computed anew, never added to, and written where they differ. A
//! day that cannot be written is set aside and holds up no other.
//!
//! Labels are rolled up: the row of a label has its own tracks in the totals and breakdowns, and in
//! `trend_data` what its sub-labels had, each on its own (`sub_labels`) and all of it together
//! (`with_sub_labels`), five levels deep.

mod aside;
mod breakdown;
mod duplicates;
mod job;
mod mark;
mod read;
mod recompute;
mod runs;
mod status;

use chrono::NaiveDate;
use serde::Deserialize;

pub use aside::Aside;
pub use breakdown::{Average, Breakdown, Change, Entry, Figures, Trend};
pub use duplicates::{Duplicate, duplicates, merge_duplicates};
pub(crate) use job::wake;
pub use job::{Scan, Services, Statistics, entry, scan_entry};
pub use mark::{Mark, Source, mark};
pub use read::{Day, UnreadableDay, days};
pub use recompute::{Written, recompute};
pub use runs::{Run, RunError, RunKind, RunState, cancel, rebuild, run, runs, scan};
pub use status::{Status, status};

/// How days are recomputed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// User-days in one transaction, which the lock on statistics is held for.
    pub batch_user_days: u32,
    /// Megabytes that the database may use for one of its sorts and hash tables.
    pub work_mem_mb: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_user_days: 20_000,
            work_mem_mb: 64,
        }
    }
}

/// Days from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first day.
    pub first: NaiveDate,
    /// The last day.
    pub last: NaiveDate,
}

impl Range {
    /// All days that statistics are made of: those with a year of four digits.
    pub const ALL: Self = Self {
        first: year_end(1, 1, 1),
        last: year_end(9999, 12, 31),
    };
}

const fn year_end(year: i32, month: u32, day: u32) -> NaiveDate {
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(date) => date,
        None => NaiveDate::MIN,
    }
}
