//! Every limit of the queue, with its unit, its default and the reason for it.

use std::time::Duration;

use super::backoff::Backoff;

/// The limits of one daemon's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of this daemon, unique per start: leases carry it. `None`: one is made up.
    pub name: Option<String>,
    /// Jobs at once, of kinds that are not fetched ahead (deliveries, runs). They mostly wait for
    /// partners, so more than the cores.
    pub slots: usize,
    /// Jobs at once, of kinds that are fetched ahead. They mostly wait for the database.
    pub small_slots: usize,
    /// Small jobs claimed beyond the free slots at the most; as many as run in a tenth of a second
    /// are. More makes claims cheaper; after a crash that many wait for the lease to expire.
    pub prefetch: usize,
    /// Completions recorded with one statement, and at most three times as many wait for it.
    pub completion_batch: usize,
    /// How long a claim holds without a heartbeat. After a crash its jobs wait that long.
    pub lease: Duration,
    /// Between two heartbeats. At most a third of the lease, so that two may be missed.
    pub heartbeat: Duration,
    /// Between two looks for due work when neither a notification nor a due time came: only what
    /// a lost notification announced waits so long.
    pub poll_interval: Duration,
    /// Between two looks at queues whose due work cannot be had: at its limit, or locked.
    pub busy_interval: Duration,
    /// Between two searches for expired leases.
    pub rescue_interval: Duration,
    /// Expired leases dealt with in one search.
    pub rescue_batch: i64,
    /// A job that was held by this many daemons when they died is dead.
    pub max_crashes: i16,
    /// Running jobs at once per queue over all daemons, for queues of kinds that are not fetched
    /// ahead and for which `worker.queues` says nothing. `None`: no limit.
    pub default_concurrency: Option<i32>,
    /// Waits before a job that failed is tried again.
    pub retry: Backoff,
    /// Waits before a job whose daemon died is tried again: a poison job is parted from the jobs
    /// that merely ran beside it.
    pub crash_retry: Backoff,
    /// Waits before a statement that failed is tried again.
    pub reconnect: Backoff,
    /// On shutdown: how long running jobs may finish before they are cut off and given back.
    pub drain: Duration,
    /// On shutdown: how long the last outcomes may take to be recorded, after the drain.
    pub flush: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            slots: 16,
            small_slots: 24,
            prefetch: 4000,
            completion_batch: 2000,
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            poll_interval: Duration::from_secs(10),
            busy_interval: Duration::from_millis(500),
            rescue_interval: Duration::from_secs(10),
            rescue_batch: 500,
            max_crashes: 3,
            default_concurrency: Some(4),
            retry: Backoff {
                first: Duration::from_secs(15),
                ceiling: Duration::from_secs(3600),
            },
            crash_retry: Backoff {
                first: Duration::from_secs(2),
                ceiling: Duration::from_secs(60),
            },
            reconnect: Backoff {
                first: Duration::from_millis(200),
                ceiling: Duration::from_secs(5),
            },
            drain: Duration::from_secs(20),
            flush: Duration::from_secs(5),
        }
    }
}

impl Settings {
    /// Checks the limits against each other. The error names the limit and what it must be.
    pub fn validate(&self) -> Result<(), InvalidSettings> {
        let rules = [
            (self.slots > 0, "slots must be at least 1"),
            (self.small_slots > 0, "small_slots must be at least 1"),
            (
                self.completion_batch > 0,
                "completion_batch must be at least 1",
            ),
            (self.rescue_batch > 0, "rescue_batch must be at least 1"),
            (self.max_crashes > 0, "max_crashes must be at least 1"),
            (
                self.lease >= Duration::from_millis(300),
                "lease must be at least 300 ms",
            ),
            (
                self.heartbeat > Duration::ZERO && self.heartbeat.saturating_mul(3) <= self.lease,
                "heartbeat must be more than nothing and at most a third of lease, so that two may be missed",
            ),
            (
                self.poll_interval >= Duration::from_millis(100),
                "poll_interval must be at least 100 ms",
            ),
            (
                self.busy_interval >= Duration::from_millis(10),
                "busy_interval must be at least 10 ms",
            ),
            (
                self.rescue_interval >= Duration::from_millis(100),
                "rescue_interval must be at least 100 ms",
            ),
            (
                self.default_concurrency.is_none_or(|limit| limit > 0),
                "default_concurrency must be at least 1, or left out for no limit",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(InvalidSettings(rule)),
            None => Ok(()),
        }
    }
}

/// A limit of the queue that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("queue settings: {0}")]
pub struct InvalidSettings(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Settings::default().validate(), Ok(()));
    }

    #[test]
    fn a_heartbeat_too_slow_for_the_lease_is_refused() {
        let settings = Settings {
            heartbeat: Duration::from_secs(11),
            ..Settings::default()
        };
        let error = settings.validate().unwrap_err();
        assert!(error.to_string().contains("heartbeat"), "{error}");
    }
}
