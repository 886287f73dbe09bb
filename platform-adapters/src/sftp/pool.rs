//! Connections to one partner: each on a thread of its own, because libssh2 blocks. Bounded, used
//! again by later deliveries, dropped when idle or no longer sound.

use std::{
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time,
};

use super::{endpoint::Endpoint, session::Session};
use crate::{Code, Fault};

/// How often an unused connection says that it is still there; many servers and firewalls cut one
/// that is silent for a minute.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// After so many keep-alives without work a connection is closed: partners count them.
const IDLE_KEEP_ALIVES: u32 = 4;

/// After a connection was lost it is made anew so often in a row, after these pauses, before whoever
/// uses it hears of it.
const RECONNECT_PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(4),
];

type Work = Box<dyn FnOnce(&Session) + Send>;

/// The connections to one partner.
pub(super) struct Pool {
    endpoint: Arc<Endpoint>,
    permits: Arc<Semaphore>,
    /// Those who wait for a place.
    waiting: AtomicUsize,
    idle: Mutex<Vec<Connection>>,
}

/// The near end of a connection's thread. Dropping it ends the thread when its work is done.
struct Connection {
    work: Sender<Work>,
    line: Arc<Line>,
}

/// The means to end a connection from outside its thread, at any moment.
#[derive(Default)]
pub(super) struct Line(Mutex<LineState>);

#[derive(Default)]
struct LineState {
    is_cut: bool,
    socket: Option<TcpStream>,
}

impl Line {
    /// Ties the line to its socket. False when it was cut already.
    pub(super) fn attach(&self, socket: TcpStream) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.socket = Some(socket);
        !state.is_cut
    }

    /// Whatever the thread is doing on the socket ends with an error at once.
    pub(super) fn cut(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_cut = true;
        if let Some(socket) = state.socket.take() {
            // It may be closed already; then there is nothing to cut.
            let _closed = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Pool {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(usize::from(endpoint.connections))),
            endpoint: Arc::new(endpoint),
            waiting: AtomicUsize::new(0),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Connections at once.
    pub(super) fn limit(&self) -> usize {
        usize::from(self.endpoint.connections)
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Waits for a free place, then takes an idle connection that still answers or makes a new one.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, Fault> {
        let waiting = Waiting::new(&self.waiting);
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Fault::new(Code::WorkerStopped, "the SFTP connections are closed"))?;
        drop(waiting);
        self.occupy(permit).await
    }

    /// A further connection, where a place is free and nobody waits for it.
    pub(super) async fn spare(self: &Arc<Self>) -> Option<Lease> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        // A partner that lets in fewer than the settings say is no fault of a delivery.
        self.occupy(permit).await.ok()
    }

    /// Whether somebody waits for a place.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    async fn occupy(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<Lease, Fault> {
        let mut lease = Lease {
            pool: Arc::clone(self),
            connection: None,
            _permit: permit,
        };
        while let Some(connection) = self.take_idle() {
            lease.connection = Some(connection);
            if lease.run(Session::probe).await.is_ok() {
                return Ok(lease);
            }
            lease.connection = None;
        }
        lease.connection = Some(self.connect().await?);
        Ok(lease)
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        let (sender, work) = mpsc::channel();
        let (answer, opened) = oneshot::channel();
        let line = Arc::new(Line::default());
        let guard = CutOnDrop(Some(Connection {
            work: sender,
            line: Arc::clone(&line),
        }));
        let endpoint = Arc::clone(&self.endpoint);
        thread::Builder::new()
            .name("sftp".into())
            .spawn(move || match Session::connect(&endpoint, &line) {
                Ok(session) => {
                    if answer.send(Ok(())).is_ok() {
                        serve(&session, &work);
                    }
                    session.close();
                    // The session's own clean-up must not wait for a partner that is gone.
                    line.cut();
                }
                Err(fault) => {
                    // Nobody waits any more when the delivery was dropped meanwhile.
                    let _unheard = answer.send(Err(fault));
                }
            })
            .map_err(|error| {
                Fault::new(
                    Code::WorkerFault,
                    format!("cannot start a thread for an SFTP connection: {error}"),
                )
            })?;
        opened.await.map_err(|_| self.thread_died())??;
        guard.release().ok_or_else(|| self.thread_died())
    }

    fn thread_died(&self) -> Fault {
        Fault::new(
            Code::WorkerFault,
            format!(
                "the thread of a connection to {} died",
                self.endpoint.site()
            ),
        )
    }
}

