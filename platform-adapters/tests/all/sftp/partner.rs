//! An SSH server with a directory for what comes in, and a wire to it that can be cut.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use chrono::{TimeZone, Utc};
use platform_adapters::{
    Handover, Kind,
    package::Package,
    sandbox::{Sshd, SshdOptions},
    settings::{LayoutSpecs, Platform, PlatformRow, Secretive},
    sftp::{Layout, SftpAdapter},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, Semaphore},
};
use uuid::Uuid;

use crate::fixtures::Fixture;

/// An insert; each transmission is a hand-over of its own.
pub(super) fn handover(transmission: u32) -> Handover {
    Handover {
        delivery: Uuid::from_u128(7),
        kind: Kind::Insert,
        revision: 1,
        transmission,
        partner_release_id: None,
        started_at: Utc.timestamp_millis_opt(1_764_000_000_042).unwrap(),
        batch: None,
        last_stated: None,
        resend_of: None,
        purges: false,
    }
}

/// The names of a package's hand-over, where the settings say nothing of them.
pub(super) fn layout(handover: &Handover, package: &Package) -> Layout {
    Layout::new(&LayoutSpecs::default(), handover, &package.upc)
}

/// A file at the partner.
#[derive(Debug, PartialEq)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) inode: u64,
    pub(super) changed: SystemTime,
}

/// A partner with a directory `incoming`.
pub(super) struct Partner {
    pub(super) sshd: Sshd,
    // After the server that uses it.
    directory: TempDir,
}

impl Partner {
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// One whose configuration begins with these lines.
    pub(super) async fn start_with(directives: &[&str]) -> Self {
        Self::start_in(Self::directory(), directives).await
    }

    /// One that has a host key of RSA in the place of one of ECDSA.
    pub(super) async fn start_with_rsa(directives: &[&str]) -> Self {
        let directory = Self::directory();
        let state = directory.path().join("state");
        fs::create_dir(&state).unwrap();
        keygen(
            &["-t", "rsa", "-b", "2048", "-N", ""],
            &state.join("host_key_ecdsa"),
        );
        Self::start_in(directory, directives).await
    }

    fn directory() -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        directory
    }

    async fn start_in(directory: TempDir, directives: &[&str]) -> Self {
        let options = options(directory.path(), None);
        let sshd = Sshd::start_with(options, directives).await.unwrap();
        sshd.make_directory("incoming").unwrap();
        Self { sshd, directory }
    }

    /// Starts the server again, on its port.
    pub(super) async fn restart(&mut self) {
        self.sshd.kill();
        let options = options(self.directory.path(), Some(self.sshd.port()));
        self.sshd = Sshd::start(options).await.unwrap();
    }

    pub(super) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.sshd.root().join("incoming")
    }

    /// The platform with other credentials and `format_specs` than the right and the default ones.
    pub(super) fn platform(&self, credentials: Value, format_specs: Value) -> Platform {
        self.platform_at(&self.sshd.endpoint("incoming"), credentials, format_specs)
    }

    pub(super) fn platform_at(
        &self,
        endpoint: &str,
        credentials: Value,
        format_specs: Value,
    ) -> Platform {
        let mut right = json!({
            "username": self.sshd.username(),
            "private_key": {"file": self.sshd.private_key()},
            "host_key": self.sshd.fingerprint(),
        });
        for (key, value) in credentials.as_object().unwrap() {
            right[key] = value.clone();
        }
        Platform::from_row(&PlatformRow {
            id: 7,
            name: "Nordlys".into(),
            api_endpoint: Some(endpoint.into()),
            api_credentials: Some(Secretive(right)),
            delivery_method: "sftp".into(),
            format_specs: Some(format_specs),
            ..PlatformRow::default()
        })
        .unwrap()
    }

    pub(super) fn adapter(&self, fixture: &Fixture) -> SftpAdapter {
        SftpAdapter::new(&self.platform(json!({}), json!({})), fixture.assets.clone()).unwrap()
    }

    /// All files that came in, by their path.
    pub(super) fn files(&self) -> BTreeMap<String, Received> {
        let mut found = BTreeMap::new();
        collect(&self.incoming(), &self.incoming(), &mut found);
        found
    }

    /// A wire to the server that can be cut.
    pub(super) async fn proxy(&self) -> Proxy {
        Proxy::start(self.sshd.port()).await
    }
}

/// Makes or changes a key.
pub(super) fn keygen(arguments: &[&str], path: &Path) {
    let made = Command::new("ssh-keygen")
        .arg("-q")
        .args(arguments)
        .arg("-f")
        .arg(path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn options(directory: &Path, port: Option<u16>) -> SshdOptions {
    SshdOptions {
        state: directory.join("state"),
        root: directory.join("root"),
        port,
    }
}

fn collect(root: &Path, directory: &Path, found: &mut BTreeMap<String, Received>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
            continue;
        }
        let metadata = fs::metadata(&path).unwrap();
        let received = Received {
            bytes: fs::read(&path).unwrap(),
            inode: metadata.ino(),
            changed: metadata.modified().unwrap(),
        };
        let name = path.strip_prefix(root).unwrap();
        found.insert(name.display().to_string(), received);
    }
}

