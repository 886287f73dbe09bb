//! Schedules: rows of `scheduled_distributions` that are due become deliveries, and are completed
//! when the last of their platforms is decided.

mod decide;
mod fan_out;
mod operate;
mod poll;

pub(crate) use decide::{Failure, decide};
pub(crate) use fan_out::RECORDS_LOCK;
pub use fan_out::{FannedOut, fan_out_due};
pub use operate::{
    ListFilter, Listed, NewSchedule, NotScheduled, Rescheduled, cancel, count_by_day, create, list,
    one, run_now,
};
pub use poll::{PollSettings, poll};
