//! Notifications: who was told what, and what did not arrive.

use axum::{Json, extract::State};
use jobs::notification::{self, Filter, Listed, Remedied, Remedy, Story};
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

/// Which notifications.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NotificationQuery {
    /// pending, delivered, failed (some channel did not take it), unaddressed (no channel wanted it)
    /// or dismissed.
    #[param(example = "failed")]
    state: Option<String>,
    /// What happened.
    #[param(example = "delivery.failed")]
    event: Option<String>,
    /// What they tell of: schedule/12, platform/3, delivery/ID.
    subject: Option<String>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// The most items of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
}

/// List notifications, the newest first.
#[utoipa::path(get, path = "/notifications", operation_id = "listNotifications", tag = "notifications",
    params(NotificationQuery), responses((status = 200, body = Page<Listed>)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<NotificationQuery>,
) -> Result<Json<Page<Listed>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let filter = Filter {
        state: query.state,
        event: query.event,
        subject: query.subject,
        after: place(query.cursor.as_deref(), |text| text.parse().ok())?,
        limit: limit.and_one(),
    };
    let listed = notification::list(&app.pool, &filter).await?;
    Ok(Json(Page::of(listed, limit, |one| one.id.to_string())))
}

/// One notification: its details, and what each channel said.
#[utoipa::path(get, path = "/notifications/{id}", operation_id = "getNotification", tag = "notifications",
    params(("id" = Uuid, Path, description = "The notification's id")),
    responses((status = 200, body = Story)))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Story>, Problem> {
    find(&app, id).await.map(Json)
}

async fn find(app: &App, id: Uuid) -> Result<Story, Problem> {
    let story = notification::story(&app.pool, id).await?;
    story.ok_or_else(|| missing(id))
}

fn missing(id: Uuid) -> Problem {
    Problem::missing(format!("there is no notification {id}"))
}

/// Send a notification again to the channels that have not taken it.
#[utoipa::path(post, path = "/notifications/{id}/retry", operation_id = "retryNotification", tag = "notifications",
    params(("id" = Uuid, Path, description = "The notification's id")),
    request_body = Why, responses((status = 200, body = Story)))]
pub(super) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(why): Body<Why>,
) -> Result<Json<Story>, Problem> {
    remedy(&app, &caller, id, Remedy::Retry, &why).await
}

/// Let a failed notification be: it is no longer listed as failed.
#[utoipa::path(post, path = "/notifications/{id}/dismiss", operation_id = "dismissNotification", tag = "notifications",
    params(("id" = Uuid, Path, description = "The notification's id")),
    request_body = Why, responses((status = 200, body = Story)))]
pub(super) async fn dismiss(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(why): Body<Why>,
) -> Result<Json<Story>, Problem> {
    remedy(&app, &caller, id, Remedy::Dismiss, &why).await
}

async fn remedy(
    app: &App,
    caller: &Caller,
    id: Uuid,
    remedy: Remedy,
    why: &Why,
) -> Result<Json<Story>, Problem> {
    let by = caller.by(&why.reason)?;
    match notification::remedy(&app.pool, id, remedy, &by, (app.clock)()).await? {
        Remedied::Done => find(app, id).await.map(Json),
        Remedied::Missing => Err(missing(id)),
        Remedied::Refused(state) => Err(Problem::new(
            Kind::Refused,
            format!(
                "notification {id} is {state}; only one that did not reach everybody is sent again or dismissed"
            ),
        )),
    }
}
