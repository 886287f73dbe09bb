//! Queues: what waits in each.

use axum::{Json, extract::State};
use jobs::queue::{self, ListedQueue};

use crate::http::{App, page::Page, problem::Problem};

/// List the queues that have unfinished or dead jobs, or are paused, the longest first.
#[utoipa::path(get, path = "/queues", operation_id = "listQueues", tag = "jobs",
    responses((status = 200, body = Page<ListedQueue>)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Page<ListedQueue>>, Problem> {
    let listed = queue::queues(&app.pool, (app.clock)()).await?;
    Ok(Json(Page::whole(listed)))
}
