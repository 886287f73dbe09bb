//! A wire to a server: it delays, counts, can be cut at a byte, and can be ill-treated while it
//! carries: silent, slow, closed. On threads of its own, so that it does not take part in what is
//! measured more than it must.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// What is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks under way at most, each way: more than any window of SSH.
const CHUNKS: usize = 512;

/// How often a wire that carries nothing looks whether it may again, and the time between two pieces
/// of one that trickles.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How a wire carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// As it should.
    Sound,
    /// Connections are made and kept, and nothing comes through; what was said meanwhile comes
    /// afterwards, as from a network that was away.
    Silent,
    /// So many bytes per second, each way of each connection.
    Trickle(u64),
    /// Those who come are shut out at once; connections that are there go on.
    Shut,
}

/// See the module.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    server_port: u16,
    /// How long everything takes, one way.
    delay: Duration,
    conduct: Mutex<Conduct>,
    /// Bytes to the server.
    sent: AtomicU64,
    /// At so many the connection that carries them is cut, once.
    cut: AtomicU64,
    /// Both ends of each connection that is there, by a number of its own.
    connections: Mutex<HashMap<u64, [TcpStream; 2]>>,
    /// The number of the next connection.
    next: AtomicU64,
    /// Connections with smaller numbers are forgotten.
    forgotten: AtomicU64,
}

impl State {
    fn conduct(&self) -> Conduct {
        *self.conduct.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, [TcpStream; 2]>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_forgotten(&self, connection: u64) -> bool {
        connection < self.forgotten.load(Ordering::SeqCst)
    }

    fn end(&self, connection: u64) {
        if let Some(ends) = self.connections().remove(&connection) {
            shut(&ends);
        }
    }
}

fn shut(ends: &[TcpStream; 2]) {
    for end in ends {
        // It may be closed already.
        let _closed = end.shutdown(Shutdown::Both);
    }
}

impl Wire {
    /// A sound wire to this port on 127.0.0.1.
    pub fn start(server_port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            server_port,
            delay,
            conduct: Mutex::new(Conduct::Sound),
            sent: AtomicU64::new(0),
            cut: AtomicU64::new(u64::MAX),
            connections: Mutex::default(),
            next: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let number = accepting.next.fetch_add(1, Ordering::SeqCst);
                connect(&accepting, number, client);
            }
        });
        Self { port, state }
    }

    /// Where to come to instead of the server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes to the server so far.
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// When so many more bytes to the server have passed, the connection that carries them is cut.
    pub fn cut_after(&self, bytes: u64) {
        self.state.cut.store(self.sent() + bytes, Ordering::SeqCst);
    }

    /// Whether a cut was asked for that has not been made.
    pub fn is_cut_to_come(&self) -> bool {
        self.state.cut.load(Ordering::SeqCst) != u64::MAX
    }

    /// Carries so from now on, those connections included that are there.
    pub fn conduct(&self, conduct: Conduct) {
        *self
            .state
            .conduct
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = conduct;
    }

    /// Forgets all connections that are there, as a firewall does: they stay, what is said on them is
    /// swallowed for ever, and nobody is told. New ones are as they should be.
    pub fn forget_all(&self) {
        let next = self.state.next.load(Ordering::SeqCst);
        self.state.forgotten.store(next, Ordering::SeqCst);
    }

    /// Cuts all connections that are there.
    pub fn cut_all(&self) {
        for (_, ends) in self.state.connections().drain() {
            shut(&ends);
        }
    }
}

fn connect(state: &Arc<State>, number: u64, client: TcpStream) {
    if state.conduct() == Conduct::Shut {
        return;
    }
    // A server that is away shuts out.
    let Ok(server) = TcpStream::connect(("127.0.0.1", state.server_port)) else {
        return;
    };
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
    }
    let both = || (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (up, down) = (both(), both());
    state.connections().insert(number, [client, server]);
    let cutting = Arc::clone(state);
    carry(state, number, up.0, up.1, move |bytes| {
        let before = cutting.sent.fetch_add(bytes, Ordering::SeqCst);
        let cut = cutting.cut.load(Ordering::SeqCst);
        if before + bytes < cut {
            return None;
        }
        cutting.cut.store(u64::MAX, Ordering::SeqCst);
        Some(cut.saturating_sub(before))
    });
    carry(state, number, down.1, down.0, |_| None);
}

/// Carries one way. `pass` is told how many bytes come, and may say after how many of them to cut.
fn carry(
    state: &Arc<State>,
    connection: u64,
    from: TcpStream,
    to: TcpStream,
    pass: impl Fn(u64) -> Option<u64> + Send + 'static,
) {
    let (sender, receiver) = sync_channel(CHUNKS);
    let (taking, giving) = (Arc::clone(state), Arc::clone(state));
    thread::spawn(move || {
        take(from, &sender, taking.delay, pass);
    });
    thread::spawn(move || {
        give(&giving, connection, to, &receiver);
        giving.end(connection);
    });
}

fn take(
    mut from: TcpStream,
    to: &SyncSender<(Instant, Vec<u8>)>,
    delay: Duration,
    pass: impl Fn(u64) -> Option<u64>,
) {
    let mut read = vec![0; CHUNK_BYTES];
    loop {
        let Ok(count @ 1..) = from.read(&mut read) else {
            return;
        };
        let cut = pass(count as u64);
        // No more than there is: the memory of the process that measures is measured too.
        let chunk = read[..cut.map_or(count, |bytes| bytes as usize)].to_vec();
        if to.send((Instant::now() + delay, chunk)).is_err() || cut.is_some() {
            return;
        }
    }
}

fn give(state: &State, connection: u64, mut to: TcpStream, from: &Receiver<(Instant, Vec<u8>)>) {
    for (due, chunk) in from {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut rest = chunk.as_slice();
        while !rest.is_empty() && !state.is_forgotten(connection) {
            let piece = match state.conduct() {
                Conduct::Sound | Conduct::Shut => rest.len(),
                Conduct::Silent => 0,
                Conduct::Trickle(rate) => {
                    let piece = u128::from(rate) * LOOK_EVERY.as_millis() / 1000;
                    usize::try_from(piece)
                        .unwrap_or(usize::MAX)
                        .clamp(1, rest.len())
                }
            };
            if piece < rest.len() {
                thread::sleep(LOOK_EVERY);
            }
            if to.write_all(&rest[..piece]).is_err() {
                return;
            }
            rest = &rest[piece..];
        }
    }
}
