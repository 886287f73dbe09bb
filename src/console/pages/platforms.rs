//! Platforms: how they and their partners stand, and holding them.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use jobs::{
    audit::{self, Entry},
    catalog::{self, PlatformQueue},
    delivery,
    overview::{Attention, Faults},
};
use platform_adapters::settings::Windows;

use crate::{
    connection,
    console::{
        changes::changes,
        failure::Failure,
        flash::Note,
        frame::{Frame, back, render},
        markers::{ago, grouped, time, tone},
        visitor::{Order, Visitor},
    },
    http::{App, Kind, Path, Problem},
};

/// The most rows of the audit beside a platform.
const AUDITED: i64 = 50;

#[derive(Template)]
#[template(path = "platforms.html")]
struct List {
    frame: Frame,
    rows: Vec<Row>,
}

struct Row {
    one: PlatformQueue,
    tone: &'static str,
    word: String,
}

#[derive(Template)]
#[template(path = "platform.html")]
struct One {
    frame: Frame,
    row: Row,
    windows: String,
    fault_at: String,
    /// Of what waits.
    faults: Vec<Faults>,
    /// What is held, and what failed in the last day.
    stopped: Vec<Attention>,
    audited: Vec<Entry>,
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let listed = catalog::platforms(&app.pool, (app.clock)()).await?;
    let page = List {
        frame: Frame::new(&visitor, "platforms", "Platforms"),
        rows: listed.into_iter().map(row).collect(),
    };
    Ok(render(&page))
}

pub(in crate::console) async fn one(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<i32>,
) -> Result<Response, Failure> {
    let now = (app.clock)();
    let one = catalog::platform_queue(&app.pool, id, now)
        .await?
        .ok_or_else(|| missing(id))?;
    let object = id.to_string();
    let overview = app.overview.get(&app).await?;
    let waiting = overview.shape.iter().find(|shape| shape.platform_id == id);
    let stopped = overview.attention.iter().filter(|some| {
        some.platform_id == Some(id) && ["held", "failed", "rejected"].contains(&some.kind.as_str())
    });
    let page = One {
        faults: waiting.map_or_else(Vec::new, |shape| shape.faults.clone()),
        stopped: stopped.cloned().collect(),
        frame: Frame::new(&visitor, "platforms", one.name.clone()),
        windows: windows(&one),
        fault_at: since(one.standing.circuit_fault_at, now),
        audited: audit::list(&app.pool, Some(("platform", &object)), AUDITED).await?,
        row: row(one),
    };
    Ok(render(&page))
}

fn since(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    at.map_or_else(String::new, |at| ago(&at, &now))
}

fn windows(one: &PlatformQueue) -> String {
    match one
        .standing
        .windows
        .clone()
        .map(serde_json::from_value::<Windows>)
    {
        None => "always".to_owned(),
        Some(Ok(windows)) => windows.to_string(),
        Some(Err(_)) => "never: what is set cannot be read".to_owned(),
    }
}

/// The one thing that must be known first.
fn row(one: PlatformQueue) -> Row {
    let (word, tone) = if one.paused_at.is_some() {
        ("paused".to_owned(), "warn")
    } else if one.standing.circuit != "closed" {
        (
            format!("circuit {}", one.standing.circuit.replace('_', " ")),
            "bad",
        )
    } else {
        (one.status.clone(), tone(&one.status))
    };
    Row { one, tone, word }
}

/// Looks at the partner and delivers nothing: there is nothing to give a reason for.
pub(in crate::console) async fn check(
    State(app): State<App>,
    Path(id): Path<i32>,
) -> Result<Response, Failure> {
    let mut conn = app.pool.acquire().await?;
    let row = catalog::platform_row(&mut conn, id)
        .await?
        .ok_or_else(|| missing(id))?;
    drop(conn);
    let note = match connection::check(&row, &app.means).await {
        Ok(in_order) => Note::good(format!("All is well: {}", in_order.join("; "))),
        Err(fault) => Note::bad(format!(
            "{}: {}. {}",
            fault.code,
            fault.message,
            fault.remedy()
        )),
    };
    Ok(back(&page_of(id), &note))
}

pub(in crate::console) async fn operate(
    State(app): State<App>,
    Path((id, operation)): Path<(i32, String)>,
    Order { by, .. }: Order,
) -> Result<Response, Failure> {
    let now = (app.clock)();
    let mut tx = app.pool.begin().await?;
    if catalog::platform_row(&mut tx, id).await?.is_none() {
        return Err(missing(id).into());
    }
    let text = match operation.as_str() {
        "pause" => {
            let paused = delivery::pause_platform(&mut tx, id, &by, now).await?;
            format!("Paused. Attempts that still finish: {}.", paused.running)
        }
        "resume" => {
            let resumed = delivery::resume_platform(&mut tx, id, &by, now).await?;
            format!(
                "It goes on. Held deliveries that were released: {}.",
                resumed.released
            )
        }
        "probe" => match delivery::probe_platform(&mut tx, id, &by, now).await? {
            true => "The next delivery is a probe, at once.".to_owned(),
            false => "The circuit is closed: there is nothing to probe.".to_owned(),
        },
        other => {
            let detail = format!("{other:?} cannot be done to a platform");
            return Err(Problem::new(Kind::NotFound, detail).into());
        }
    };
    tx.commit().await?;
    Ok(back(&page_of(id), &Note::good(text)))
}

fn page_of(id: i32) -> String {
    format!("/console/platforms/{id}")
}

fn missing(id: i32) -> Problem {
    Problem::missing(format!("there is no platform {id}"))
}
