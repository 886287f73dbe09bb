//! What the database says, as metrics.

use std::fmt::Error;

use jobs::overview::{Gauges, RunGauge};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
};

use super::catalogue::{self, Metric};

/// What the database says.
#[derive(Debug)]
pub(super) struct OfDatabase(pub(super) Gauges);

/// What a metric says of royalty runs in a state.
type OfRun = fn(&RunGauge) -> i64;
/// The values of a metric's labels, and its value with them.
type Row = (Vec<String>, i64);

impl Collector for OfDatabase {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Self(gauges) = self;
        deliveries(&mut encoder, gauges)?;
        upkeep(&mut encoder, gauges)?;
        royalties(&mut encoder, gauges)?;
        statistics(&mut encoder, gauges)
    }
}

/// Writes a gauge with all its values.
pub(super) fn family(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    rows: impl IntoIterator<Item = Row>,
) -> Result<(), Error> {
    let kind = ConstGauge::new(0i64).metric_type();
    let help = format!("{}.", metric.help);
    let mut written = encoder.encode_descriptor(metric.name, &help, None, kind)?;
    for (values, value) in rows {
        if metric.labels.is_empty() {
            return ConstGauge::new(value).encode(written);
        }
        let labels: Vec<(&str, String)> = metric.labels.iter().copied().zip(values).collect();
        ConstGauge::new(value).encode(written.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A gauge without labels.
fn one(encoder: &mut DescriptorEncoder<'_>, metric: &Metric, value: i64) -> Result<(), Error> {
    family(encoder, metric, [(Vec::new(), value)])
}

fn deliveries(encoder: &mut DescriptorEncoder<'_>, gauges: &Gauges) -> Result<(), Error> {
    let platform = |id: i32, word: &str| vec![id.to_string(), word.to_owned()];
    let undecided = &gauges.undecided;
    let count = undecided
        .iter()
        .map(|it| (platform(it.platform_id, &it.state), it.count));
    family(encoder, &catalogue::UNDECIDED, count)?;
    let age = undecided
        .iter()
        .map(|it| (platform(it.platform_id, &it.state), it.oldest_s));
    family(encoder, &catalogue::OLDEST, age)?;
    let faulted = gauges.faulted.iter();
    let faulted = faulted.map(|it| (platform(it.platform_id, &it.code), it.count));
    family(encoder, &catalogue::FAULTED, faulted)?;
    let decided = gauges.decided.iter();
    let decided = decided.map(|it| (platform(it.platform_id, &it.state), it.count));
    family(encoder, &catalogue::DECIDED, decided)?;
    let platforms = &gauges.platforms;
    let paused = platforms
        .iter()
        .map(|it| (vec![it.platform_id.to_string()], it.is_paused.into()));
    family(encoder, &catalogue::PLATFORM_PAUSED, paused)?;
    let open = platforms
        .iter()
        .map(|it| (vec![it.platform_id.to_string()], it.is_open.into()));
    family(encoder, &catalogue::PLATFORM_CIRCUIT, open)
}

fn upkeep(encoder: &mut DescriptorEncoder<'_>, gauges: &Gauges) -> Result<(), Error> {
    one(encoder, &catalogue::DAEMONS, gauges.daemons)?;
    let overdue = gauges.schedules_overdue;
    one(encoder, &catalogue::SCHEDULES_OVERDUE, overdue)?;
    let failed = gauges.notifications_failed;
    one(encoder, &catalogue::NOTIFICATIONS_FAILED, failed)?;
    one(encoder, &catalogue::IMPORTS, gauges.imports_unfinished)?;
    let jobs = &gauges.jobs;
    let count = jobs
        .iter()
        .map(|it| (vec![it.kind.clone(), it.state.clone()], it.count));
    family(encoder, &catalogue::JOBS, count)?;
    let overdue = jobs
        .iter()
        .filter_map(|it| it.overdue_s.map(|age| (vec![it.kind.clone()], age)));
    family(encoder, &catalogue::JOB_OVERDUE, overdue)?;
    let cron = &gauges.cron;
    let paused = cron
        .iter()
        .map(|it| (vec![it.name.clone()], it.is_paused.into()));
    family(encoder, &catalogue::CRON_PAUSED, paused)?;
    let age = cron
        .iter()
        .filter_map(|it| it.last_run_s.map(|age| (vec![it.name.clone()], age)));
    family(encoder, &catalogue::CRON_AGE, age)
}

fn royalties(encoder: &mut DescriptorEncoder<'_>, gauges: &Gauges) -> Result<(), Error> {
    let told: [(&Metric, OfRun); 4] = [
        (&catalogue::ROYALTY_RUNS, |it| it.count),
        (&catalogue::ROYALTY_RUNS_FAULTED, |it| it.faulted),
        (&catalogue::ROYALTY_RUN_AGE, |it| it.oldest_s),
        (&catalogue::ROYALTY_SET_ASIDE, |it| it.set_aside),
    ];
    for (metric, value) in told {
        let rows = gauges.runs.iter();
        let rows = rows.map(|it| (vec![it.state.clone()], value(it)));
        family(encoder, metric, rows)?;
    }
    Ok(())
}

fn statistics(encoder: &mut DescriptorEncoder<'_>, gauges: &Gauges) -> Result<(), Error> {
    let statistics = &gauges.statistics;
    one(encoder, &catalogue::STATISTICS_MARKS, statistics.marks)?;
    one(encoder, &catalogue::STATISTICS_AGE, statistics.oldest_s)?;
    one(encoder, &catalogue::STATISTICS_ASIDE, statistics.set_aside)
}
