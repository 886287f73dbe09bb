//! What Prometheus reads: what this daemon counts itself, and what the database says of all of them.
//! Labels are bounded: platforms by id, routes by their template.

mod catalogue;
mod database;
#[cfg(test)]
mod tests;

use std::{fmt::Error, time::Duration};

use axum::http::Method;
use chrono::{DateTime, Utc};
use jobs::{
    overview::{self, Gauges},
    vitals::Vitals,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Metric as Registered, Registry},
};
use sqlx::PgPool;

use catalogue::Metric;
use database::{OfDatabase, family};

/// The longest that a scrape waits for the database to answer, and to say how it all stands.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    route: String,
}

/// What a daemon shows of itself.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// Its loops and jobs.
    pub(crate) vitals: Vitals,
    /// The connections of its work.
    pub(crate) work: PgPool,
    /// Those of its HTTP server, which are also asked.
    pub(crate) http: PgPool,
}

/// The metrics of this daemon.
pub(crate) struct Metrics {
    sources: Sources,
    requests: Family<Route, Counter>,
    durations: Family<Timed, Histogram>,
    refused: Counter,
}

impl Metrics {
    pub(crate) fn new(sources: Sources) -> Self {
        Self {
            sources,
            requests: Family::default(),
            // From a millisecond to half a minute.
            durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 16))
            }),
            refused: Counter::default(),
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: u16, took: Duration) {
        // Methods of a client's own invention are one.
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "OPTIONS") => known,
            _ => "other",
        };
        self.requests
            .get_or_create(&Route {
                method: method.to_owned(),
                route: route.to_owned(),
                status,
            })
            .inc();
        self.durations
            .get_or_create(&Timed {
                route: route.to_owned(),
            })
            .observe(took.as_secs_f64());
    }

    /// A request came without a key that may.
    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    /// All metrics as text. Those of the database are left out while it does not say.
    pub(crate) async fn scrape(&self, now: DateTime<Utc>) -> String {
        let mut registry = Registry::with_prefix(catalogue::PREFIX);
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        register(&mut registry, &catalogue::BUILD, version);
        register(
            &mut registry,
            &catalogue::HTTP_REQUESTS,
            self.requests.clone(),
        );
        register(
            &mut registry,
            &catalogue::HTTP_DURATION,
            self.durations.clone(),
        );
        register(
            &mut registry,
            &catalogue::HTTP_REFUSED,
            self.refused.clone(),
        );
        registry.register_collector(Box::new(OfDaemon(self.sources.clone())));
        let (writable, gauges) = self.ask(now).await;
        for (metric, is) in [
            (&catalogue::DATABASE_UP, writable.is_some()),
            (&catalogue::DATABASE_WRITABLE, writable == Some(true)),
            (&catalogue::DATABASE_READ, gauges.is_some()),
        ] {
            let gauge = Gauge::<i64>::default();
            gauge.set(is.into());
            register(&mut registry, metric, gauge);
        }
        if let Some(gauges) = gauges {
            registry.register_collector(Box::new(OfDatabase(gauges)));
        }
        let mut text = String::new();
        match encode(&mut text, &registry) {
            Ok(()) => text,
            Err(error) => {
                tracing::error!(%error, "metrics could not be written");
                String::new()
            }
        }
    }

    /// Whether the database answers and takes changes, and what it says of all that goes on.
    async fn ask(&self, now: DateTime<Utc>) -> (Option<bool>, Option<Gauges>) {
        let pool = &self.sources.http;
        let writable = tokio::time::timeout(PATIENCE, overview::is_writable(pool)).await;
        let Ok(Ok(writable)) = writable else {
            return (None, None);
        };
        let gauges = tokio::time::timeout(PATIENCE, overview::gauges(pool, now)).await;
        (Some(writable), gauges.ok().and_then(Result::ok))
    }
}

fn register(registry: &mut Registry, metric: &Metric, value: impl Registered) {
    // The registry puts the full stop.
    registry.register(metric.name, metric.help, value);
}

/// What the daemon says of itself.
#[derive(Debug)]
struct OfDaemon(Sources);

impl Collector for OfDaemon {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Sources { vitals, work, http } = &self.0;
        let encoder = &mut encoder;
        let whole = |number: usize| vec![(Vec::new(), i64::try_from(number).unwrap_or(i64::MAX))];
        family(encoder, &catalogue::JOBS_RUNNING, whole(vitals.running()))?;
        let stalled = whole(vitals.stalled().len());
        family(encoder, &catalogue::LOOPS_STALLED, stalled)?;
        let resident = resident_bytes().map(|bytes| (Vec::new(), bytes));
        family(encoder, &catalogue::RESIDENT, resident)?;
        let pools = [("work", work), ("http", http)];
        let connections = pools.iter().flat_map(|(name, pool)| {
            let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
            let used = i64::from(pool.size()).saturating_sub(idle).max(0);
            [("used", used), ("idle", idle)]
                .map(|(state, value)| (vec![(*name).to_owned(), state.to_owned()], value))
        });
        family(encoder, &catalogue::CONNECTIONS, connections)?;
        let limits = pools.iter().map(|(name, pool)| {
            let limit = pool.options().get_max_connections();
            (vec![(*name).to_owned()], limit.into())
        });
        family(encoder, &catalogue::CONNECTIONS_LIMIT, limits)?;
        let ended = ConstCounter::new(vitals.finished());
        let Metric { name, help, .. } = catalogue::JOBS_ENDED;
        let written =
            encoder.encode_descriptor(name, &format!("{help}."), None, ended.metric_type())?;
        ended.encode(written)
    }
}

/// The memory that is resident, where the system tells: proc_pid_status(5).
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}
