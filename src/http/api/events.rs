//! Changes as they happen, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast::error::RecvError;

use crate::http::{App, feed::News};

/// A stream ends after this: whoever goes on comes with a key that still holds.
const LASTS: Duration = Duration::from_secs(15 * 60);
/// Something is said at least this often, so that connections are not taken for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Changes as they happen, at most one event of a kind a second. `deliveries`: a list of DeliveryChange.
/// `changed`: a list of Topic, what else looks different; its own list says how. `missed`: read anew
/// whatever you show; it comes first, and whenever something was left out. A stream ends after a
/// quarter of an hour; connect again.
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
    let watched = (app.feed.watch(), app.stopping.clone());
    let events = stream::unfold(watched, move |(mut news, stopping)| async move {
        let event = tokio::select! {
            received = news.recv() => event(received)?,
            () = tokio::time::sleep_until(ends) => return None,
            () = stopping.cancelled() => return None,
        };
        Some((Ok(event), (news, stopping)))
    });
    let first = stream::once(async { Ok(missed()) });
    Sse::new(first.chain(events)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// None: there is no more to come.
fn event(received: Result<News, RecvError>) -> Option<Event> {
    match received {
        Ok(News::Deliveries(changes)) => {
            let event = Event::default().event("deliveries");
            event.json_data(&*changes).ok()
        }
        Ok(News::Topics(topics)) => Event::default().event("changed").json_data(&*topics).ok(),
        Ok(News::Missed) | Err(RecvError::Lagged(_)) => Some(missed()),
        Err(RecvError::Closed) => None,
    }
}

fn missed() -> Event {
    Event::default().event("missed").data("[]")
}
