//! What an operator does to deliveries: to one, to a selection, to a platform. Every change goes
//! through the state machine, takes its job with it, and is a row of the audit in the same
//! transaction.

mod one;
mod platform;
mod revise;
mod selection;
mod territory;

pub(super) use one::begin_anew;
pub use one::{Operated, Operation, Stale, operate, operate_if};
pub(super) use one::{apply, retransmit};
pub(crate) use platform::version as version_of_platform;
pub use platform::{
    Paused, Resumed, pause_platform, platform_version, probe_platform, resume_platform,
};
pub(super) use revise::update_on;
pub use revise::{NotPurged, OnPlatform, Outcome, purge, take_down, update};
pub use selection::{Tally, count, operate_all, operate_each};
pub use territory::{restore_territory, take_down_territory};
