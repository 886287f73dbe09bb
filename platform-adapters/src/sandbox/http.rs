//! The sandbox's HTTP partner: a strict partner of the usual kind on 127.0.0.1, against which the
//! adapter `api` is tried. What it takes in is in `reception`, what it has in `shelf`.

use std::{
    collections::HashSet,
    io,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Ledger, Misbehaviour, Misbehaviours, answers,
    connection::{CuttableListener, Cutter},
    misbehave::{self, Course, SharedCourse},
    routes,
    shelf::Shelf,
};

/// How long a partner that is stopped waits for its requests.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What an HTTP partner needs.
#[derive(Clone, Debug)]
pub struct HttpPartnerOptions {
    /// Its name, for the ledger.
    pub name: String,
    /// Where it keeps what it receives. It goes on with what is there already.
    pub root: PathBuf,
    /// Its port on 127.0.0.1; any free one where it is `None`.
    pub port: Option<u16>,
    /// What it asks for as `Authorization: Bearer` or `X-API-Key`.
    pub token: SecretString,
    /// How often a release's state is asked for before it is decided; 0: at once.
    pub undecided_asks: u32,
    /// What it does wrong before it does right.
    pub misbehaviours: Misbehaviours,
}

/// An HTTP partner that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct HttpPartner {
    url: String,
    ledger: Ledger,
    course: SharedCourse,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

/// What the partner's handlers share.
pub(super) struct Partner {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) root: PathBuf,
    pub(super) token: SecretString,
    pub(super) undecided_asks: u32,
    shelf: Mutex<Shelf>,
    course: SharedCourse,
    /// Keys of requests that are being worked on.
    busy: Mutex<HashSet<String>>,
}

impl HttpPartner {
    /// Starts a partner; when this returns it takes requests.
    ///
    /// # Errors
    /// When its root cannot be used or its port is taken.
    pub async fn start(options: HttpPartnerOptions) -> io::Result<Self> {
        let ledger = Ledger::open(&options.root)?;
        // What was coming in when the partner was stopped has no sender any more.
        match std::fs::remove_dir_all(options.root.join("incoming")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::create_dir_all(options.root.join("incoming"))?;
        std::fs::create_dir_all(options.root.join("handovers"))?;
        let address = (Ipv4Addr::LOCALHOST, options.port.unwrap_or_default());
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let course = Course::resume(options.misbehaviours, &options.root)?;
        let course = SharedCourse::new(course.into());
        let partner = Partner {
            name: options.name,
            url: url.clone(),
            token: options.token,
            undecided_asks: options.undecided_asks,
            shelf: Mutex::new(Shelf::load(ledger.clone())?),
            course: course.clone(),
            busy: Mutex::default(),
            root: options.root,
        };
        let router = Router::new()
            .route("/", get(routes::welcome))
            .route(
                "/releases",
                post(routes::create)
                    .get(routes::look_up)
                    .delete(routes::delete_by_upc),
            )
            .route("/releases/{id}", get(routes::state).delete(routes::delete))
            .layer(DefaultBodyLimit::disable())
            .layer(middleware::from_fn_with_state(
                ledger.clone(),
                answers::remember_refusals,
            ))
            .with_state(Arc::new(partner));
        let stop = CancellationToken::new();
        let serving = axum::serve(
            CuttableListener(listener),
            router.into_make_service_with_connect_info::<Cutter>(),
        )
        .with_graceful_shutdown(stop.clone().cancelled_owned());
        let serving = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the sandbox's HTTP partner ended");
            }
        });
        tracing::info!(url, "the sandbox's HTTP partner takes deliveries");
        Ok(Self {
            url,
            ledger,
            course,
            stop,
            serving,
        })
    }

    /// Its address: `http://127.0.0.1:8090`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it received.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// From now on this is done wrong with every hand-over, whatever it was started with; `None`: no
    /// longer.
    pub fn misbehave(&self, what: Option<Misbehaviour>) {
        misbehave::lock(&self.course).stand(what);
    }

    /// Takes no more requests, lets the running ones end, and frees the port.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(STOP_WITHIN, &mut self.serving)
            .await
            .is_err()
        {
            self.serving.abort();
        }
    }
}

impl Drop for HttpPartner {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
    }
}

impl Partner {
    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn course(&self) -> MutexGuard<'_, Course> {
        misbehave::lock(&self.course)
    }

    /// Marks a key as being worked on until the guard goes; `None` when it is already.
    pub(super) fn begin(self: &Arc<Self>, key: &str) -> Option<Busy> {
        let is_new = self.busy().insert(key.to_owned());
        is_new.then(|| Busy {
            partner: Arc::clone(self),
            key: key.to_owned(),
        })
    }

    fn busy(&self) -> MutexGuard<'_, HashSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that is being worked on.
pub(super) struct Busy {
    partner: Arc<Partner>,
    key: String,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.partner.busy().remove(&self.key);
    }
}
