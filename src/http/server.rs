//! Connections: accepted up to a bound, read with a timeout, and drained when the daemon stops.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use axum::{Extension, Router, extract::Request};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::layers::Peer;
use crate::config::Http;

/// Answers under way may take so long when the daemon stops.
const DRAIN: Duration = Duration::from_secs(5);
/// After an error of `accept`, such as no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a request waits for a connection to the database.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The server's own connections to the daemon's database. Statements end when they take too long,
/// and are planned for what they are asked with: a list with a condition is another than one without.
pub(crate) fn pool(of_daemon: &PgPool, config: &Http) -> PgPool {
    let timeout = format!("{}s", config.statement_timeout_s);
    let options = (*of_daemon.connect_options()).clone().options([
        ("statement_timeout", timeout.as_str()),
        ("plan_cache_mode", "force_custom_plan"),
    ]);
    PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options.application_name("tunemantra-worker http"))
}

/// The routes that are served: exchanged as a whole, between two requests, when the configuration is.
#[derive(Clone, Default)]
pub(crate) struct Front(Arc<RwLock<Router>>);

impl Front {
    /// From the next request on these are served.
    pub(crate) fn show(&self, routes: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = routes;
    }

    fn shown(&self) -> Router {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn routes(&self) -> Router {
        let front = self.clone();
        Router::new().fallback(move |request: Request| async move {
            let Ok(answer) = front.shown().oneshot(request).await;
            answer
        })
    }
}

/// A server that listens already.
pub(crate) struct Listener {
    socket: TcpListener,
    read_timeout: Duration,
    connections: Arc<Semaphore>,
}

impl Listener {
    /// Listens where the configuration says. `None`: nowhere.
    pub(crate) async fn bind(config: &Http) -> anyhow::Result<Option<Self>> {
        if config.listen.is_empty() {
            return Ok(None);
        }
        let socket = TcpListener::bind(&config.listen).await.with_context(|| {
            format!(
                "http.listen: {} cannot be listened on; give another address, or none (\"\") for a \
                 daemon without HTTP",
                config.listen
            )
        })?;
        Ok(Some(Self {
            socket,
            read_timeout: Duration::from_secs(config.read_timeout_s),
            connections: Arc::new(Semaphore::new(config.max_connections)),
        }))
    }

    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop`, then lets answers under way finish.
    pub(crate) async fn serve(self, front: Front, stop: CancellationToken) {
        let routes = front.routes();
        let drain = GracefulShutdown::new();
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else {
                break;
            };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let serving = self.serve_one(stream, peer, &routes, &drain);
                    tokio::spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(self.socket);
        if tokio::time::timeout(DRAIN, drain.shutdown()).await.is_err() {
            tracing::warn!("some HTTP connections were cut off");
        }
    }

    fn serve_one(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        routes: &Router,
        drain: &GracefulShutdown,
    ) -> impl Future<Output = ()> + Send + use<> {
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(routes.clone().layer(Extension(Peer(peer))));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.read_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let connection = drain.watch(connection);
        async move {
            if let Err(error) = connection.await {
                // The other side went away or sent nonsense; it knows.
                tracing::debug!(%error, %peer, "an HTTP connection ended");
            }
        }
    }
}
