//! Royalties as they are looked at: runs, the tracks they set aside, balances. What is done to runs is
//! in `royalty_runs`, what payees get to read in `statements`.

use axum::{Json, extract::State};
use jobs::royalty::{
    self, Balance, BalanceFilter, ComputeError, Period, Refused, Run, RunFilter, SetAsideTrack,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::http::{
    App,
    extract::{Path, Query},
    page::{Limit, Page, PageQuery, place},
    precondition::Tagged,
    problem::{Kind, Problem},
};

/// Between the parts of a place in a list. No part has it.
const PLACE_SEPARATOR: char = '_';

/// Which runs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunQuery {
    /// The month.
    period: Option<Period>,
    /// Where they are.
    state: Option<royalty::State>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// The most items of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
}

/// List royalty runs, the newest month and revision first.
#[utoipa::path(get, path = "/royalties/runs", operation_id = "listRoyaltyRuns", tag = "royalties",
    params(RunQuery), responses((status = 200, body = Page<Run>)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<RunQuery>,
) -> Result<Json<Page<Run>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let filter = RunFilter {
        id: None,
        period: query.period,
        state: query.state,
        after: place(query.cursor.as_deref(), read_place)?,
        limit: Some(limit.and_one()),
    };
    let runs = royalty::list(&mut *app.pool.acquire().await?, &filter).await?;
    Ok(Json(Page::of(runs, limit, place_of)))
}

/// The place of a run in its list.
pub(crate) fn place_of(run: &Run) -> String {
    let (period, revision, id) = (run.period, run.revision, run.id);
    format!("{period}{PLACE_SEPARATOR}{revision}{PLACE_SEPARATOR}{id}")
}

/// What [`place_of`] wrote.
pub(crate) fn read_place(text: &str) -> Option<(Period, i16, Uuid)> {
    let [period, revision, id] = parts(text)?;
    Some((
        period.parse().ok()?,
        revision.parse().ok()?,
        id.parse().ok()?,
    ))
}

fn parts<const N: usize>(text: &str) -> Option<[&str; N]> {
    let parts: Vec<&str> = text.split(PLACE_SEPARATOR).collect();
    parts.try_into().ok()
}

/// One royalty run: what it comes to, or how far its computation is.
#[utoipa::path(get, path = "/royalties/runs/{id}", operation_id = "getRoyaltyRun", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id")),
    responses((status = 200, body = Run, headers(("ETag" = String, description = "Send it as If-Match to make final what you have seen")))))]
pub(super) async fn one(
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Tagged<Run>, Problem> {
    let run = find(&app, id).await?;
    Ok(Tagged {
        version: run.version(),
        of: run,
    })
}

/// The run of an id.
pub(crate) async fn find(app: &App, id: Uuid) -> Result<Run, Problem> {
    let run = royalty::get(&mut *app.pool.acquire().await?, id).await?;
    run.ok_or_else(|| Problem::missing(format!("there is no royalty run {id}")))
}

/// List the tracks that a run does not settle, with the reasons, the dearest first.
#[utoipa::path(get, path = "/royalties/runs/{id}/set-aside", operation_id = "listRoyaltyTracksSetAside", tag = "royalties",
    params(("id" = Uuid, Path, description = "The run's id"), PageQuery),
    responses((status = 200, body = Page<SetAsideTrack>)))]
pub(super) async fn set_aside(
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SetAsideTrack>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let after = place(query.cursor.as_deref(), |text| {
        let [revenue, month, track] = parts(text)?;
        let revenue: Decimal = revenue.parse().ok()?;
        Some((revenue, month.parse().ok()?, track.parse().ok()?))
    })?;
    let run = find(&app, id).await?;
    let mut conn = app.pool.acquire().await?;
    let tracks = royalty::set_aside(&mut conn, run.id, after, limit.and_one()).await?;
    Ok(Json(Page::of(tracks, limit, |one| {
        let (revenue, month, track) = (one.revenue, one.usage_month, one.track_id);
        format!("{revenue}{PLACE_SEPARATOR}{month}{PLACE_SEPARATOR}{track}")
    })))
}

/// Whose balances.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BalanceQuery {
    /// Only this payee's.
    payee: Option<i32>,
    /// Where the page begins: `next` of the page before.
    cursor: Option<String>,
    /// The most items of the page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
}

/// List what payees have, from the ledger.
#[utoipa::path(get, path = "/royalties/balances", operation_id = "listRoyaltyBalances", tag = "royalties",
    params(BalanceQuery), responses((status = 200, body = Page<Balance>)))]
pub(super) async fn balances(
    State(app): State<App>,
    Query(query): Query<BalanceQuery>,
) -> Result<Json<Page<Balance>>, Problem> {
    let limit = Limit::of(query.limit)?;
    let filter = BalanceFilter {
        payee: query.payee,
        after: place(query.cursor.as_deref(), |text| text.parse().ok())?,
        limit: Some(limit.and_one()),
    };
    let balances = royalty::balances(&mut *app.pool.acquire().await?, &filter).await?;
    Ok(Json(Page::of(balances, limit, |one| one.payee.to_string())))
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Database(error) | Refused::Compute(ComputeError::Database(error)) => {
                error.into()
            }
            Refused::Missing(_) | Refused::Compute(ComputeError::Missing(_)) => {
                Self::missing(refused.to_string())
            }
            Refused::Stale(_) => Self::new(Kind::PreconditionFailed, refused.to_string()),
            Refused::NotOver(_)
            | Refused::State { .. }
            | Refused::SetAside { .. }
            | Refused::Outdated(_)
            | Refused::OtherOpen(_)
            | Refused::NothingDue { .. }
            | Refused::Compute(_) => Self::new(Kind::Refused, refused.to_string()),
            Refused::Job(error) => {
                tracing::error!(%error, "the job of a royalty run could not be written down");
                Self::new(Kind::Internal, "the run's job could not be written down")
            }
        }
    }
}
