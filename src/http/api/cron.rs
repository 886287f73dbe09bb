//! What runs at set times.

use axum::{Json, extract::State};
use jobs::queue::cron::{self, Entry, Listed, RunByHand};
use serde::Serialize;
use utoipa::ToSchema;

use super::Why;
use crate::http::{
    App,
    caller::Caller,
    extract::{Body, Path},
    page::Page,
    problem::Problem,
};

/// List the entries with their last and next runs.
#[utoipa::path(get, path = "/cron", operation_id = "listCron", tag = "cron",
    responses((status = 200, body = Page<Listed>)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Page<Listed>>, Problem> {
    let mut conn = app.pool.acquire().await?;
    let listed = cron::list(&mut conn, &app.cron, (app.clock)()).await?;
    Ok(Json(Page::whole(listed)))
}

/// Run an entry now, besides its set times; also one that is paused.
#[utoipa::path(post, path = "/cron/{name}/run", operation_id = "runCron", tag = "cron",
    params(("name" = String, Path, description = "The entry's name")),
    request_body = Why, responses((status = 200, body = RunByHand)))]
pub(super) async fn run(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(why): Body<Why>,
) -> Result<Json<RunByHand>, Problem> {
    let by = caller.by(&why.reason)?;
    let entry = find(&app, &name)?;
    let mut tx = app.pool.begin().await?;
    let run = cron::run_now(&mut tx, entry, &by, (app.clock)()).await?;
    tx.commit().await?;
    Ok(Json(run))
}

/// Whether an entry is paused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CronPause {
    /// It is paused now.
    paused: bool,
    /// It was not before, or was and is no longer.
    changed: bool,
}

/// Pause an entry: its set times pass without a run.
#[utoipa::path(post, path = "/cron/{name}/pause", operation_id = "pauseCron", tag = "cron",
    params(("name" = String, Path, description = "The entry's name")),
    request_body = Why, responses((status = 200, body = CronPause)))]
pub(super) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(why): Body<Why>,
) -> Result<Json<CronPause>, Problem> {
    set_paused(&app, &caller, &name, &why, true).await
}

/// Let a paused entry go on with its next set time.
#[utoipa::path(post, path = "/cron/{name}/resume", operation_id = "resumeCron", tag = "cron",
    params(("name" = String, Path, description = "The entry's name")),
    request_body = Why, responses((status = 200, body = CronPause)))]
pub(super) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(why): Body<Why>,
) -> Result<Json<CronPause>, Problem> {
    set_paused(&app, &caller, &name, &why, false).await
}

async fn set_paused(
    app: &App,
    caller: &Caller,
    name: &str,
    why: &Why,
    paused: bool,
) -> Result<Json<CronPause>, Problem> {
    let by = caller.by(&why.reason)?;
    let entry = find(app, name)?;
    let now = (app.clock)();
    let mut tx = app.pool.begin().await?;
    let changed = match paused {
        true => cron::pause(&mut tx, entry, &by, now).await?,
        false => cron::resume(&mut tx, entry, &by, now).await?,
    };
    tx.commit().await?;
    Ok(Json(CronPause { paused, changed }))
}

fn find<'a>(app: &'a App, name: &str) -> Result<&'a Entry, Problem> {
    app.cron
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| {
            Problem::missing(format!(
                "there is no cron entry {name:?} with an expression in the configuration"
            ))
        })
}
