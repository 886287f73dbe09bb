//! Platforms: how they stand, and holding them.

use axum::{Json, extract::State};
use jobs::{
    catalog::{self, PlatformQueue},
    delivery::{self, Paused, Resumed},
};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::Why;
use crate::{
    connection,
    http::{
        App,
        caller::Caller,
        extract::{Body, Path},
        page::Page,
        precondition::{IfMatch, Tagged},
        problem::Problem,
    },
};

/// List platforms with their limits as they are in force, their circuits, and what waits for them.
#[utoipa::path(get, path = "/platforms", operation_id = "listPlatforms", tag = "platforms",
    responses((status = 200, body = Page<PlatformQueue>)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Page<PlatformQueue>>, Problem> {
    let listed = catalog::platforms(&app.pool, (app.clock)()).await?;
    Ok(Json(Page::whole(listed)))
}

/// One platform.
#[utoipa::path(get, path = "/platforms/{id}", operation_id = "getPlatform", tag = "platforms",
    params(("id" = i32, Path, description = "The platform's id")),
    responses((status = 200, body = PlatformQueue, headers(("ETag" = String, description = "Send it as If-Match to change what you have seen")))))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<i32>,
) -> Result<Tagged<PlatformQueue>, Problem> {
    let one = catalog::platform_queue(&app.pool, id, (app.clock)())
        .await?
        .ok_or_else(|| missing(id))?;
    Ok(Tagged {
        version: one.version(),
        of: one,
    })
}

/// Hold a platform: no new attempts from now on; those under way finish.
#[utoipa::path(post, path = "/platforms/{id}/pause", operation_id = "pausePlatform", tag = "platforms",
    params(("id" = i32, Path, description = "The platform's id"),
           ("If-Match" = Option<String>, Header, description = "The ETag of what you have seen")),
    request_body = Why, responses((status = 200, body = Paused)))]
pub(super) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    IfMatch(seen): IfMatch,
    Body(why): Body<Why>,
) -> Result<Json<Paused>, Problem> {
    let by = caller.by(&why.reason)?;
    let mut tx = app.pool.begin().await?;
    known(&mut tx, id, seen.as_deref()).await?;
    let paused = delivery::pause_platform(&mut tx, id, &by, (app.clock)()).await?;
    tx.commit().await?;
    Ok(Json(paused))
}

/// Let a platform go on: its queue is no longer paused, and its held deliveries are queued again.
#[utoipa::path(post, path = "/platforms/{id}/resume", operation_id = "resumePlatform", tag = "platforms",
    params(("id" = i32, Path, description = "The platform's id"),
           ("If-Match" = Option<String>, Header, description = "The ETag of what you have seen")),
    request_body = Why, responses((status = 200, body = Resumed)))]
pub(super) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    IfMatch(seen): IfMatch,
    Body(why): Body<Why>,
) -> Result<Json<Resumed>, Problem> {
    let by = caller.by(&why.reason)?;
    let mut tx = app.pool.begin().await?;
    known(&mut tx, id, seen.as_deref()).await?;
    let resumed = delivery::resume_platform(&mut tx, id, &by, (app.clock)()).await?;
    tx.commit().await?;
    Ok(Json(resumed))
}

/// What came of asking for a probe.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Probe {
    /// The next delivery is a probe, at once. False: the circuit is closed, there is nothing to probe.
    is_due: bool,
}

/// Try a partner at once whose circuit is open, instead of waiting for the next probe.
#[utoipa::path(post, path = "/platforms/{id}/probe", operation_id = "probePlatform", tag = "platforms",
    params(("id" = i32, Path, description = "The platform's id")),
    request_body = Why, responses((status = 200, body = Probe)))]
pub(super) async fn probe(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    Body(why): Body<Why>,
) -> Result<Json<Probe>, Problem> {
    let by = caller.by(&why.reason)?;
    let mut tx = app.pool.begin().await?;
    known(&mut tx, id, None).await?;
    let is_due = delivery::probe_platform(&mut tx, id, &by, (app.clock)()).await?;
    tx.commit().await?;
    Ok(Json(Probe { is_due }))
}

/// What a look at a platform's settings and connection found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checked {
    /// All is well.
    ok: bool,
    /// What is in order, in sentences.
    in_order: Vec<String>,
    /// What is not.
    fault: Option<FoundFault>,
}

/// Why a platform cannot be delivered to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundFault {
    /// The stable code.
    code: String,
    /// What is wrong.
    message: String,
    /// What to do.
    remedy: String,
}

/// Validate a platform's settings and connect to it: name, host key or certificate, credentials,
/// write access. Delivers nothing.
#[utoipa::path(post, path = "/platforms/{id}/check", operation_id = "checkPlatform", tag = "platforms",
    params(("id" = i32, Path, description = "The platform's id")), responses((status = 200, body = Checked)))]
pub(super) async fn check(
    State(app): State<App>,
    Path(id): Path<i32>,
) -> Result<Json<Checked>, Problem> {
    let mut conn = app.pool.acquire().await?;
    let row = catalog::platform_row(&mut conn, id)
        .await?
        .ok_or_else(|| missing(id))?;
    // The partner may take its time.
    drop(conn);
    let checked = match connection::check(&row, &app.means).await {
        Ok(in_order) => Checked {
            ok: true,
            in_order,
            fault: None,
        },
        Err(fault) => Checked {
            ok: false,
            in_order: Vec::new(),
            fault: Some(FoundFault {
                code: fault.code.as_str().to_owned(),
                message: fault.message.clone(),
                remedy: fault.remedy().to_string(),
            }),
        },
    };
    Ok(Json(checked))
}

/// The platform is there, and as it was seen.
async fn known(conn: &mut PgConnection, id: i32, seen: Option<&str>) -> Result<(), Problem> {
    if catalog::platform_row(conn, id).await?.is_none() {
        return Err(missing(id));
    }
    if let Some(seen) = seen
        && delivery::platform_version(conn, id).await? != seen
    {
        return Err(Problem::stale());
    }
    Ok(())
}

fn missing(id: i32) -> Problem {
    Problem::missing(format!("there is no platform {id}"))
}