/// One who waits for a place, as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Works off what is asked until nobody can ask any more, the session is no longer sound, or it has
/// been idle for too long.
fn serve(session: &Session, work: &Receiver<Work>) {
    let mut silent = 0;
    while silent < IDLE_KEEP_ALIVES && session.is_sound() {
        match work.recv_timeout(KEEP_ALIVE) {
            Ok(task) => {
                silent = 0;
                task(session);
            }
            Err(RecvTimeoutError::Timeout) => {
                silent += 1;
                session.keep_alive();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The use of one connection. Given back to the pool when dropped, unless it is no longer sound.
pub(super) struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Runs blocking work on the connection's thread. When the future is dropped before the work is
    /// done, the connection is cut, which ends the work, and is not used again.
    pub(super) async fn run<T, W>(&mut self, work: W) -> Result<T, Fault>
    where
        T: Send + 'static,
        W: FnOnce(&Session) -> Result<T, Fault> + Send + 'static,
    {
        let lost = || {
            Fault::new(
                Code::ConnectionLost,
                format!("the connection to {} is closed", self.pool.endpoint.site()),
            )
        };
        let guard = CutOnDrop(self.connection.take());
        let (answer, outcome) = oneshot::channel();
        let task: Work = Box::new(move |session| {
            let result = work(session);
            // Nobody waits any more when the delivery was dropped meanwhile.
            let _unheard = answer.send((result, session.is_sound()));
        });
        let accepted = guard
            .0
            .as_ref()
            .is_some_and(|connection| connection.work.send(task).is_ok());
        if !accepted {
            return Err(lost());
        }
        let (result, is_sound) = outcome.await.map_err(|_| self.pool.thread_died())?;
        if is_sound {
            self.connection = guard.release();
        }
        result
    }
}

impl Lease {
    /// Runs blocking work that may be begun again, with a new connection where one is lost.
    pub(super) async fn run_persistently<T, W>(&mut self, work: W) -> Result<T, Fault>
    where
        T: Send + 'static,
        W: Fn(&Session) -> Result<T, Fault> + Clone + Send + 'static,
    {
        let mut patience = Patience::default();
        loop {
            let fault = match self.mend().await {
                Ok(()) => match self.run(work.clone()).await {
                    Err(fault) => fault,
                    done => return done,
                },
                Err(fault) => fault,
            };
            patience.bear(fault).await?;
        }
    }

    /// Connects anew, where the connection is gone.
    pub(super) async fn mend(&mut self) -> Result<(), Fault> {
        if self.connection.is_none() {
            self.connection = Some(self.pool.connect().await?);
        }
        Ok(())
    }

    /// Whether somebody else waits for a place among the connections.
    pub(super) fn is_awaited(&self) -> bool {
        self.pool.is_awaited()
    }
}

/// The connection is gone, or could not be made.
pub(super) fn is_loss(fault: &Fault) -> bool {
    matches!(
        fault.code,
        Code::ConnectionLost | Code::ConnectionFailed | Code::TimedOut
    )
}

/// How often a lost connection is borne.
#[derive(Default)]
pub(super) struct Patience {
    losses: usize,
}

impl Patience {
    /// Something was achieved since the last loss.
    pub(super) fn renew(&mut self) {
        self.losses = 0;
    }

    /// Pauses after a lost connection, and answers with every other fault, and with the one too
    /// many.
    pub(super) async fn bear(&mut self, fault: Fault) -> Result<(), Fault> {
        match RECONNECT_PAUSES.get(self.losses) {
            Some(pause) if is_loss(&fault) => {
                self.losses += 1;
                time::sleep(*pause).await;
                Ok(())
            }
            _ => Err(fault),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}

/// Cuts a connection whose work was abandoned.
struct CutOnDrop(Option<Connection>);

impl CutOnDrop {
    fn release(mut self) -> Option<Connection> {
        self.0.take()
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.line.cut();
        }
    }
}
