//! Notifications: who was told what, what did not arrive, and doing something about it.

use askama::Template;
use axum::{extract::State, response::Response};
use jobs::{
    audit::{self, Entry},
    notification::{self, Filter, Listed, Remedied, Remedy, Story},
};
use uuid::Uuid;

use crate::{
    console::{
        changes::changes,
        failure::Failure,
        fields::Query,
        flash::Note,
        frame::{Frame, back, render},
        markers::time,
        visitor::{Order, Visitor},
    },
    http::{App, Kind, Limit, Page as Listing, Path, Problem, place},
};

/// The states of a notification, those that need somebody first.
const STATES: [&str; 5] = ["failed", "pending", "unaddressed", "dismissed", "delivered"];
/// The most notifications of one form.
const MOST: i64 = 200;
/// The most rows of the audit beside a notification.
const AUDITED: i64 = 50;

#[derive(Template)]
#[template(path = "notifications.html")]
struct Page {
    frame: Frame,
    states: [&'static str; 5],
    state: &'static str,
    rows: Vec<Listed>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "notification.html")]
struct One {
    frame: Frame,
    story: Story,
    payload: String,
    audited: Vec<Entry>,
}

/// The badge of a notification.
fn tone(state: &str) -> &'static str {
    match state {
        "delivered" => "good",
        "failed" => "bad",
        "pending" => "busy",
        "unaddressed" => "warn",
        _ => "calm",
    }
}

/// Where the console shows what it tells of; empty: nowhere.
fn href(subject: &str) -> String {
    match subject.split_once('/') {
        Some(("delivery", id)) if id.parse::<Uuid>().is_ok() => format!("/console/deliveries/{id}"),
        Some(("platform", id)) if id.parse::<i32>().is_ok() => format!("/console/platforms/{id}"),
        _ => String::new(),
    }
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let asked = fields.filled("state").unwrap_or("failed");
    let state = STATES.into_iter().find(|known| *known == asked);
    let state = state.unwrap_or("failed");
    let limit = Limit::of(None)?;
    let filter = Filter {
        state: Some(state.to_owned()),
        after: place(fields.filled("cursor"), |text| text.parse().ok())?,
        limit: limit.and_one(),
        ..Filter::default()
    };
    let listed = notification::list(&app.pool, &filter).await?;
    let listing = Listing::of(listed, limit, |one| one.id.to_string());
    Ok(render(&Page {
        frame: Frame::new(&visitor, "notifications", "Notifications"),
        states: STATES,
        state,
        rows: listing.items,
        next: listing.next,
    }))
}

pub(in crate::console) async fn one(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    let story = notification::story(&app.pool, id).await?;
    let story = story.ok_or_else(|| missing(id))?;
    let object = id.to_string();
    let title = format!("Notification {}", story.notification.event);
    Ok(render(&One {
        frame: Frame::new(&visitor, "notifications", title),
        payload: format!("{:#}", story.payload),
        audited: audit::list(&app.pool, Some(("notification", &object)), AUDITED).await?,
        story,
    }))
}

pub(in crate::console) async fn operate(
    State(app): State<App>,
    Path((id, operation)): Path<(Uuid, String)>,
    Order { by, .. }: Order,
) -> Result<Response, Failure> {
    let (remedy, done) = named(&operation)?;
    let note = match notification::remedy(&app.pool, id, remedy, &by, (app.clock)()).await? {
        Remedied::Done => Note::good(format!("It is {done}.")),
        Remedied::Refused(state) => Note::bad(format!("Nothing was done: it is {state}.")),
        Remedied::Missing => return Err(missing(id).into()),
    };
    Ok(back(&format!("/console/notifications/{id}"), &note))
}

/// Does it to those that failed, the newest first, as many as one form may.
pub(in crate::console) async fn all_failed(
    State(app): State<App>,
    Path(operation): Path<String>,
    Order { by, .. }: Order,
) -> Result<Response, Failure> {
    let (remedy, done) = named(&operation)?;
    let filter = Filter {
        state: Some("failed".to_owned()),
        limit: MOST,
        ..Filter::default()
    };
    let mut changed = 0_u32;
    for one in notification::list(&app.pool, &filter).await? {
        let remedied = notification::remedy(&app.pool, one.id, remedy, &by, (app.clock)()).await?;
        changed += u32::from(remedied == Remedied::Done);
    }
    let note = Note::good(format!("{changed} notifications are {done}."));
    Ok(back("/console/notifications", &note))
}

fn named(word: &str) -> Result<(Remedy, &'static str), Problem> {
    match word {
        "retry" => Ok((Remedy::Retry, "sent again")),
        "dismiss" => Ok((Remedy::Dismiss, "dismissed")),
        other => Err(Problem::new(
            Kind::NotFound,
            format!("{other:?} cannot be done to a notification"),
        )),
    }
}

fn missing(id: Uuid) -> Problem {
    Problem::missing(format!("there is no notification {id}"))
}
