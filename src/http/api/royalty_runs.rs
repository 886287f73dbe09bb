//! What is done to royalty runs: starting, computing again, calling off, making final, correcting,
//! paying.

use axum::{Json, extract::State, response::Response};
use jobs::royalty::{self, Payment, Period, Run, SetAsideTrack, Started};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Why, made, royalties::find};
use crate::http::{
    App,
    caller::Caller,
    extract::{Body, Path},
    precondition::IfMatch,
    problem::Problem,
};

/// A run to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunStart {
    /// The month, which must be over.
    period: Period,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// Start the run of a month; a daemon computes it. If there is one already, whatever its state but
/// void, that one is the answer, and nothing is changed.
#[utoipa::path(post, path = "/royalties/runs", operation_id = "startRoyaltyRun", tag = "royalties",
    request_body = RunStart,
    responses((status = 201, body = Started), (status = 200, description = "It was there already", body = Started)))]
pub(super) async fn start(
    State(app): State<App>,
    caller: Caller,
    Body(asked): Body<RunStart>,
) -> Result<Response, Problem> {
    let by = caller.by(&asked.reason)?;
    let now = (app.clock)();
    let started = royalty::start(&app.pool, asked.period, &app.royalties, &by, now).await?;
    Ok(made(started.is_new, started))
}

/// A run to be tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RehearsalOf {
    /// The month, which need not be over.
    period: Period,
}

/// What a run would come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rehearsal {
    /// The run; it is not kept, and its id leads nowhere.
    run: Run,
    /// The tracks that it would not settle, the dearest first; at most 1000.
    set_aside: Vec<SetAsideTrack>,
}

/// Compute what the run of a month would come to now, and keep nothing. A month with too much usage
/// for the time of a request is rehearsed on the command line.
#[utoipa::path(post, path = "/royalties/rehearsals", operation_id = "rehearseRoyaltyRun", tag = "royalties",
    request_body = RehearsalOf, responses((status = 200, body = Rehearsal)))]
pub(super) async fn rehearse(
    State(app): State<App>,
    Body(asked): Body<RehearsalOf>,
) -> Result<Json<Rehearsal>, Problem> {
    let rehearsed = royalty::rehearse(&app.pool, asked.period, &app.royalties, &app.clock);
    let (run, set_aside) = rehearsed.await?;
    Ok(Json(Rehearsal { run, set_aside }))
}

/// Correct a month whose run is final: the revision posts the difference between what the ledger
/// says and what is right now. An open revision is the answer if there is one.
#[utoipa::path(post, path = "/royalties/runs/{id}/revise", operation_id = "reviseRoyaltyRun", tag = "royalties",
    params(("id" = Uuid, Path, description = "The id of a run of the month")),
    request_body = Why,
    responses((status = 201, body = Started), (status = 200, description = "It was there already", body = Started)))]
pub(super) async fn revise(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(why): Body<Why>,
) -> Result<Response, Problem> {
    let by = caller.by(&why.reason)?;
    let period = find(&app, id).await?.period;
    let now = (app.clock)();
    let started = royalty::revise(&app.pool, period, &app.royalties, &by, now).await?;
    Ok(made(started.is_new, started))
}

/// A run to be computed again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recomputing {
    /// From what it read before, by today's configuration and balances; otherwise from what usage
    /// says now.
    #[serde(default)]
    keep_input: bool,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// Have a pending run computed again.
#[utoipa::path(post, path = "/royalties/runs/{id}/recompute", operation_id = "recomputeRoyaltyRun", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id")),
    request_body = Recomputing, responses((status = 200, body = Run)))]
pub(super) async fn recompute(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(asked): Body<Recomputing>,
) -> Result<Json<Run>, Problem> {
    let by = caller.by(&asked.reason)?;
    let (settings, now) = (&app.royalties, (app.clock)());
    let run = royalty::recompute(&app.pool, id, asked.keep_input, settings, &by, now).await?;
    Ok(Json(run))
}

/// Call off a run that is not final. One that is being computed is stopped.
#[utoipa::path(post, path = "/royalties/runs/{id}/void", operation_id = "voidRoyaltyRun", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id")),
    request_body = Why, responses((status = 200, body = Run)))]
pub(super) async fn void(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(why): Body<Why>,
) -> Result<Json<Run>, Problem> {
    let by = caller.by(&why.reason)?;
    let run = royalty::void(&app.pool, id, &by, (app.clock)()).await?;
    Ok(Json(run))
}

/// A run to be made final.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finalising {
    /// Also if tracks are set aside; a later run settles them.
    #[serde(default)]
    accept_set_aside: bool,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// Make a pending run final: its entries go into the ledger, and nothing of it changes any more.
#[utoipa::path(post, path = "/royalties/runs/{id}/finalise", operation_id = "finaliseRoyaltyRun", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id"),
           ("If-Match" = Option<String>, Header, description = "The ETag of what you have seen")),
    request_body = Finalising, responses((status = 200, body = Run)))]
pub(super) async fn finalise(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    IfMatch(seen): IfMatch,
    Body(asked): Body<Finalising>,
) -> Result<Json<Run>, Problem> {
    let by = caller.by(&asked.reason)?;
    let (seen, accepts, now) = (seen.as_deref(), asked.accept_set_aside, (app.clock)());
    let run = royalty::finalise_if(&app.pool, id, seen, accepts, &by, now).await?;
    Ok(Json(run))
}

/// A payment to be noted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paying {
    /// Only to this one; otherwise to all who are not paid yet.
    #[serde(default)]
    payee: Option<i32>,
    /// The payment's reference, such as the bank's.
    #[serde(default)]
    reference: Option<String>,
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    reason: String,
}

/// What was noted as paid.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Paid {
    /// The run.
    run: Run,
    /// What was paid now. Those who were paid before are not among it.
    payments: Vec<Payment>,
}

/// Note that payees were paid what a final run owes them.
#[utoipa::path(post, path = "/royalties/runs/{id}/pay", operation_id = "payRoyaltyRun", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id")),
    request_body = Paying, responses((status = 200, body = Paid)))]
pub(super) async fn pay(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Body(asked): Body<Paying>,
) -> Result<Json<Paid>, Problem> {
    let by = caller.by(&asked.reason)?;
    let (reference, now) = (asked.reference.as_deref(), (app.clock)());
    let paid = royalty::pay(&app.pool, id, asked.payee, reference, &by, now);
    let (run, payments) = paid.await?;
    Ok(Json(Paid { run, payments }))
}
