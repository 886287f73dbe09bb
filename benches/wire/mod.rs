//! A wire to a server: it delays, counts, and can be cut at a byte. On threads of its own, so that it
//! does not take part in what is measured more than it must.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
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

pub(crate) struct Wire {
    port: u16,
    state: Arc<State>,
}

struct State {
    server_port: u16,
    /// How long everything takes, one way.
    delay: Duration,
    /// Bytes to the server.
    sent: AtomicU64,
    /// At so many the connection that carries them is cut, once.
    cut: AtomicU64,
}

impl Wire {
    pub(crate) fn start(server_port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            server_port,
            delay,
            sent: AtomicU64::new(0),
            cut: AtomicU64::new(u64::MAX),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connect(&accepting, &client);
            }
        });
        Self { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// When so many more bytes to the server have passed, the connection that carries them is cut.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.state.cut.store(self.sent() + bytes, Ordering::SeqCst);
    }

    pub(crate) fn is_cut_to_come(&self) -> bool {
        self.state.cut.load(Ordering::SeqCst) != u64::MAX
    }
}

fn connect(state: &Arc<State>, client: &TcpStream) {
    let server = TcpStream::connect(("127.0.0.1", state.server_port)).unwrap();
    for socket in [client, &server] {
        socket.set_nodelay(true).unwrap();
    }
    let both = || (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (up, down) = (both(), both());
    let cutting = Arc::clone(state);
    carry(state.delay, up.0, up.1, move |bytes| {
        let before = cutting.sent.fetch_add(bytes, Ordering::SeqCst);
        let cut = cutting.cut.load(Ordering::SeqCst);
        if before + bytes < cut {
            return None;
        }
        cutting.cut.store(u64::MAX, Ordering::SeqCst);
        Some(cut.saturating_sub(before))
    });
    carry(state.delay, down.1, down.0, |_| None);
}

/// Carries one way. `pass` is told how many bytes come, and may say after how many of them to cut.
fn carry(
    delay: Duration,
    from: TcpStream,
    to: TcpStream,
    pass: impl Fn(u64) -> Option<u64> + Send + 'static,
) {
    let (sender, receiver) = sync_channel(CHUNKS);
    let (end, other_end) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        take(from, &sender, delay, pass);
    });
    thread::spawn(move || {
        give(to, &receiver);
        for socket in [end, other_end] {
            // It may be closed already.
            let _closed = socket.shutdown(Shutdown::Both);
        }
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
        // No more than there is: this process's memory is measured.
        let chunk = read[..cut.map_or(count, |bytes| bytes as usize)].to_vec();
        if to.send((Instant::now() + delay, chunk)).is_err() || cut.is_some() {
            return;
        }
    }
}

fn give(mut to: TcpStream, from: &Receiver<(Instant, Vec<u8>)>) {
    for (due, chunk) in from {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&chunk).is_err() {
            return;
        }
    }
}
