//! What runs at set times.

use askama::Template;
use axum::{extract::State, response::Response};
use jobs::queue::cron::{self, Listed};

use crate::{
    console::{
        failure::Failure,
        flash::Note,
        frame::{Frame, back, render},
        markers::{time, tone},
        visitor::{Order, Visitor},
    },
    http::{App, Kind, Path, Problem},
};

#[derive(Template)]
#[template(path = "cron.html")]
struct Page {
    frame: Frame,
    entries: Vec<Listed>,
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let mut conn = app.pool.acquire().await?;
    let entries = cron::list(&mut conn, &app.cron, (app.clock)()).await?;
    Ok(render(&Page {
        frame: Frame::new(&visitor, "cron", "Cron"),
        entries,
    }))
}

pub(in crate::console) async fn operate(
    State(app): State<App>,
    Path((name, operation)): Path<(String, String)>,
    Order { by, .. }: Order,
) -> Result<Response, Failure> {
    let now = (app.clock)();
    let entry = app
        .cron
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| Problem::missing(format!("there is no cron entry {name:?}")))?;
    let mut tx = app.pool.begin().await?;
    let note = match operation.as_str() {
        "run" => match cron::run_now(&mut tx, entry, &by, now).await?.job {
            Some(job) => Note::good(format!("{name} runs as job {job}.")),
            None => Note::bad(format!("{name} is running or waiting to run already.")),
        },
        "pause" => {
            cron::pause(&mut tx, entry, &by, now).await?;
            Note::good(format!("{name} is paused."))
        }
        "resume" => {
            cron::resume(&mut tx, entry, &by, now).await?;
            Note::good(format!("{name} goes on."))
        }
        other => {
            let detail = format!("{other:?} cannot be done to a cron entry");
            return Err(Problem::new(Kind::NotFound, detail).into());
        }
    };
    tx.commit().await?;
    Ok(back("/console/cron", &note))
}
