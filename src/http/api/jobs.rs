//! Jobs and their attempts.

use axum::{Json, extract::State};
use jobs::{
    dead,
    queue::{self, AttemptsOf, JobFilter, ListedAttempt, ListedJob},
};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::Why;
use crate::http::{
    App,
    caller::Caller,
    extract::{Body, Path, Query},
    page::{Limit, Page, place},
    problem::{Kind, Problem},
};

/// The most attempts of one job in an answer; more than a job ever has.
const ATTEMPTS: i64 = 1000;

/// Which jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobQuery {
    /// available, running, held, completed, canceled or dead.
    #[param(example = "dead")]
    state: Option<String>,
    /// The job's kind.
    #[param(example = "deliver")]
    kind: Option<String>,
    /// The queue's name.
    #[param(example = "deliver/7")]
    queue: Option<String>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// The most items of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
}

/// List jobs, the newest first.
#[utoipa::path(get, path = "/jobs", operation_id = "listJobs", tag = "jobs",
    params(JobQuery), responses((status = 200, body = Page<ListedJob>)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<JobQuery>,
) -> Result<Json<Page<ListedJob>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let storable = |text: Option<String>| text.map(|text| text.replace('\0', "\u{fffd}"));
    let filter = JobFilter {
        state: storable(query.state),
        kind: storable(query.kind),
        queue: storable(query.queue),
        after: place(query.cursor.as_deref(), |text| text.parse().ok())?,
        limit: limit.and_one(),
    };
    let listed = queue::jobs(&app.pool, &filter).await?;
    Ok(Json(Page::of(listed, limit, |one| one.id.to_string())))
}

/// One job.
#[utoipa::path(get, path = "/jobs/{id}", operation_id = "getJob", tag = "jobs",
    params(("id" = Uuid, Path, description = "The job's id")), responses((status = 200, body = ListedJob)))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<ListedJob>, Problem> {
    let job = queue::job(&app.pool, id).await?;
    job.map(Json).ok_or_else(|| missing(id))
}

/// The attempts at a job, the oldest first. They are kept longer than the job.
#[utoipa::path(get, path = "/jobs/{id}/attempts", operation_id = "listJobAttempts", tag = "jobs",
    params(("id" = Uuid, Path, description = "The job's id")),
    responses((status = 200, body = Page<ListedAttempt>)))]
pub(super) async fn attempts(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Page<ListedAttempt>>, Problem> {
    let attempts = queue::attempts(&app.pool, AttemptsOf::Job(id), ATTEMPTS).await?;
    if attempts.is_empty() && queue::job(&app.pool, id).await?.is_none() {
        return Err(missing(id));
    }
    Ok(Json(Page::whole(attempts)))
}

/// Retry a dead job. One that delivers is retried through its delivery, as a new transmission; any
/// other gets all its attempts back.
#[utoipa::path(post, path = "/jobs/{id}/retry", operation_id = "retryJob", tag = "jobs",
    params(("id" = Uuid, Path, description = "The job's id")),
    request_body = Why, responses((status = 200, body = ListedJob)))]
pub(super) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(why): Body<Why>,
) -> Result<Json<ListedJob>, Problem> {
    let by = caller.by(&why.reason)?;
    let job = queue::job(&app.pool, id)
        .await?
        .ok_or_else(|| missing(id))?;
    let tally = dead::retry(&app.pool, &[job.into()], &by, (app.clock)()).await?;
    if let Some((_, why)) = tally.refused.first() {
        return Err(Problem::new(
            Kind::Refused,
            format!("job {id} was not retried: {why}"),
        ));
    }
    let job = queue::job(&app.pool, id).await?;
    job.map(Json).ok_or_else(|| missing(id))
}

fn missing(id: Uuid) -> Problem {
    Problem::missing(format!(
        "there is no job {id}; finished ones are removed by age"
    ))
}
