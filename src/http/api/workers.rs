//! The daemons on the database.

use axum::{Json, extract::State};
use jobs::daemons::{self, Listed};

use crate::http::{App, page::Page, problem::Problem};

/// List the daemons of the last days with what they work on, the latest start first.
#[utoipa::path(get, path = "/workers", operation_id = "listWorkers", tag = "workers",
    responses((status = 200, body = Page<Listed>)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Page<Listed>>, Problem> {
    let listed = daemons::list(&app.pool, (app.clock)()).await?;
    Ok(Json(Page::whole(listed)))
}
