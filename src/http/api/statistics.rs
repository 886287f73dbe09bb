//! Daily statistics: how they stand, and rebuilding them.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::NaiveDate;
use jobs::statistics::{self, Range, Run, RunError, Status};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Why;
use crate::http::{
    App,
    caller::Caller,
    extract::{Body, Path, Query},
    page::{Limit, Page, PageQuery, at_moment, moment, place},
    problem::Problem,
};

/// How statistics stand: what waits, the last runs, and what is not as it should be. Rows are counted
/// for it.
#[utoipa::path(get, path = "/statistics", operation_id = "getStatistics", tag = "statistics",
    responses((status = 200, body = Status)))]
pub(super) async fn status(State(app): State<App>) -> Result<Json<Status>, Problem> {
    Ok(Json(statistics::status(&app.pool).await?))
}

/// List rebuilds and scans, the newest first.
#[utoipa::path(get, path = "/statistics/runs", operation_id = "listStatisticsRuns", tag = "statistics",
    params(PageQuery), responses((status = 200, body = Page<Run>)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Run>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let before = place(query.cursor.as_deref(), moment)?;
    let runs = statistics::runs(&app.pool, before, limit.and_one()).await?;
    Ok(Json(Page::of(runs, limit, |run| {
        at_moment(run.started_at, run.id)
    })))
}

/// One rebuild or scan, and how far it is.
#[utoipa::path(get, path = "/statistics/runs/{id}", operation_id = "getStatisticsRun", tag = "statistics",
    params(("id" = Uuid, Path, description = "The run's id")),
    responses((status = 200, body = Run)))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Run>, Problem> {
    Ok(Json(statistics::run(&app.pool, id).await?))
}

/// Days to be computed anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rebuilding {
    /// The first day; without it, the first there is.
    #[serde(default)]
    first: Option<NaiveDate>,
    /// The last day; without it, the last there is.
    #[serde(default)]
    last: Option<NaiveDate>,
    /// Also remove rows without usage that the worker did not write. They may be all that is left of
    /// usage that was cleared away.
    #[serde(default)]
    prune: bool,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// Compute days anew, whatever they were made of. The daemon does it; the run tells how far it is.
#[utoipa::path(post, path = "/statistics/runs", operation_id = "rebuildStatistics", tag = "statistics",
    request_body = Rebuilding, responses((status = 201, body = Run)))]
pub(super) async fn rebuild(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<Rebuilding>,
) -> Result<Response, Problem> {
    let by = caller.by(&asked.reason)?;
    let range = Range {
        first: asked.first.unwrap_or(Range::ALL.first),
        last: asked.last.unwrap_or(Range::ALL.last),
    };
    let run = statistics::rebuild(&app.pool, range, asked.prune, &by, (app.clock)()).await?;
    Ok((StatusCode::CREATED, Json(run)).into_response())
}

/// A run that was to end.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ended {
    /// The run.
    run: Run,
    /// False: it had ended before.
    changed: bool,
}

/// End a rebuild or a scan where it is: the days that it has not come to stay as they are.
#[utoipa::path(post, path = "/statistics/runs/{id}/cancel", operation_id = "cancelStatisticsRun", tag = "statistics",
    params(("id" = Uuid, Path, description = "The run's id")),
    request_body = Why, responses((status = 200, body = Ended)))]
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(why): Body<Why>,
) -> Result<Json<Ended>, Problem> {
    let by = caller.by(&why.reason)?;
    let changed = statistics::cancel(&app.pool, id, &by, (app.clock)()).await?;
    let run = statistics::run(&app.pool, id).await?;
    Ok(Json(Ended { run, changed }))
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Missing(_) => Self::missing(error.to_string()),
            RunError::Range(..) => Self::invalid(error.to_string()),
            RunError::Database(error) => error.into(),
        }
    }
}
