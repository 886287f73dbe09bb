//! Whether the daemon is alive and ready, for supervisors and load balancers: without a key, and
//! without a word about what it does.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::App;

/// The database is asked this long.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
}

/// The process answers.
async fn live() -> Json<serde_json::Value> {
    Json(json!({"status": "live"}))
}

/// The database answers, and the daemon is not stopping.
async fn ready(State(app): State<App>) -> Response {
    let asked = tokio::time::timeout(PATIENCE, jobs::database::answers(&app.pool)).await;
    let (status, word) = match asked {
        _ if app.stopping.is_cancelled() => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        Ok(Ok(())) => (StatusCode::OK, "ready"),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "database_unavailable"),
    };
    (status, Json(json!({"status": word}))).into_response()
}

/// What Prometheus scrapes.
async fn metrics(State(app): State<App>) -> Response {
    let text = app.metrics.scrape((app.clock)()).await;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], text).into_response()
}
