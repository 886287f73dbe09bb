//! How it all stands, read at most once in a while however many look.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use chrono::TimeDelta;
use jobs::overview::{self, Overview};
use tokio::sync::Mutex;

use crate::http::{App, problem::Problem};

/// An overview is shown for so long, and longer if it took long to read.
const FRESH: TimeDelta = TimeDelta::seconds(2);
/// It may be read for this part of the time.
const SHARE: i32 = 10;

/// The last overview, and how long it took.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Option<(Arc<Overview>, Duration)>>);

impl Cache {
    /// One that is fresh enough. Whoever comes while it is read waits for the same.
    pub(crate) async fn get(&self, app: &App) -> Result<Arc<Overview>, Problem> {
        let mut last = self.0.lock().await;
        let now = (app.clock)();
        if let Some((overview, took)) = &*last {
            let took = TimeDelta::from_std(*took).unwrap_or(FRESH);
            if now - overview.at < FRESH.max(took * SHARE) {
                return Ok(Arc::clone(overview));
            }
        }
        let began = std::time::Instant::now();
        let overview = Arc::new(overview::overview(&app.pool, now).await?);
        *last = Some((Arc::clone(&overview), began.elapsed()));
        Ok(overview)
    }
}

/// How it all stands: what needs a person, undecided deliveries by platform and age, what was
/// decided in the last day, and faults.
#[utoipa::path(get, path = "/overview", operation_id = "getOverview", tag = "overview",
    responses((status = 200, body = Overview)))]
pub(super) async fn overview(State(app): State<App>) -> Result<Json<Arc<Overview>>, Problem> {
    app.overview.get(&app).await.map(Json)
}
