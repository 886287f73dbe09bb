//! Statements of royalty runs: what each payee gets to read, as data and as files.

use axum::{Json, extract::State, response::Response};
use jobs::royalty::{
    Refused,
    document::{Fonts, Layout, Writer},
    statement::{self, Payee, Statement},
};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::royalties::find;
use crate::http::{
    App, download,
    extract::{Path, Query},
    page::{Limit, Page, PageQuery, place},
    problem::{Kind, Problem},
};

/// The fonts of PDF statements, read when the first is asked for.
pub(crate) type FontCache = OnceCell<Fonts>;

/// List the payees of a run: whoever has a statement, and what it comes to.
#[utoipa::path(get, path = "/royalties/runs/{id}/statements", operation_id = "listRoyaltyStatements", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id"), PageQuery),
    responses((status = 200, body = Page<Payee>)))]
pub(super) async fn list(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Payee>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let after = place(query.cursor.as_deref(), |text| text.parse().ok())?;
    let run = find(&app, id).await?;
    let mut conn = app.pool.acquire().await?;
    let payees = statement::listed(&mut conn, run.id, after, limit.and_one()).await?;
    Ok(Json(Page::of(payees, limit, |one| one.payee.to_string())))
}

/// A payee's statement of a run. One of a run that is not final is a draft.
#[utoipa::path(get, path = "/royalties/runs/{id}/statements/{payee}", operation_id = "getRoyaltyStatement", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id"),
           ("payee" = i32, Path, description = "The payee's id as a user")),
    responses((status = 200, body = Statement)))]
pub(super) async fn one(
    State(app): State<App>,
    Path((id, payee)): Path<(Uuid, i32)>,
) -> Result<Json<Statement>, Problem> {
    find_statement(&app, id, payee).await.map(Json)
}

/// Download a payee's statement of a run as CSV.
#[utoipa::path(get, path = "/royalties/runs/{id}/statements/{payee}/csv", operation_id = "downloadRoyaltyStatement", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id"),
           ("payee" = i32, Path, description = "The payee's id as a user")),
    responses((status = 200, description = "One table, whose first column says what a line is", content_type = "text/csv", body = String)))]
pub(super) async fn csv(
    State(app): State<App>,
    Path((id, payee)): Path<(Uuid, i32)>,
) -> Result<Response, Problem> {
    statement_file(&app, Layout::Csv, id, payee).await
}

/// Download a payee's statement of a run as PDF, to be sent to an artist.
#[utoipa::path(get, path = "/royalties/runs/{id}/statements/{payee}/pdf", operation_id = "downloadRoyaltyStatementAsPdf", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id"),
           ("payee" = i32, Path, description = "The payee's id as a user")),
    responses((status = 200, description = "A4, searchable", content_type = "application/pdf", body = Vec<u8>)))]
pub(super) async fn pdf(
    State(app): State<App>,
    Path((id, payee)): Path<(Uuid, i32)>,
) -> Result<Response, Problem> {
    statement_file(&app, Layout::Pdf, id, payee).await
}

/// A payee's statement as a file.
pub(crate) async fn statement_file(
    app: &App,
    layout: Layout,
    run: Uuid,
    payee: i32,
) -> Result<Response, Problem> {
    let statement = find_statement(app, run, payee).await?;
    let name = statement.file_name(layout.extension());
    let writer = match layout {
        Layout::Csv => Writer::Csv,
        Layout::Pdf => Writer::Pdf(fonts(app).await?),
    };
    // Thousands of tracks take a while to lay out.
    let written = tokio::task::spawn_blocking(move || writer.write(&statement));
    let body = written.await.map_err(|error| unwritten(&error))?;
    let body = body.map_err(|error| unwritten(&error))?;
    Ok(download(&name, layout.media_type(), body))
}

fn unwritten(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "a statement could not be written");
    Problem::new(Kind::Internal, "the statement could not be written")
}

/// The fonts as configured. What is amiss with them can be mended while the daemon runs.
async fn fonts(app: &App) -> Result<Fonts, Problem> {
    let read = || async {
        let paths = app.royalties.fonts.clone();
        let read = tokio::task::spawn_blocking(move || Fonts::read(&paths));
        let read = read.await.map_err(|error| unwritten(&error))?;
        read.map_err(|error| Problem::new(Kind::Refused, error.to_string()))
    };
    app.fonts.get_or_try_init(read).await.cloned()
}

async fn find_statement(app: &App, run: Uuid, payee: i32) -> Result<Statement, Problem> {
    let run = find(app, run).await?;
    let mut conn = app.pool.acquire().await?;
    let statement = statement::statement(&mut conn, &run, payee)
        .await
        .map_err(Refused::from)?;
    if statement.summary.is_empty() {
        let name = run.name();
        return Err(Problem::missing(format!(
            "user {payee} has nothing in royalty run {name}"
        )));
    }
    Ok(statement)
}
