//! Schedules: which there are, making one, and what is done to one that is not yet taken up.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, NaiveDateTime, Utc};
use jobs::schedule::{self, ListFilter, Listed, NewSchedule, Rescheduled};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Why;
use crate::http::{
    App,
    caller::Caller,
    extract::{Body, Path, Query},
    page::{Limit, Page, at_moment, moment, place},
    precondition::{IfMatch, Tagged},
    problem::{Kind, Problem},
};

/// The most platforms of one schedule.
const PLATFORMS: usize = 1000;

/// Which schedules.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScheduleQuery {
    /// `scheduled_distributions.status`.
    #[param(example = "pending")]
    status: Option<String>,
    /// The release's id.
    release: Option<i32>,
    /// Due at this time or later.
    due_from: Option<DateTime<Utc>>,
    /// Due before this time.
    due_before: Option<DateTime<Utc>>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// The most items of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
}

/// List schedules, the latest due first.
#[utoipa::path(get, path = "/schedules", operation_id = "listSchedules", tag = "schedules",
    params(ScheduleQuery), responses((status = 200, body = Page<Listed>)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ScheduleQuery>,
) -> Result<Json<Page<Listed>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let filter = ListFilter {
        status: query.status.map(|status| status.replace('\0', "\u{fffd}")),
        release_id: query.release,
        due_from: query.due_from.map(|at| at.naive_utc()),
        due_before: query.due_before.map(|at| at.naive_utc()),
        after: place(query.cursor.as_deref(), read_place)?,
        limit: limit.and_one(),
    };
    let listed = schedule::list(&app.pool, &filter).await?;
    Ok(Json(Page::of(listed, limit, place_of)))
}

/// The place of a schedule in its list.
pub(crate) fn place_of(one: &Listed) -> String {
    at_moment(one.scheduled_date.and_utc(), one.id)
}

/// What [`place_of`] wrote.
pub(crate) fn read_place(text: &str) -> Option<(NaiveDateTime, i32)> {
    let (due, id) = moment(text)?;
    Some((due.naive_utc(), id))
}

/// One schedule.
#[utoipa::path(get, path = "/schedules/{id}", operation_id = "getSchedule", tag = "schedules",
    params(("id" = i32, Path, description = "The schedule's id")),
    responses((status = 200, body = Listed, headers(("ETag" = String, description = "Send it as If-Match to change what you have seen")))))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<i32>,
) -> Result<Tagged<Listed>, Problem> {
    let of = schedule::one(&app.pool, id)
        .await?
        .ok_or_else(|| missing(id))?;
    Ok(Tagged {
        version: of.version(),
        of,
    })
}

/// A schedule to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scheduling {
    /// The release's id.
    release_id: i32,
    /// The platforms' ids.
    #[schema(min_items = 1, max_items = 1000)]
    platform_ids: Vec<i32>,
    /// When it is due; without it, now.
    #[serde(default)]
    due: Option<DateTime<Utc>>,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// Schedule a release to platforms.
#[utoipa::path(post, path = "/schedules", operation_id = "createSchedule", tag = "schedules",
    request_body = Scheduling, responses((status = 201, body = Listed)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<Scheduling>,
) -> Result<Response, Problem> {
    if asked.platform_ids.len() > PLATFORMS {
        return Err(Problem::invalid(format!(
            "name at most {PLATFORMS} platforms"
        )));
    }
    let by = caller.by(&asked.reason)?;
    let now = (app.clock)();
    let new = NewSchedule {
        release_id: asked.release_id,
        platform_ids: asked.platform_ids,
        due: asked.due.unwrap_or(now),
        user_id: Some(caller.admitted.user_id),
    };
    let id = schedule::create(&app.pool, &new, &by, now)
        .await?
        .map_err(|why| Problem::invalid(why.to_string()))?;
    let made = schedule::one(&app.pool, id)
        .await?
        .ok_or_else(|| missing(id))?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Call a schedule off that has not been taken up.
#[utoipa::path(post, path = "/schedules/{id}/cancel", operation_id = "cancelSchedule", tag = "schedules",
    params(("id" = i32, Path, description = "The schedule's id"),
           ("If-Match" = Option<String>, Header, description = "The ETag of what you have seen")),
    request_body = Why, responses((status = 200, body = Listed)))]
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    IfMatch(seen): IfMatch,
    Body(why): Body<Why>,
) -> Result<Json<Listed>, Problem> {
    let by = caller.by(&why.reason)?;
    let done = schedule::cancel(&app.pool, id, seen.as_deref(), &by, (app.clock)()).await?;
    now_is(&app, id, done).await
}

/// Make a schedule due now.
#[utoipa::path(post, path = "/schedules/{id}/run-now", operation_id = "runSchedule", tag = "schedules",
    params(("id" = i32, Path, description = "The schedule's id"),
           ("If-Match" = Option<String>, Header, description = "The ETag of what you have seen")),
    request_body = Why, responses((status = 200, body = Listed)))]
pub(super) async fn run_now(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<i32>,
    IfMatch(seen): IfMatch,
    Body(why): Body<Why>,
) -> Result<Json<Listed>, Problem> {
    let by = caller.by(&why.reason)?;
    let done = schedule::run_now(&app.pool, id, seen.as_deref(), &by, (app.clock)()).await?;
    now_is(&app, id, done).await
}

async fn now_is(app: &App, id: i32, done: Rescheduled) -> Result<Json<Listed>, Problem> {
    match done {
        Rescheduled::Done => {
            let listed = schedule::one(&app.pool, id).await?;
            listed.map(Json).ok_or_else(|| missing(id))
        }
        Rescheduled::TakenUp(status) => Err(Problem::new(
            Kind::Refused,
            format!(
                "schedule {id} is {status}: it has been taken up or is over; for what came of it see \
                 its release's deliveries"
            ),
        )),
        Rescheduled::Stale => Err(Problem::stale()),
        Rescheduled::Missing => Err(missing(id)),
    }
}

fn missing(id: i32) -> Problem {
    Problem::missing(format!("there is no schedule {id}"))
}
