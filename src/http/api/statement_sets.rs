//! The statements of all payees of a run at once: a daemon writes them, and they are fetched together.

use axum::{Json, extract::State, response::Response};
use jobs::royalty::{
    document::Layout,
    sets::{self, Ordered, SetState, StatementSet},
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{made, royalties::find};
use crate::http::{
    App, archive,
    caller::Caller,
    download,
    extract::{Body, Path, Query},
    page::{Limit, Page, PageQuery, place},
    problem::{Kind, Problem},
};

/// Statements to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetOrder {
    /// How.
    layout: Layout,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// Have the statements of all payees of a computed run written by a daemon. If they are there already,
/// or on their way, of the run as it is now, those are the answer.
#[utoipa::path(post, path = "/royalties/runs/{id}/statement-sets", operation_id = "orderRoyaltyStatements", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id")),
    request_body = SetOrder,
    responses((status = 201, body = Ordered), (status = 200, description = "It was there already", body = Ordered)))]
pub(super) async fn order(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(asked): Body<SetOrder>,
) -> Result<Response, Problem> {
    let by = caller.by(&asked.reason)?;
    let ordered = sets::order(&app.pool, id, asked.layout, &by, (app.clock)()).await?;
    Ok(made(ordered.is_new, ordered))
}

/// List the sets of statements of a run that are kept, the newest first.
#[utoipa::path(get, path = "/royalties/runs/{id}/statement-sets", operation_id = "listRoyaltyStatementSets", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id"), PageQuery),
    responses((status = 200, body = Page<StatementSet>)))]
pub(super) async fn list(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<StatementSet>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let before = place(query.cursor.as_deref(), |text| text.parse().ok())?;
    let run = find(&app, id).await?;
    let mut conn = app.pool.acquire().await?;
    let sets = sets::list(&mut conn, run.id, before, limit.and_one()).await?;
    Ok(Json(Page::of(sets, limit, |set| set.id.to_string())))
}

/// One set of statements: how far it is.
#[utoipa::path(get, path = "/royalties/statement-sets/{id}", operation_id = "getRoyaltyStatementSet", tag = "royalties",
    params(("id" = Uuid, Path, description = "The set's id")),
    responses((status = 200, body = StatementSet)))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<StatementSet>, Problem> {
    find_set(&app, id).await.map(Json)
}

/// Download a set of statements as a ZIP with a file for each payee.
#[utoipa::path(get, path = "/royalties/statement-sets/{id}/zip", operation_id = "downloadRoyaltyStatementSet", tag = "royalties",
    params(("id" = Uuid, Path, description = "The set's id")),
    responses((status = 200, description = "Files named by month, revision and payee", content_type = "application/zip", body = Vec<u8>)))]
pub(super) async fn zip(State(app): State<App>, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    archive(&app, id).await
}

/// A completed set as a ZIP.
pub(crate) async fn archive(app: &App, id: Uuid) -> Result<Response, Problem> {
    let set = find_set(app, id).await?;
    if set.state != SetState::Completed {
        let (done, total) = (set.done, set.total);
        let detail = match &set.fault {
            Some(fault) => format!("these statements could not be written: {fault}"),
            None => format!("{done} of {total} statements are written: ask again later"),
        };
        return Err(Problem::new(Kind::Refused, detail));
    }
    let run = find(app, set.run).await?;
    let layout = set.layout.extension();
    let name = format!("{}-{}-{layout}.zip", run.period, run.revision);
    let body = archive::body(app.pool.clone(), set);
    Ok(download(&name, "application/zip", body))
}

async fn find_set(app: &App, id: Uuid) -> Result<StatementSet, Problem> {
    let set = sets::get(&mut *app.pool.acquire().await?, id).await?;
    set.ok_or_else(|| Problem::missing(format!("there is no set of statements {id}")))
}
