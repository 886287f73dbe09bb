//! The console: pages for people, made on the server, readable without JavaScript. What they show
//! and change is what the API shows and changes; who may is decided by the key that somebody logged
//! in with.

mod assets;
mod changes;
mod chart;
mod failure;
mod fields;
mod flash;
mod frame;
mod highlight;
mod login;
mod markers;
mod pages;
mod visitor;

pub(crate) use markers::span;

use axum::{
    Router,
    extract::State,
    middleware::from_fn_with_state,
    response::{IntoResponse, Redirect},
    routing::{get, post},
};
use jobs::access::Scope;

use crate::http::App;

/// Everything below `/console`, and the way there.
pub(crate) fn routes(app: &App) -> Router<App> {
    let within = Router::new()
        .route("/console/logout", post(login::log_out))
        .route("/console/{*rest}", get(failure::no_such_page));
    let within = Scope::ALL.into_iter().fold(within, |routes, scope| {
        let guard = from_fn_with_state((app.clone(), scope), visitor::needs);
        routes.merge(needing(scope).route_layer(guard))
    });
    let within = within.route_layer(from_fn_with_state(app.clone(), visitor::require));
    Router::new()
        .route("/", get(|| async { Redirect::to("/console/") }))
        .route("/console", get(|| async { Redirect::to("/console/") }))
        .route("/console/login", get(login::page).post(login::log_in))
        .route("/console/assets/{version}/{name}", get(assets::answer))
        .merge(within)
        .layer(from_fn_with_state(app.clone(), failure::guard))
}

/// What needs a scope.
fn needing(scope: Scope) -> Router<App> {
    match scope {
        Scope::Read => reading(),
        Scope::Operate => operating(),
        Scope::Finance => of_finance(),
        Scope::Admin => Router::new()
            .route(
                "/console/keys",
                get(pages::keys::page).post(pages::keys::create),
            )
            .route("/console/keys/{id}/revoke", post(pages::keys::revoke)),
    }
}

fn reading() -> Router<App> {
    use pages::{
        audit, cron, deliveries, delivery, evidence, jobs, notifications, overview, platforms,
        schedules, statistics, workers,
    };
    Router::new()
        .route("/console/", get(overview::page))
        .route("/console/events", get(events))
        .route("/console/deliveries", get(deliveries::page))
        .route("/console/deliveries/{id}", get(delivery::page))
        .route(
            "/console/deliveries/{id}/evidence/{document}",
            get(evidence::page),
        )
        .route(
            "/console/deliveries/{id}/evidence/{document}/file",
            get(evidence::file),
        )
        .route("/console/platforms", get(platforms::page))
        .route("/console/platforms/{id}", get(platforms::one))
        .route("/console/schedules", get(schedules::page))
        .route("/console/statistics", get(statistics::page))
        .route("/console/notifications", get(notifications::page))
        .route("/console/notifications/{id}", get(notifications::one))
        .route("/console/jobs", get(jobs::page))
        .route("/console/cron", get(cron::page))
        .route("/console/workers", get(workers::page))
        .route("/console/audit", get(audit::page))
}

fn operating() -> Router<App> {
    use pages::{cron, jobs, notifications, operations, platforms, schedules, statistics};
    Router::new()
        .route("/console/deliveries/operations", post(operations::some))
        .route(
            "/console/deliveries/matching",
            get(operations::confirm).post(operations::matching),
        )
        .route(
            "/console/deliveries/{id}/acknowledge",
            post(operations::acknowledge),
        )
        .route(
            "/console/deliveries/{id}/{operation}",
            post(operations::one),
        )
        .route("/console/platforms/{id}/check", post(platforms::check))
        .route(
            "/console/platforms/{id}/{operation}",
            post(platforms::operate),
        )
        .route("/console/schedules", post(schedules::create))
        .route(
            "/console/schedules/{id}/{operation}",
            post(schedules::operate),
        )
        .route("/console/statistics", post(statistics::rebuild))
        .route("/console/statistics/{id}/cancel", post(statistics::cancel))
        .route(
            "/console/notifications/failed/{operation}",
            post(notifications::all_failed),
        )
        .route(
            "/console/notifications/{id}/{operation}",
            post(notifications::operate),
        )
        .route("/console/jobs/{id}/retry", post(jobs::retry))
        .route("/console/cron/{name}/{operation}", post(cron::operate))
}

fn of_finance() -> Router<App> {
    use pages::{royalties, royalty_run};
    Router::new()
        .route(
            "/console/royalties",
            get(royalties::page).post(royalties::start),
        )
        .route("/console/royalties/rehearsal", post(royalty_run::rehearse))
        .route("/console/royalties/balances", get(royalties::balances))
        .route("/console/royalties/{id}", get(royalty_run::page))
        .route(
            "/console/royalties/statements/{set}",
            get(royalty_run::statement_set),
        )
        .route(
            "/console/royalties/{id}/{operation}",
            post(royalty_run::operate),
        )
        .route(
            "/console/royalties/{id}/statements/{payee}/{layout}",
            get(royalty_run::statement),
        )
}

/// Changes as they happen, for pages that are open.
async fn events(State(app): State<App>) -> impl IntoResponse {
    crate::http::sse(&app)
}
