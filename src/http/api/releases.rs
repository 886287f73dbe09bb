//! A release where it is: taken down, forgotten, sold again in a territory, sent again where it
//! changed.

use axum::{Json, extract::State};
use jobs::delivery::{self, OnPlatform};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::{
    App,
    caller::Caller,
    extract::{Body, Path},
    problem::{Kind, Problem},
};

/// Where, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Where {
    /// Only on this platform; otherwise wherever it is.
    #[serde(default)]
    platform_id: Option<i32>,
    /// Only in this territory: two letters of ISO 3166-1. Needed to restore; means nothing to update.
    #[serde(default)]
    #[schema(example = "DE")]
    territory: Option<String>,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// Take a release down. What is still on its way there is called off first.
#[utoipa::path(post, path = "/releases/{id}/takedown", operation_id = "takeDownRelease", tag = "releases",
    params(("id" = i32, Path, description = "The release's id")),
    request_body = Where, responses((status = 200, description = "What follows on each platform; none: it was never delivered there", body = Vec<OnPlatform>)))]
pub(super) async fn take_down(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    Body(place): Body<Where>,
) -> Result<Json<Vec<OnPlatform>>, Problem> {
    let by = caller.by(&place.reason)?;
    let now = (app.clock)();
    let platform = place.platform_id;
    let done = match &place.territory {
        None => delivery::take_down(&app.pool, id, platform, &by, now).await?,
        Some(code) => delivery::take_down_territory(&app.pool, id, platform, code, &by, now)
            .await?
            .ok_or_else(|| no_territory(code))?,
    };
    Ok(Json(done))
}

/// Who is to forget a release, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Purge {
    /// The platform that is to forget it.
    platform_id: i32,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// Have one platform forget a release, as if it had never been there: by a PurgeReleaseMessage of DDEX,
/// and only where the platform's `format_specs.ddex.purge` allows it. What is still on its way there is
/// called off first.
#[utoipa::path(post, path = "/releases/{id}/purge", operation_id = "purgeRelease", tag = "releases",
    params(("id" = i32, Path, description = "The release's id")),
    request_body = Purge, responses((status = 200, description = "What follows", body = OnPlatform)))]
pub(super) async fn purge(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    Body(what): Body<Purge>,
) -> Result<Json<OnPlatform>, Problem> {
    let by = caller.by(&what.reason)?;
    let done = delivery::purge(&app.pool, id, what.platform_id, &by, (app.clock)()).await?;
    done.map(Json)
        .map_err(|refused| Problem::new(Kind::Refused, refused.0))
}

/// Sell a release again in a territory where it was taken down.
#[utoipa::path(post, path = "/releases/{id}/restore", operation_id = "restoreRelease", tag = "releases",
    params(("id" = i32, Path, description = "The release's id")),
    request_body = Where, responses((status = 200, description = "What follows on each platform", body = Vec<OnPlatform>)))]
pub(super) async fn restore(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    Body(place): Body<Where>,
) -> Result<Json<Vec<OnPlatform>>, Problem> {
    let by = caller.by(&place.reason)?;
    let code = place
        .territory
        .as_deref()
        .ok_or_else(|| Problem::invalid("name the territory"))?;
    delivery::restore_territory(&app.pool, id, place.platform_id, code, &by, (app.clock)())
        .await?
        .map(Json)
        .ok_or_else(|| {
            Problem::missing(format!(
                "release {id} was not taken down in {code:?} there; name the platform as the takedown did"
            ))
        })
}

/// Send what changed of a release since it was delivered. Nothing is sent where nothing did.
#[utoipa::path(post, path = "/releases/{id}/update", operation_id = "updateRelease", tag = "releases",
    params(("id" = i32, Path, description = "The release's id")),
    request_body = Where, responses((status = 200, description = "What follows on each platform", body = Vec<OnPlatform>)))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    Body(place): Body<Where>,
) -> Result<Json<Vec<OnPlatform>>, Problem> {
    let by = caller.by(&place.reason)?;
    let platform = place.platform_id;
    Ok(Json(
        delivery::update(&app.pool, id, platform, &by, (app.clock)()).await?,
    ))
}

fn no_territory(code: &str) -> Problem {
    Problem::invalid(format!(
        "{code:?} is no territory; use the two-letter codes of ISO 3166-1, such as DE"
    ))
}
