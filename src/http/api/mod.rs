//! The resources of the API, a file each. Those that only read need scope `worker:read`; what
//! changes deliveries, platforms, schedules, jobs, cron, statistics and notifications needs
//! `worker:operate`; whatever has to do with royalties needs `worker:finance`, and keys need
//! `worker:admin`.

mod audit;
mod cron;
mod deliveries;
pub(super) mod events;
mod jobs;
mod keys;
mod notifications;
mod operations;
pub(super) mod overview;
mod platforms;
mod queues;
mod releases;
pub(super) mod royalties;
mod royalty_runs;
pub(super) mod schedules;
pub(super) mod statement_sets;
pub(super) mod statements;
mod statistics;
mod workers;

use ::jobs::access::Scope;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::App;

/// Why something is changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// Kept in the audit, with the key.
    #[schema(min_length = 1, pattern = r"\S")]
    pub(super) reason: String,
}

/// What was asked for: 201 if that made it, 200 if it was there already.
fn made(is_new: bool, body: impl Serialize) -> Response {
    let status = match is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    (status, Json(body)).into_response()
}

/// What needs a scope.
pub(super) fn needing(scope: Scope) -> OpenApiRouter<App> {
    match scope {
        Scope::Read => OpenApiRouter::new()
            .routes(routes!(overview::overview))
            .routes(routes!(events::events))
            .routes(routes!(deliveries::list))
            .routes(routes!(deliveries::count))
            .routes(routes!(deliveries::one))
            .routes(routes!(deliveries::attempts))
            .routes(routes!(deliveries::evidence))
            .routes(routes!(platforms::list))
            .routes(routes!(platforms::one))
            .routes(routes!(schedules::list))
            .routes(routes!(schedules::one))
            .routes(routes!(queues::list))
            .routes(routes!(jobs::list))
            .routes(routes!(jobs::one))
            .routes(routes!(jobs::attempts))
            .routes(routes!(cron::list))
            .routes(routes!(workers::list))
            .routes(routes!(statistics::status))
            .routes(routes!(statistics::list))
            .routes(routes!(statistics::one))
            .routes(routes!(notifications::list))
            .routes(routes!(notifications::one))
            .routes(routes!(audit::list)),
        Scope::Operate => OpenApiRouter::new()
            .routes(routes!(operations::one))
            .routes(routes!(operations::acknowledge))
            .routes(routes!(operations::some))
            .routes(routes!(operations::matching))
            .routes(routes!(releases::take_down))
            .routes(routes!(releases::purge))
            .routes(routes!(releases::restore))
            .routes(routes!(releases::update))
            .routes(routes!(platforms::pause))
            .routes(routes!(platforms::resume))
            .routes(routes!(platforms::probe))
            .routes(routes!(platforms::check))
            .routes(routes!(schedules::create))
            .routes(routes!(schedules::cancel))
            .routes(routes!(schedules::run_now))
            .routes(routes!(jobs::retry))
            .routes(routes!(cron::run))
            .routes(routes!(cron::pause))
            .routes(routes!(cron::resume))
            .routes(routes!(statistics::rebuild))
            .routes(routes!(statistics::cancel))
            .routes(routes!(notifications::retry))
            .routes(routes!(notifications::dismiss)),
        Scope::Finance => OpenApiRouter::new()
            .routes(routes!(royalties::list, royalty_runs::start))
            .routes(routes!(royalties::one))
            .routes(routes!(royalties::set_aside))
            .routes(routes!(statements::list))
            .routes(routes!(statements::one))
            .routes(routes!(statements::csv))
            .routes(routes!(statements::pdf))
            .routes(routes!(statement_sets::list, statement_sets::order))
            .routes(routes!(statement_sets::one))
            .routes(routes!(statement_sets::zip))
            .routes(routes!(royalties::balances))
            .routes(routes!(royalty_runs::rehearse))
            .routes(routes!(royalty_runs::revise))
            .routes(routes!(royalty_runs::recompute))
            .routes(routes!(royalty_runs::void))
            .routes(routes!(royalty_runs::finalise))
            .routes(routes!(royalty_runs::pay)),
        Scope::Admin => OpenApiRouter::new()
            .routes(routes!(keys::list))
            .routes(routes!(keys::create))
            .routes(routes!(keys::revoke)),
    }
}
