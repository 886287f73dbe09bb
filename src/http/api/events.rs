//! Changes as they happen, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use tokio::sync::broadcast::error::RecvError;

use crate::http::App;

/// A stream ends after this: whoever goes on comes with a key that still holds.
const LASTS: Duration = Duration::from_secs(15 * 60);
/// Something is said at least this often, so that connections are not taken for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Changes of deliveries as they happen: events named `deliveries`, each a list of DeliveryChange, at
/// most one a second. A stream ends after a quarter of an hour; connect again. An event named
/// `missed` says that some were left out.
#[utoipa::path(get, path = "/events", operation_id = "watchEvents", tag = "overview",
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String)))]
pub(super) async fn events(
    State(app): State<App>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    sse(&app)
}

/// The stream, for the API and the console.
pub(crate) fn sse(app: &App) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let ends = tokio::time::Instant::now() + LASTS;
    let start = (app.feed.watch(), app.stopping.clone());
    let events = stream::unfold(start, move |(mut changes, stopping)| async move {
        let event = tokio::select! {
            received = changes.recv() => match received {
                Ok(news) => Event::default().event("deliveries").json_data(&*news).ok()?,
                Err(RecvError::Lagged(_)) => Event::default().event("missed").data("0"),
                Err(RecvError::Closed) => return None,
            },
            () = tokio::time::sleep_until(ends) => return None,
            () = stopping.cancelled() => return None,
        };
        Some((Ok(event), (changes, stopping)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
