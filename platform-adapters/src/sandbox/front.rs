//! What senders meet at an SFTP partner that is to ill-treat connections: it carries them to the
//! partner's server, or to one like it that does something wrong, or breaks or stalls them.

use std::{io, net::Ipv4Addr, path::Path, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::{
    Misbehaviour, Misbehaviours, Sshd, SshdError,
    misbehave::{self, SharedCourse},
    sshd::Manner,
};

/// The keys that make a server the same for those who come to it.
const HOST_KEYS: [&str; 2] = ["host_key", "host_key_ecdsa"];
const CLIENT_KEY: &str = "client_key";

/// All connections go through one plan, whatever they are for.
const ANY: &str = "connection";

/// What somebody says whose port this is not.
const PAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nIt works!";

/// The partner's server, and those like it that do something wrong.
#[derive(Debug)]
pub(super) struct Backstage {
    sound: u16,
    full: Option<Sshd>,
    read_only: Option<Sshd>,
    locked: Option<Sshd>,
    stranger: Option<Sshd>,
}

impl Backstage {
    /// Starts the servers that a plan asks for.
    pub(super) async fn prepare(
        sound: &Sshd,
        root: &Path,
        plan: &Misbehaviours,
    ) -> Result<Self, SshdError> {
        let twin = async |what: Misbehaviour, name: &str, keys: &[&str], manner: Manner<'_>| {
            if !plan.contains(&what) {
                return Ok(None);
            }
            let keys = [keys, &[CLIENT_KEY]].concat();
            let twin = sound.twin(root.join(name), &keys, &manner).await;
            twin.map(Some)
        };
        let directed = |directives| Manner {
            directives,
            ..Manner::default()
        };
        let full = Manner {
            has_no_room: true,
            ..Manner::default()
        };
        Ok(Self {
            sound: sound.port(),
            full: twin(Misbehaviour::Full, "sshd-full", &HOST_KEYS, full).await?,
            read_only: twin(
                Misbehaviour::ReadOnly,
                "sshd-read-only",
                &HOST_KEYS,
                directed(&["ForceCommand internal-sftp -R"]),
            )
            .await?,
            locked: twin(
                Misbehaviour::RefuseCredentials,
                "sshd-locked",
                &HOST_KEYS,
                directed(&["AuthorizedKeysFile none"]),
            )
            .await?,
            stranger: twin(
                Misbehaviour::OtherHostKey,
                "sshd-stranger",
                &[],
                Manner::default(),
            )
            .await?,
        })
    }

    /// The server for a connection that is treated so.
    fn port(&self, what: Option<&Misbehaviour>) -> u16 {
        let other = match what {
            Some(Misbehaviour::Full) => self.full.as_ref(),
            Some(Misbehaviour::ReadOnly) => self.read_only.as_ref(),
            Some(Misbehaviour::RefuseCredentials) => self.locked.as_ref(),
            Some(Misbehaviour::OtherHostKey) => self.stranger.as_ref(),
            _ => None,
        };
        other.map_or(self.sound, Sshd::port)
    }
}

/// Where senders come to. Closed, with all its connections, when dropped.
#[derive(Debug)]
pub(super) struct Front {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Front {
    pub(super) async fn start(
        port: Option<u16>,
        backstage: Backstage,
        course: SharedCourse,
    ) -> io::Result<Self> {
        let address = (Ipv4Addr::LOCALHOST, port.unwrap_or_default());
        let listener = TcpListener::bind(address).await?;
        let port = listener.local_addr()?.port();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    continue;
                };
                // What cannot be kept is not done wrong.
                let what = misbehave::lock(&course).next(ANY).ok().flatten();
                let server = backstage.port(what.as_ref());
                connections.spawn(treat(client, server, what));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, accepting })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Carries a connection to its end. Errors end it, which is all that they mean here.
async fn treat(mut client: TcpStream, server: u16, what: Option<Misbehaviour>) {
    let (mut cut_after, mut stall_after) = (u64::MAX, u64::MAX);
    match what {
        Some(Misbehaviour::Unavailable { .. } | Misbehaviour::TooManyRequests { .. }) => return,
        Some(Misbehaviour::Garbage) => {
            let _answered = client.write_all(PAGE).await;
            return;
        }
        Some(Misbehaviour::Slow { by }) => sleep(by).await,
        Some(Misbehaviour::CutAfter { bytes }) => cut_after = bytes,
        Some(Misbehaviour::Stall { after }) => stall_after = after,
        _ => {}
    }
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else {
        return;
    };
    let (from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let limit = cut_after.min(stall_after);
    let up = async {
        let mut limited = AsyncReadExt::take(from_client, limit);
        let _ended = copy(&mut limited, &mut to_server).await;
        if limited.limit() == 0 && stall_after < cut_after {
            hold(limited.into_inner()).await;
        }
    };
    let down = async {
        if stall_after > 0 {
            let _ended = copy(&mut from_server, &mut to_client).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Keeps a connection open, and takes nothing from it, until the other end is tired of it.
async fn hold(connection: impl AsyncRead + Unpin) {
    /// How often it is looked whether the other end is still there.
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    let mut connection = connection;
    let mut byte = [0];
    loop {
        sleep(LOOK_EVERY).await;
        if !matches!(connection.read(&mut byte).await, Ok(1..)) {
            return;
        }
    }
}
