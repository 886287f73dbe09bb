//! Queues and jobs: what waits, and what died.

use askama::Template;
use axum::{extract::State, response::Response};
use jobs::{
    dead,
    queue::{self, JobFilter, ListedJob, ListedQueue},
};
use uuid::Uuid;

use crate::{
    console::{
        failure::Failure,
        fields::Query,
        flash::Note,
        frame::{Frame, back, render},
        markers::{grouped, time, tone},
        visitor::{Order, Visitor},
    },
    http::{App, Limit, Page as Listing, Path, Problem, place},
};

/// The states of a job.
const STATES: [&str; 6] = [
    "available",
    "running",
    "held",
    "completed",
    "canceled",
    "dead",
];

#[derive(Template)]
#[template(path = "jobs.html")]
struct Page {
    frame: Frame,
    queues: Vec<ListedQueue>,
    states: [&'static str; 6],
    state: String,
    jobs: Vec<Row>,
    next: Option<String>,
}

struct Row {
    one: ListedJob,
    tone: &'static str,
    delivery: Option<String>,
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let state = fields.filled("state").unwrap_or("dead");
    let state = STATES
        .into_iter()
        .find(|known| *known == state)
        .unwrap_or("dead");
    let limit = Limit::of(None)?;
    let filter = JobFilter {
        state: Some(state.to_owned()),
        after: place(fields.filled("cursor"), |text| text.parse().ok())?,
        limit: limit.and_one(),
        ..JobFilter::default()
    };
    let listed = queue::jobs(&app.pool, &filter).await?;
    let listing = Listing::of(listed, limit, |one| one.id.to_string());
    let page = Page {
        frame: Frame::new(&visitor, "jobs", "Jobs"),
        queues: queue::queues(&app.pool, (app.clock)()).await?,
        states: STATES,
        state: state.to_owned(),
        jobs: listing.items.into_iter().map(row).collect(),
        next: listing.next,
    };
    Ok(render(&page))
}

fn row(one: ListedJob) -> Row {
    let delivery = one.arguments.get("delivery").and_then(|id| id.as_str());
    Row {
        tone: tone(&one.state),
        delivery: delivery
            .and_then(|id| id.parse::<Uuid>().ok())
            .map(|id| id.to_string()),
        one,
    }
}

pub(in crate::console) async fn retry(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Order { by, .. }: Order,
) -> Result<Response, Failure> {
    let job = queue::job(&app.pool, id)
        .await?
        .ok_or_else(|| Problem::missing(format!("there is no job {id}")))?;
    let tally = dead::retry(&app.pool, &[job.into()], &by, (app.clock)()).await?;
    let note = match tally.refused.first() {
        None => Note::good("It is tried again."),
        Some((_, why)) => Note::bad(format!("Nothing was done: {why}.")),
    };
    Ok(back("/console/jobs", &note))
}
