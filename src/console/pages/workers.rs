//! The daemons on the database.

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use jobs::daemons::{self, Listed};

use crate::{
    console::{
        failure::Failure,
        frame::{Frame, render},
        markers::{ago, time, tone},
        visitor::Visitor,
    },
    http::App,
};

#[derive(Template)]
#[template(path = "workers.html")]
struct Page {
    frame: Frame,
    now: DateTime<Utc>,
    workers: Vec<Listed>,
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let now = (app.clock)();
    Ok(render(&Page {
        frame: Frame::new(&visitor, "workers", "Workers"),
        now,
        workers: daemons::list(&app.pool, now).await?,
    }))
}
