//! The first page: what needs a person now, what waits how long for whom, and how the day went.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use jobs::{
    delivery,
    overview::{Attention, Hour, Overview},
};

use crate::{
    console::{
        chart::{Chart, throughput},
        failure::Failure,
        frame::{Frame, render},
        markers::{ago, grouped, span, time},
        visitor::Visitor,
    },
    http::App,
};

/// The heads of the table's columns, as `jobs::overview::AGES_MIN` ends them.
const AGES: [&str; 8] = [
    "< 5 min", "< 15 min", "< 1 h", "< 4 h", "< 1 d", "< 3 d", "< 7 d", "older",
];

#[derive(Template)]
#[template(path = "overview.html")]
struct Page<'a> {
    frame: Frame,
    overview: &'a Overview,
    ages: [&'static str; 8],
    rows: Vec<Row<'a>>,
    total: i64,
    /// The states of what is not decided, as the list of deliveries takes them.
    undecided: String,
    day: Day,
    items: Vec<Item>,
    chart: Chart,
    faults: Vec<FaultRow<'a>>,
}

/// What was decided in the last 24 hours.
struct Day {
    accepted: i64,
    rejected: i64,
    failed: i64,
}

impl Day {
    fn of(hours: &[Hour]) -> Self {
        let sum = |of: fn(&Hour) -> i64| hours.iter().map(of).sum();
        Self {
            accepted: sum(|hour| hour.accepted),
            rejected: sum(|hour| hour.rejected),
            failed: sum(|hour| hour.failed),
        }
    }
}

struct Row<'a> {
    platform_id: i32,
    platform: &'a str,
    total: i64,
    cells: Vec<Cell>,
    oldest: String,
}

struct Cell {
    count: i64,
    /// How far it stands out: from 0 to 4.
    heat: i64,
}

struct FaultRow<'a> {
    code: &'a str,
    count: i64,
    /// Of the most frequent, in percent.
    share: i64,
}

/// Something that needs a person, in words.
struct Item {
    tone: &'static str,
    headline: String,
    detail: String,
    href: String,
    since: Option<DateTime<Utc>>,
    lasts: String,
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let overview = app.overview.get(&app).await?;
    let most = overview
        .faults
        .iter()
        .map(|one| one.deliveries)
        .max()
        .unwrap_or_default()
        .max(1);
    let page = Page {
        frame: Frame::new(&visitor, "overview", "Overview"),
        ages: AGES,
        rows: rows(&overview),
        total: overview.shape.iter().map(|shape| shape.total).sum(),
        undecided: undecided(),
        day: Day::of(&overview.hours),
        items: overview
            .attention
            .iter()
            .map(|one| item(one, overview.at))
            .collect(),
        chart: throughput(&overview.hours),
        faults: overview
            .faults
            .iter()
            .map(|one| FaultRow {
                code: &one.code,
                count: one.deliveries,
                share: (one.deliveries * 100 / most).max(1),
            })
            .collect(),
        overview: &overview,
    };
    Ok(render(&page))
}

fn undecided() -> String {
    let states = delivery::State::ALL.into_iter();
    let states = states.filter(|state| !state.is_decided());
    states
        .map(delivery::State::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

fn rows(overview: &Overview) -> Vec<Row<'_>> {
    let rows = overview.shape.iter().map(|shape| Row {
        platform_id: shape.platform_id,
        platform: &shape.platform,
        total: shape.total,
        cells: (0..)
            .zip(&shape.by_age)
            .map(|(age, count)| cell(age, *count))
            .collect(),
        oldest: ago(&shape.oldest, &overview.at),
    });
    rows.collect()
}

/// Many that are young are no news; a few that are old are.
fn cell(age: i64, count: i64) -> Cell {
    let heat = match (count, age) {
        (0, _) | (_, 0 | 1) => 0,
        (_, 2 | 3) => 1,
        (_, 4) => 2,
        (_, 5) => 3,
        _ => 4,
    };
    Cell { count, heat }
}

fn item(one: &Attention, now: DateTime<Utc>) -> Item {
    let platform = one.platform.as_deref().unwrap_or_default();
    let code = one.fault_code.as_deref().unwrap_or("no fault");
    let of_platform = |state: &str| {
        let id = one.platform_id.unwrap_or_default();
        let fault = one.fault_code.as_deref().map_or_else(String::new, |code| {
            format!(
                "&fault={}",
                percent_encoding::utf8_percent_encode(code, percent_encoding::NON_ALPHANUMERIC)
            )
        });
        format!("/console/deliveries?state={state}&platform={id}{fault}")
    };
    let count = grouped(&one.count);
    let (tone, headline, href) = match one.kind.as_str() {
        "no_daemon" => (
            "bad",
            "No daemon gives a sign of life: nothing is delivered".to_owned(),
            "/console/workers".to_owned(),
        ),
        "platform_paused" => (
            "warn",
            format!("{platform} is paused"),
            format!("/console/platforms/{}", one.platform_id.unwrap_or_default()),
        ),
        "circuit_open" => (
            "warn",
            format!("{platform} does not answer: only probes are sent ({code})"),
            format!("/console/platforms/{}", one.platform_id.unwrap_or_default()),
        ),
        "held" => (
            "warn",
            format!("{count} held for {platform}: {code}"),
            of_platform("held"),
        ),
        "failed" => (
            "bad",
            format!("{count} failed for {platform}: {code}"),
            of_platform("failed"),
        ),
        "rejected" => (
            "bad",
            format!("{count} rejected by {platform}: {code}"),
            of_platform("rejected"),
        ),
        "dead_jobs" => (
            "bad",
            format!("{count} jobs died that deliver nothing"),
            "/console/jobs".to_owned(),
        ),
        "schedules_overdue" => (
            "bad",
            format!("{count} schedules have been due for more than five minutes"),
            "/console/schedules?status=pending".to_owned(),
        ),
        other => ("warn", format!("{count} {other}"), "/console/".to_owned()),
    };
    Item {
        tone,
        headline,
        detail: one.message.clone().unwrap_or_default(),
        href,
        since: one.since,
        lasts: one
            .since
            .map_or_else(String::new, |since| span(now - since)),
    }
}
