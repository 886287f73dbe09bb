//! The words of the queue: a job kind, a new job, the lease on a claimed one, and how an attempt ends.
//! How they are stored is in `enqueue` and `attempt`.

use std::{future::Future, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// A job kind: its arguments are the type, its limits are constants, its work is `run`.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The services that the handler needs, given once when the kind is registered.
    type Context: Clone + Send + Sync + 'static;

    /// The name in `worker.jobs.kind`. It never changes once jobs of it may exist.
    const KIND: &'static str;
    /// The queue makes a job dead when this many counted attempts have failed.
    const MAX_ATTEMPTS: i16;
    /// An attempt that takes longer is stopped and recorded as a fault.
    const TIMEOUT: Duration;
    /// Small jobs are fetched ahead of the free slots and counted together with their outcome.
    /// False for what takes long or must not wait in a daemon's memory, such as deliveries.
    const PREFETCH: bool;
    /// True when the handler itself calls [`begin`](super::begin), for example to join it to its
    /// own transaction. Otherwise the queue counts the attempt before it calls the handler.
    const BEGINS_ITSELF: bool = false;

    /// Does the work. It may be stopped at any await: when the lease is lost, on the timeout, and
    /// when a shutdown takes too long.
    fn run(
        self,
        context: Self::Context,
        lease: Lease,
    ) -> impl Future<Output = Result<Done, JobFault>> + Send;

    /// Called in the transaction that records an outcome which the queue decided and not the
    /// handler: a fault that the handler returned, a panic, the timeout, arguments that cannot be
    /// decoded, a shutdown that cut it off, a daemon that died, a stop that was asked for. So the
    /// owner of the job's meaning can follow. `arguments` are as stored (`null` if they are unreadable).
    fn decided_by_queue(
        _conn: &mut PgConnection,
        _lease: &Lease,
        _arguments: &Value,
        _outcome: &Outcome,
        _now: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async { Ok(()) }
    }
}

/// A job to be put into the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Where it waits, such as `deliver/7`.
    pub queue: String,
    /// [`Job::KIND`].
    pub kind: &'static str,
    /// The job type as JSON.
    pub arguments: Value,
    /// Smaller goes first.
    pub priority: i16,
    /// Not before this time.
    pub run_at: DateTime<Utc>,
    /// [`Job::MAX_ATTEMPTS`], or another limit for this one.
    pub max_attempts: i16,
    /// At most one unfinished job has this key.
    pub unique_key: Option<String>,
}

impl NewJob {
    /// A job of priority 0 without a unique key. Fails if the type does not serialise to JSON.
    pub fn new<J: Job>(
        queue: impl Into<String>,
        job: &J,
        run_at: DateTime<Utc>,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            queue: queue.into(),
            kind: J::KIND,
            arguments: serde_json::to_value(job)?,
            priority: 0,
            run_at,
            max_attempts: J::MAX_ATTEMPTS,
            unique_key: None,
        })
    }

    /// Sets the priority; smaller goes first.
    #[must_use]
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the key of which at most one unfinished job exists.
    #[must_use]
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.unique_key = Some(key.into());
        self
    }
}

/// What a claim gives its holder. Every outcome is fenced by the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: Uuid,
    /// Valid until the outcome is recorded or the lease is lost.
    pub token: Uuid,
    /// The queue that the job was claimed from.
    pub queue: String,
    /// [`Job::KIND`].
    pub kind: String,
    /// The number of this attempt, from 1.
    pub attempt: i16,
    /// The attempt with this number is the last.
    pub max_attempts: i16,
    /// How often a daemon died while it held this job.
    pub crashes: i16,
    /// The daemon that holds it, unique per start.
    pub worker: String,
}

/// How an attempt ends and what becomes of its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done.
    Completed,
    /// Again at that time.
    Retry {
        /// Not before this time.
        at: DateTime<Utc>,
        /// The stable code of the fault.
        code: String,
        /// The sentence a person reads.
        message: String,
    },
    /// Again at that time, and the counted attempt is given back.
    Snooze {
        /// Not before this time.
        at: DateTime<Utc>,
        /// The stable code of the reason.
        code: String,
        /// The sentence a person reads.
        message: String,
    },
    /// No further attempt.
    Dead {
        /// The stable code of the fault.
        code: String,
        /// The sentence a person reads.
        message: String,
    },
    /// Somebody wanted it no longer.
    Canceled,
    /// Waits until somebody releases it.
    Held {
        /// The stable code of the reason.
        code: String,
        /// The sentence a person reads.
        message: String,
    },
}

/// What a handler that succeeded leaves to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The queue completes the job, together with others.
    Complete,
    /// The handler recorded the outcome in its own transaction.
    Settled,
}

/// Why a handler did not finish; the queue decides the outcome from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobFault {
    /// Again after the queue's backoff, until the attempts are used up.
    #[error("{code}: {message}")]
    Retry {
        /// The stable code of the fault.
        code: String,
        /// The sentence a person reads.
        message: String,
    },
    /// Again at that time; the attempt does not count.
    #[error("{code}: {message}")]
    Snooze {
        /// Not before this time.
        at: DateTime<Utc>,
        /// The stable code of the reason.
        code: String,
        /// The sentence a person reads.
        message: String,
    },
    /// No use in trying again.
    #[error("{code}: {message}")]
    Dead {
        /// The stable code of the fault.
        code: String,
        /// The sentence a person reads.
        message: String,
    },
}

impl JobFault {
    /// A fault to be tried again after the queue's backoff.
    pub fn retry(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Retry {
            code: code.into(),
            message: message.into(),
        }
    }

    /// A fault that no further attempt would mend.
    pub fn dead(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Dead {
            code: code.into(),
            message: message.into(),
        }
    }
}

impl From<sqlx::Error> for JobFault {
    fn from(error: sqlx::Error) -> Self {
        Self::retry(
            "database",
            format!("the database refused or was away: {error}"),
        )
    }
}
