//! The console: pages for people, made on the server, readable without JavaScript. What they show
//! and change is what the API shows and changes; who may is decided by the key that somebody logged
//! in with.

mod assets;
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
    response::Redirect,
    routing::{get, post},
};

use crate::http::App;

/// Everything below `/console`, and the way there.
pub(crate) fn routes(app: &App) -> Router<App> {
    let pages = Router::new()
        .route("/console/", get(pages::overview::page))
        .route("/console/deliveries", get(pages::deliveries::page))
        .route(
            "/console/deliveries/operations",
            post(pages::operations::some),
        )
        .route(
            "/console/deliveries/matching",
            get(pages::operations::confirm),
        )
        .route(
            "/console/deliveries/matching",
            post(pages::operations::matching),
        )
        .route("/console/deliveries/{id}", get(pages::delivery::page))
        .route(
            "/console/deliveries/{id}/acknowledge",
            post(pages::operations::acknowledge),
        )
        .route(
            "/console/deliveries/{id}/{operation}",
            post(pages::operations::one),
        )
        .route(
            "/console/deliveries/{id}/evidence/{document}",
            get(pages::evidence::page),
        )
        .route(
            "/console/deliveries/{id}/evidence/{document}/file",
            get(pages::evidence::file),
        )
        .route("/console/platforms", get(pages::platforms::page))
        .route("/console/platforms/{id}", get(pages::platforms::one))
        .route(
            "/console/platforms/{id}/{operation}",
            post(pages::platforms::operate),
        )
        .route("/console/schedules", get(pages::schedules::page))
        .route(
            "/console/schedules/{id}/{operation}",
            post(pages::schedules::operate),
        )
        .merge(money_and_upkeep())
        .route("/console/jobs", get(pages::jobs::page))
        .route("/console/jobs/{id}/retry", post(pages::jobs::retry))
        .route("/console/cron", get(pages::cron::page))
        .route(
            "/console/cron/{name}/{operation}",
            post(pages::cron::operate),
        )
        .route("/console/workers", get(pages::workers::page))
        .route("/console/audit", get(pages::audit::page))
        .route(
            "/console/keys",
            get(pages::keys::page).post(pages::keys::create),
        )
        .route("/console/keys/{id}/revoke", post(pages::keys::revoke))
        .route("/console/events", get(events))
        .route("/console/logout", post(login::log_out))
        .route("/console/{*rest}", get(failure::no_such_page))
        .route_layer(from_fn_with_state(app.clone(), visitor::require));
    Router::new()
        .route("/", get(|| async { Redirect::to("/console/") }))
        .route("/console", get(|| async { Redirect::to("/console/") }))
        .route("/console/login", get(login::page).post(login::log_in))
        .route("/console/assets/{version}/{name}", get(assets::answer))
        .merge(pages)
        .layer(from_fn_with_state(app.clone(), failure::guard))
}

/// Royalties, statistics and notifications.
fn money_and_upkeep() -> Router<App> {
    Router::new()
        .route(
            "/console/royalties",
            get(pages::royalties::page).post(pages::royalties::start),
        )
        .route(
            "/console/royalties/rehearsal",
            post(pages::royalty_run::rehearse),
        )
        .route(
            "/console/royalties/balances",
            get(pages::royalties::balances),
        )
        .route("/console/royalties/{id}", get(pages::royalty_run::page))
        .route(
            "/console/royalties/{id}/{operation}",
            post(pages::royalty_run::operate),
        )
        .route(
            "/console/royalties/{id}/statements/{payee}",
            get(pages::royalty_run::statement),
        )
        .route(
            "/console/statistics",
            get(pages::statistics::page).post(pages::statistics::rebuild),
        )
        .route(
            "/console/statistics/{id}/cancel",
            post(pages::statistics::cancel),
        )
        .route("/console/notifications", get(pages::notifications::page))
        .route(
            "/console/notifications/failed/{operation}",
            post(pages::notifications::all_failed),
        )
        .route(
            "/console/notifications/{id}",
            get(pages::notifications::one),
        )
        .route(
            "/console/notifications/{id}/{operation}",
            post(pages::notifications::operate),
        )
}

/// Changes as they happen, for pages that are open.
async fn events(
    State(app): State<App>,
    visitor: visitor::Visitor,
) -> Result<impl axum::response::IntoResponse, failure::Failure> {
    visitor.needs(&app, jobs::access::Scope::Read).await?;
    Ok(crate::http::sse(&app))
}