/// A wire to a server: it counts, and stops at a byte as told.
pub(super) struct Proxy {
    port: u16,
    wire: Arc<Wire>,
}

struct Wire {
    /// Bytes to the server, over all connections.
    up: AtomicU64,
    /// After so many nothing more is taken from the client; the connection stays.
    up_limit: AtomicU64,
    /// After so many the connection that carries them is closed, once.
    up_cut: AtomicU64,
    /// Bytes from the server, over all connections.
    down: AtomicU64,
    /// After so many the connection is closed.
    down_limit: AtomicU64,
    connections: AtomicU64,
    stalled: Notify,
    going_on: Notify,
    /// One permit for each connection that the client closed.
    closed: Semaphore,
}

impl Proxy {
    async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wire = Arc::new(Wire {
            up: AtomicU64::new(0),
            up_limit: AtomicU64::new(u64::MAX),
            up_cut: AtomicU64::new(u64::MAX),
            down: AtomicU64::new(0),
            down_limit: AtomicU64::new(u64::MAX),
            connections: AtomicU64::new(0),
            stalled: Notify::new(),
            going_on: Notify::new(),
            closed: Semaphore::new(0),
        });
        let accepting = Arc::clone(&wire);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connect(Arc::clone(&accepting), client, server_port));
            }
        });
        Self { port, wire }
    }

    /// The partner's platform, reached over this wire.
    pub(super) fn platform(&self, partner: &Partner, format_specs: Value) -> Platform {
        let endpoint = format!(
            "sftp://127.0.0.1:{}{}",
            self.port,
            partner.incoming().display()
        );
        partner.platform_at(&endpoint, json!({}), format_specs)
    }

    pub(super) fn connections(&self) -> u64 {
        self.wire.connections.load(Ordering::SeqCst)
    }

    pub(super) fn bytes_up(&self) -> u64 {
        self.wire.up.load(Ordering::SeqCst)
    }

    pub(super) fn bytes_down(&self) -> u64 {
        self.wire.down.load(Ordering::SeqCst)
    }

    /// From now on so many bytes to the server pass.
    pub(super) fn stall_up_after(&self, bytes: u64) {
        let limit = self.bytes_up().saturating_add(bytes);
        self.wire.up_limit.store(limit, Ordering::SeqCst);
    }

    /// What is held to the server goes on, and all that follows.
    pub(super) fn go_on(&self) {
        self.stall_up_after(u64::MAX);
        self.wire.going_on.notify_waiters();
    }

    /// When so many more bytes to the server have passed, the connection that carries them is closed.
    pub(super) fn cut_up_once_after(&self, bytes: u64) {
        let limit = self.bytes_up().saturating_add(bytes);
        self.wire.up_cut.store(limit, Ordering::SeqCst);
    }

    /// Whether a cut that was asked for is still to come.
    pub(super) fn is_cut_to_come(&self) -> bool {
        self.wire.up_cut.load(Ordering::SeqCst) != u64::MAX
    }

    /// From now on so many bytes from the server pass.
    pub(super) fn cut_down_after(&self, bytes: u64) {
        let limit = self.bytes_down().saturating_add(bytes);
        self.wire.down_limit.store(limit, Ordering::SeqCst);
    }

    /// Waits until the limit to the server is reached.
    pub(super) async fn stalled(&self) {
        self.wire.stalled.notified().await;
    }

    /// Waits until the client has closed a connection.
    pub(super) async fn closed_by_client(&self) {
        self.wire.closed.acquire().await.unwrap().forget();
    }
}

async fn connect(wire: Arc<Wire>, client: TcpStream, server_port: u16) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whichever direction ends first ends both.
    tokio::select! {
        () = up(&wire, from_client, to_server) => wire.closed.add_permits(1),
        () = down(&wire, from_server, to_client) => {}
    }
}

async fn up(wire: &Wire, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if wire.up.load(Ordering::SeqCst) >= wire.up_limit.load(Ordering::SeqCst) {
            wire.stalled.notify_one();
            // That the client went away shows once what it sent has been read.
            let mut held = Vec::new();
            loop {
                tokio::select! {
                    read = from.read(&mut buffer) => match read {
                        Ok(read @ 1..) => held.extend_from_slice(&buffer[..read]),
                        _ => return,
                    },
                    () = wire.going_on.notified() => break,
                }
            }
            wire.up.fetch_add(held.len() as u64, Ordering::SeqCst);
            if to.write_all(&held).await.is_err() {
                return;
            }
            continue;
        }
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let passed = wire.up.fetch_add(read as u64, Ordering::SeqCst);
        let cut = wire.up_cut.load(Ordering::SeqCst);
        if passed + read as u64 > cut {
            wire.up_cut.store(u64::MAX, Ordering::SeqCst);
            let _cut = to.write_all(&buffer[..(cut - passed) as usize]).await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn down(wire: &Wire, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let passed = wire.down.fetch_add(read as u64, Ordering::SeqCst);
        let room = wire.down_limit.load(Ordering::SeqCst) - passed;
        if room < read as u64 {
            let _cut = to.write_all(&buffer[..room as usize]).await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
