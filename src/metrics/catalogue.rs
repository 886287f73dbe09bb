//! Every metric: its name, kind, labels and help. docs/metrics.md is made of this list; alerts and the
//! dashboard are held against it.

/// What stands before every name.
pub(super) const PREFIX: &str = "tunemantra";

/// How a metric's value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only rises, from the start or reload of the daemon on.
    Counter,
    /// It rises and falls.
    Gauge,
    /// How values are spread.
    Histogram,
    /// Always 1: its labels are what it says.
    Info,
}

/// Whom a metric speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The daemon that was asked.
    Daemon,
    /// The database, of which every daemon says the same.
    Database,
}

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    /// Without the prefix, and without what the kind puts after it.
    pub(super) name: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation says it"))]
    pub(super) kind: Kind,
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation says it"))]
    pub(super) of: Of,
    pub(super) labels: &'static [&'static str],
    /// A sentence without its full stop.
    pub(super) help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident of $of:ident $name:literal {$($label:literal),*} $help:literal;)*) => {
        $(pub(super) const $constant: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            of: Of::$of,
            labels: &[$($label),*],
            help: $help,
        };)*
        /// Every metric, in the order of this file.
        #[cfg(test)]
        pub(super) const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD = Info of Daemon "build" {"version"} "The daemon's version";
    JOBS_RUNNING = Gauge of Daemon "daemon_jobs_running" {} "Jobs that run in this daemon";
    JOBS_ENDED = Counter of Daemon "daemon_jobs_ended" {} "Attempts of jobs that ended in this daemon, whatever came of them";
    LOOPS_STALLED = Gauge of Daemon "daemon_loops_stalled" {} "Loops of this daemon that stand still";
    RESIDENT = Gauge of Daemon "daemon_resident_bytes" {} "Memory of this daemon that is resident";
    CONNECTIONS = Gauge of Daemon "daemon_connections" {"pool", "state"} "Connections of this daemon to the database, by pool (work, http) and state (used, idle)";
    CONNECTIONS_LIMIT = Gauge of Daemon "daemon_connections_limit" {"pool"} "The most connections that a pool of this daemon makes";
    HTTP_REQUESTS = Counter of Daemon "http_requests" {"method", "route", "status"} "Requests answered, by route and status";
    HTTP_DURATION = Histogram of Daemon "http_request_duration_seconds" {"route"} "How long requests took to answer";
    HTTP_REFUSED = Counter of Daemon "http_refused" {} "Requests without a key, with a wrong one, or with one that may not";

    DATABASE_UP = Gauge of Database "database_up" {} "Whether the database answers: 1, or 0";
    DATABASE_WRITABLE = Gauge of Database "database_writable" {} "Whether the database takes changes: 1, or 0 (read-only, a standby)";
    DATABASE_READ = Gauge of Database "database_read" {} "Whether what follows could be read in time: 1, or 0, and then it is left out";
    DAEMONS = Gauge of Database "daemons" {} "Daemons that give signs of life";
    SCHEDULES_OVERDUE = Gauge of Database "schedules_overdue" {} "Schedules that have been due for more than five minutes";
    UNDECIDED = Gauge of Database "deliveries_undecided" {"platform", "state"} "Deliveries that are not decided, by platform and state";
    OLDEST = Gauge of Database "delivery_oldest_age_seconds" {"platform", "state"} "The age of the oldest delivery that is not decided, by platform and state";
    FAULTED = Gauge of Database "deliveries_faulted" {"platform", "code"} "Deliveries that are retrying, held or unknown by a fault, by platform and the fault's code";
    DECIDED = Gauge of Database "deliveries_decided_recently" {"platform", "state"} "Deliveries decided within the last five minutes, by platform and state";
    PLATFORM_PAUSED = Gauge of Database "platform_paused" {"platform"} "Whether a platform's queue is paused: 1, or 0";
    PLATFORM_CIRCUIT = Gauge of Database "platform_circuit_open" {"platform"} "Whether a platform's circuit is open: 1, or 0";
    JOBS = Gauge of Database "jobs" {"kind", "state"} "Jobs that are not finished, and dead ones, by kind and state";
    JOB_OVERDUE = Gauge of Database "job_overdue_seconds" {"kind"} "How long the oldest job that is due has waited, by kind";
    ROYALTY_RUNS = Gauge of Database "royalty_runs" {"state"} "Royalty runs that are not final, by state";
    ROYALTY_RUNS_FAULTED = Gauge of Database "royalty_runs_faulted" {"state"} "Royalty runs that could not be computed, by state";
    ROYALTY_RUN_AGE = Gauge of Database "royalty_run_oldest_age_seconds" {"state"} "The age of the oldest royalty run that is not final, by state";
    ROYALTY_SET_ASIDE = Gauge of Database "royalty_tracks_set_aside" {"state"} "Tracks that royalty runs which are not final set aside, once per month of usage";
    STATISTICS_MARKS = Gauge of Database "statistics_marks" {} "Marks of user-days that wait to be computed, counted to 100000";
    STATISTICS_AGE = Gauge of Database "statistics_oldest_mark_age_seconds" {} "How long the oldest of these marks has waited";
    STATISTICS_ASIDE = Gauge of Database "statistics_set_aside" {} "User-days whose statistics could not be written";
    IMPORTS = Gauge of Database "usage_imports_unfinished" {} "Imports of usage, and their undoing, that have not come to their end";
    NOTIFICATIONS_FAILED = Gauge of Database "notifications_failed" {} "Notifications that some channel did not take";
    CRON_PAUSED = Gauge of Database "cron_paused" {"entry"} "Whether an entry of cron is paused: 1, or 0";
    CRON_AGE = Gauge of Database "cron_last_run_age_seconds" {"entry"} "How long ago the last run of an entry of cron was started";
}
