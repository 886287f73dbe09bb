//! The resources of the API, a file each. Those that only read need scope `worker:read`; what
//! changes deliveries, platforms, schedules, jobs and cron needs `worker:operate`; keys need
//! `worker:admin`.

mod audit;
mod cron;
mod deliveries;
pub(super) mod events;
mod jobs;
mod keys;
mod operations;
pub(super) mod overview;
mod platforms;
mod queues;
mod releases;
mod schedules;
mod workers;

use ::jobs::access::Scope;
use serde::Deserialize;
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

/// What needs a scope; `None`: nothing does.
pub(super) fn needing(scope: Scope) -> Option<OpenApiRouter<App>> {
    let routes = match scope {
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
            .routes(routes!(audit::list)),
        Scope::Operate => OpenApiRouter::new()
            .routes(routes!(operations::one))
            .routes(routes!(operations::acknowledge))
            .routes(routes!(operations::some))
            .routes(routes!(operations::matching))
            .routes(routes!(releases::take_down))
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
            .routes(routes!(cron::resume)),
        Scope::Finance => return None,
        Scope::Admin => OpenApiRouter::new()
            .routes(routes!(keys::list))
            .routes(routes!(keys::create))
            .routes(routes!(keys::revoke)),
    };
    Some(routes)
}
