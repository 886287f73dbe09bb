//! The audit: who changed what, and who was refused.

use axum::{Json, extract::State};
use jobs::audit::{self, Entry, Filter};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::{
    App,
    caller::Caller,
    extract::Query,
    page::{Limit, Page, place},
    problem::Problem,
};

/// Which rows.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// What kind of object: delivery, release, platform, schedule, royalty_run,
    /// statistics_run, notification, job, cron, key, endpoint.
    kind: Option<String>,
    /// The object's id.
    id: Option<String>,
    /// Who: `cli:<user>`, `key:<id>`, `address:<address>`.
    #[param(example = "key:7")]
    actor: Option<String>,
    /// What was done, such as delivery.hold, or access for all refusals.
    action: Option<String>,
    /// The X-Request-Id of the answer.
    request: Option<String>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// The most items of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
}

/// List what operators changed and who was refused, the newest first. Of royalties, usage and
/// statistics, keys without scope worker:finance or worker:admin are not told before and after:
/// they hold amounts of money.
#[utoipa::path(get, path = "/audit", operation_id = "listAudit", tag = "audit",
    params(AuditQuery), responses((status = 200, body = Page<Entry>)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Page<Entry>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let filter = Filter {
        object_kind: query.kind,
        object_id: query.id,
        actor: query.actor,
        action: query.action,
        request_id: query.request,
        after: place(query.cursor.as_deref(), |text| text.parse().ok())?,
        sees_amounts: caller.admitted.scopes.see_amounts(),
        limit: limit.and_one(),
    };
    let listed = audit::search(&app.pool, &filter).await?;
    Ok(Json(Page::of(listed, limit, |one| one.id.to_string())))
}
