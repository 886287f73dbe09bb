//! Schedules: rows of `scheduled_distributions` that are due become deliveries, and are completed
//! when the last of their platforms is decided.

mod decide;
mod fan_out;
mod poll;

pub(crate) use decide::{Failure, decide};
pub use fan_out::{FannedOut, fan_out_due};
pub use poll::{PollSettings, poll};
