//! The HTTP server: what it listens on, who may ask, how requests are bounded, and the API. The
//! pages of the console are in `console`; what is asked and changed is in `jobs`.

mod api;
mod archive;
mod caller;
mod download;
mod extract;
mod feed;
mod health;
mod idempotency;
mod layers;
mod notices;
mod openapi;
mod pace;
mod page;
mod precondition;
mod problem;
mod refusals;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use jobs::{clock::Clock, queue::cron::Entry, royalty, vitals::Vitals};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Http,
    connection::Means,
    console,
    metrics::{Metrics, Sources},
};
use api::{overview::Cache, statements::FontCache};
use feed::Feed;
use pace::Pace;
use refusals::Refusals;

pub(crate) use api::{
    events::sse,
    royalties::{find as find_royalty_run, place_of as place_of_run, read_place as run_at},
    schedules::{place_of as place_of_schedule, read_place as schedule_at},
    statement_sets::archive as statement_archive,
    statements::statement_file,
};
pub(crate) use caller::{Asked, forbid, refuse};
pub(crate) use download::download;
pub(crate) use extract::Path;
pub(crate) use layers::is_safe;
pub(crate) use openapi::document;
pub(crate) use page::{Limit, Page, at_moment, moment, place};
pub(crate) use problem::{Kind, Problem};
pub(crate) use server::{Front, Listener, pool};

/// What requests are answered with.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

/// See [`App`].
pub(crate) struct Parts {
    /// Connections of the server's own: whoever looks does not keep a delivery from being made.
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    pub(crate) config: Http,
    /// What a look at a platform needs.
    pub(crate) means: Means,
    pub(crate) cron: Vec<Entry>,
    /// What royalty runs are computed by.
    pub(crate) royalties: royalty::Settings,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: Refusals,
    pub(crate) pace: Pace,
    pub(crate) overview: Cache,
    pub(crate) fonts: FontCache,
    pub(crate) feed: Feed,
    /// The daemon is stopping: it is not ready, and streams end.
    pub(crate) stopping: CancellationToken,
}

/// What the daemon gives the server.
pub(crate) struct Given {
    pub(crate) pool: PgPool,
    /// The connections of deliveries, of which metrics tell how many there are.
    pub(crate) work: PgPool,
    pub(crate) vitals: Vitals,
    pub(crate) clock: Clock,
    pub(crate) config: Http,
    /// What a look at a platform needs.
    pub(crate) means: Means,
    pub(crate) cron: Vec<Entry>,
    /// What royalty runs are computed by.
    pub(crate) royalties: royalty::Settings,
    pub(crate) stopping: CancellationToken,
}

impl App {
    pub(crate) fn new(given: Given) -> Self {
        let refusals = Refusals::new(&given.config);
        let pace = Pace::new(&given.config);
        let feed = Feed::new(
            given.pool.clone(),
            given.clock.clone(),
            given.stopping.clone(),
        );
        let metrics = Metrics::new(Sources {
            vitals: given.vitals,
            work: given.work,
            http: given.pool.clone(),
        });
        Self(Arc::new(Parts {
            pool: given.pool,
            clock: given.clock,
            config: given.config,
            means: given.means,
            cron: given.cron,
            royalties: given.royalties,
            metrics,
            refusals,
            pace,
            overview: Cache::default(),
            fonts: FontCache::default(),
            feed,
            stopping: given.stopping,
        }))
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Everything that is answered.
pub(crate) fn router(app: &App) -> Router {
    let (api, _) = openapi::described(app).split_for_parts();
    let routes = Router::new()
        .merge(api)
        .merge(health::routes())
        .merge(notices::routes())
        .merge(console::routes(app))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method);
    layers::around(routes, app).with_state(app.clone())
}
