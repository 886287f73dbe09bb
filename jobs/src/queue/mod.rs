//! The queue: jobs in `worker.jobs`, claimed with leases, run by apalis, with every outcome fenced.
//! apalis gives the worker runtime; the storage behind it is ours. What a job means is its kind's
//! business, not the queue's.

mod attempt;
mod backend;
mod backoff;
pub mod circuit;
mod claim;
mod complete;
mod crew;
pub mod cron;
mod dead;
mod enqueue;
mod fetch;
mod job;
mod lease;
mod limits;
mod listen;
mod operate;
mod outcome;
mod pace;
mod read;
mod registry;
mod rescue;
mod run;
mod settings;

pub use attempt::{begin, settle};
pub use backoff::Backoff;
pub use dead::{DeadFilter, DeadJob, dead};
pub(crate) use dead::{is_dead, retry_dead};
pub use enqueue::enqueue;
pub use job::{Done, Job, JobFault, Lease, NewJob, Outcome};
pub use limits::{Limits, Rates};
pub use operate::{cancel_running, limit, release_held};
pub use pace::{Pace, pace_after};
pub use read::{
    AttemptsOf, JobFilter, ListedAttempt, ListedJob, ListedQueue, attempts, job, jobs, queues,
};
pub use registry::Registry;
pub use rescue::CRASHED;
pub use run::{CONNECTIONS, Ending, run};
pub use settings::{InvalidSettings, Settings};

/// Why a queue cannot be started or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Two job kinds have one name.
    #[error("job kind {0} is registered twice")]
    DuplicateKind(&'static str),
    /// The limits contradict each other.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// apalis ended on its own.
    #[error("the worker runtime ended: {0}")]
    Runtime(String),
}
