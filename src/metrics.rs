//! Every metric: its name, labels and help. Labels are bounded: platforms by id, routes by their
//! template. What is counted of deliveries is read from the database when it is asked for, so that
//! every daemon tells the same.

use std::{fmt::Error, time::Duration};

use axum::http::Method;
use chrono::{DateTime, Utc};
use jobs::overview::{self, Gauges};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use sqlx::PgPool;

/// The longest that a scrape waits for the database.
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

/// The metrics of this daemon.
pub(crate) struct Metrics {
    requests: Family<Route, Counter>,
    durations: Family<Timed, Histogram>,
    refused: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
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

    /// All metrics as text. Those of the database are left out while it does not answer.
    pub(crate) async fn scrape(&self, pool: &PgPool, now: DateTime<Utc>) -> String {
        let mut registry = Registry::with_prefix("tunemantra");
        registry.register(
            "http_requests",
            "Requests answered, by route and status",
            self.requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "How long requests took to answer",
            self.durations.clone(),
        );
        registry.register(
            "http_refused",
            "Requests without a key, with a wrong one, or with one that may not",
            self.refused.clone(),
        );
        let gauges = tokio::time::timeout(PATIENCE, overview::gauges(pool, now)).await;
        let up = Gauge::<i64>::default();
        up.set(matches!(gauges, Ok(Ok(_))).into());
        registry.register("database_up", "Whether the database answers: 1, or 0", up);
        if let Ok(Ok(gauges)) = gauges {
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
}

/// What the database says.
#[derive(Debug)]
struct OfDatabase(Gauges);

impl Collector for OfDatabase {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Self(gauges) = self;
        let mut family = |name: &str, help: &str, rows: &mut dyn Iterator<Item = Row>| {
            let kind = ConstGauge::new(0i64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (labels, value) in rows {
                if labels.is_empty() {
                    return ConstGauge::new(value).encode(metric);
                }
                let labelled = metric.encode_family(&labels)?;
                ConstGauge::new(value).encode(labelled)?;
            }
            Ok::<(), Error>(())
        };
        family(
            "deliveries_undecided",
            "Deliveries that are not decided, by platform and state",
            &mut gauges.undecided.iter().map(|one| {
                let labels = vec![
                    ("platform", one.platform_id.to_string()),
                    ("state", one.state.clone()),
                ];
                (labels, one.count)
            }),
        )?;
        family(
            "delivery_oldest_age_seconds",
            "The age of the oldest delivery that is not decided, by platform and state",
            &mut gauges.undecided.iter().map(|one| {
                let labels = vec![
                    ("platform", one.platform_id.to_string()),
                    ("state", one.state.clone()),
                ];
                (labels, one.oldest_s)
            }),
        )?;
        family(
            "platform_paused",
            "Whether a platform's queue is paused: 1, or 0",
            &mut gauges.platforms.iter().map(|one| {
                (
                    vec![("platform", one.platform_id.to_string())],
                    one.is_paused.into(),
                )
            }),
        )?;
        family(
            "platform_circuit_open",
            "Whether a platform's circuit is open: 1, or 0",
            &mut gauges.platforms.iter().map(|one| {
                (
                    vec![("platform", one.platform_id.to_string())],
                    one.is_open.into(),
                )
            }),
        )?;
        family(
            "jobs",
            "Jobs that are not finished, and dead ones, by kind and state",
            &mut gauges.jobs.iter().map(|one| {
                let labels = vec![("kind", one.kind.clone()), ("state", one.state.clone())];
                (labels, one.count)
            }),
        )?;
        family(
            "schedules_overdue",
            "Schedules that have been due for more than five minutes",
            &mut std::iter::once((Vec::new(), gauges.schedules_overdue)),
        )?;
        family(
            "daemons",
            "Daemons that give signs of life",
            &mut std::iter::once((Vec::new(), gauges.daemons)),
        )
    }
}

type Row = (Vec<(&'static str, String)>, i64);
