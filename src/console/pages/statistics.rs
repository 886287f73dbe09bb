//! Daily statistics: rebuilds and scans with their progress, and rebuilding days.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::NaiveDate;
use jobs::statistics::{self, Range, Run, RunError, RunKind, RunState};
use uuid::Uuid;

use crate::{
    console::{
        failure::Failure,
        fields::{Fields, Query},
        flash::Note,
        frame::{Frame, back, render},
        markers::{span, time},
        visitor::{Order, Visitor},
    },
    http::{App, Limit, Page as Listing, Path, Problem, at_moment, moment, place},
};

#[derive(Template)]
#[template(path = "statistics.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    one: Run,
    kind: &'static str,
    state: &'static str,
    tone: &'static str,
    days: String,
    took: String,
    is_open: bool,
}

fn row(one: Run) -> Row {
    let (state, tone) = match one.state {
        RunState::Running => ("running", "busy"),
        RunState::Completed => ("completed", "good"),
        RunState::Canceled => ("canceled", "calm"),
    };
    Row {
        kind: match one.kind {
            RunKind::Rebuild => "Rebuild",
            RunKind::Scan => "Scan",
        },
        state,
        tone,
        days: match (one.first_day, one.last_day) {
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => "no days".to_owned(),
        },
        took: one
            .finished_at
            .map_or_else(String::new, |end| span(end - one.started_at)),
        is_open: one.state == RunState::Running,
        one,
    }
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let before = place(fields.filled("cursor"), moment)?;
    let limit = Limit::of(None)?;
    let runs = statistics::runs(&app.pool, before, limit.and_one()).await?;
    let listing = Listing::of(runs, limit, |run| at_moment(run.started_at, run.id));
    let rows: Vec<Row> = listing.items.into_iter().map(row).collect();
    Ok(render(&Page {
        frame: Frame::new(&visitor, "statistics", "Statistics"),
        rows,
        next: listing.next,
    }))
}

pub(in crate::console) async fn rebuild(
    State(app): State<App>,
    Order { by, fields }: Order,
) -> Result<Response, Failure> {
    let range = Range {
        first: day(&fields, "first")?.unwrap_or(Range::ALL.first),
        last: day(&fields, "last")?.unwrap_or(Range::ALL.last),
    };
    let prunes = !fields.text("prune").is_empty();
    let begun = statistics::rebuild(&app.pool, range, prunes, &by, (app.clock)()).await;
    let note = match begun {
        Ok(run) => Note::good(format!("{} days are rebuilt.", run.days_total)),
        Err(why @ RunError::Range(..)) => Note::bad(format!("Nothing was done: {why}.")),
        Err(why) => return Err(Problem::from(why).into()),
    };
    Ok(back("/console/statistics", &note))
}

fn day(fields: &Fields, name: &str) -> Result<Option<NaiveDate>, Problem> {
    let Some(text) = fields.filled(name) else {
        return Ok(None);
    };
    let day = text.parse().map(Some);
    day.map_err(|_| Problem::invalid(format!("{text:?} is no day; write 2027-01-31")))
}

pub(in crate::console) async fn cancel(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Order { by, .. }: Order,
) -> Result<Response, Failure> {
    let canceled = statistics::cancel(&app.pool, id, &by, (app.clock)())
        .await
        .map_err(Problem::from)?;
    let note = match canceled {
        true => Note::good("It is ended; the days that it had not come to are as they were."),
        false => Note::bad("It had ended before. Nothing was changed."),
    };
    Ok(back("/console/statistics", &note))
}
