//! A database that falls silent: a network that swallows everything, a firewall that has forgotten the
//! connection, a server that is gone without a word. Whoever waits for an answer would wait for as long
//! as the operating system does, a quarter of an hour or for ever. So the daemon asks from time to time,
//! and when no answer comes it cuts its connections to there: everybody who waits gets an error, and
//! does what is done after any other.
//!
//! sqlx gives nobody its sockets, so that neither TCP's own keepalive nor its limit for what is not
//! acknowledged can be set, and a proxy on the way would acknowledge all the same. The process finds the
//! sockets among those it has open.

use std::{collections::HashSet, fs, net::SocketAddr, os::fd::RawFd, time::Duration};

use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, shutdown};
use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio_util::task::AbortOnDropHandle;

/// Asks so often within the time after which a database counts as silent.
const ASKS: u32 = 3;

/// Watches over the databases that `pool` and `direct` lead to, until the answer is dropped. One that
/// has not answered for `patience` is silent.
pub(crate) fn watch(
    pool: &PgPool,
    direct: &PgConnectOptions,
    patience: Duration,
) -> Vec<AbortOnDropHandle<()>> {
    let mut places = vec![(*pool.connect_options()).clone()];
    if !is_same_place(&places, direct) {
        places.push(direct.clone());
    }
    // Nothing gets lost on the way to a socket of this machine.
    places.retain(|place| place.get_socket().is_none() && !place.get_host().starts_with('/'));
    let watches = places
        .into_iter()
        .map(|options| AbortOnDropHandle::new(tokio::spawn(Watch::new(options, patience).run())));
    watches.collect()
}

fn is_same_place(known: &[PgConnectOptions], other: &PgConnectOptions) -> bool {
    known.iter().any(|one| {
        one.get_host() == other.get_host()
            && one.get_port() == other.get_port()
            && one.get_socket() == other.get_socket()
    })
}

struct Watch {
    options: PgConnectOptions,
    patience: Duration,
    /// The connection by which it asks.
    connection: Option<PgConnection>,
    /// All addresses that the database's name has had: after a failover the connections that are dead
    /// lead to one that it has no more.
    addresses: HashSet<SocketAddr>,
    is_silent: bool,
}

impl Watch {
    fn new(options: PgConnectOptions, patience: Duration) -> Self {
        Self {
            options,
            patience,
            connection: None,
            addresses: HashSet::new(),
            is_silent: false,
        }
    }

    async fn run(mut self) {
        loop {
            self.ask_in_time().await;
            tokio::time::sleep(self.patience / ASKS).await;
        }
    }

    async fn ask_in_time(&mut self) {
        let patience = self.patience;
        match tokio::time::timeout(patience, self.ask()).await {
            Ok(Ok(())) => {
                if std::mem::take(&mut self.is_silent) {
                    tracing::info!(host = self.options.get_host(), "the database answers again");
                }
            }
            // It is away and says so: those who need it hear it themselves.
            Ok(Err(error)) => {
                self.connection = None;
                tracing::debug!(%error, "the database was asked in vain whether it answers");
            }
            Err(_) => {
                self.connection = None;
                let connections = cut(&self.addresses);
                self.is_silent = true;
                tracing::warn!(
                    host = self.options.get_host(),
                    connections,
                    "the database has not answered for {} s: the connections to it are given up",
                    patience.as_secs_f64()
                );
            }
        }
    }

    async fn ask(&mut self) -> Result<(), sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let place = (self.options.get_host(), self.options.get_port());
                self.addresses.extend(tokio::net::lookup_host(place).await?);
                let connection = PgConnection::connect_with(&self.options).await?;
                self.connection.insert(connection)
            }
        };
        connection.ping().await
    }
}

/// Ends this process's connections to these addresses, both ways and at once. How many there were.
fn cut(addresses: &HashSet<SocketAddr>) -> usize {
    let open = match fs::read_dir("/proc/self/fd") {
        Ok(open) => open,
        Err(error) => {
            tracing::warn!(%error, "the process's own connections cannot be looked at");
            return 0;
        }
    };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter(|number| peer(*number).is_some_and(|peer| addresses.contains(&peer)))
        // One that was closed meanwhile needs no more.
        .filter(|number| shutdown(*number, Shutdown::Both).is_ok())
        .count()
}

/// Where the other end of a connection is. `None`: it is no connection over TCP.
fn peer(number: RawFd) -> Option<SocketAddr> {
    let peer: SockaddrStorage = getpeername(number).ok()?;
    let v4 = peer
        .as_sockaddr_in()
        .map(|it| SocketAddr::from((it.ip(), it.port())));
    v4.or_else(|| {
        peer.as_sockaddr_in6()
            .map(|it| SocketAddr::from((it.ip(), it.port())))
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn only_connections_to_these_addresses_are_cut() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("[::1]:0").unwrap();
        let mut waiting = TcpStream::connect(silent.local_addr().unwrap()).unwrap();
        let mut sound = TcpStream::connect(other.local_addr().unwrap()).unwrap();
        // Kept, and nothing is ever said.
        let ends = [silent.accept().unwrap(), other.accept().unwrap()];
        assert_eq!(cut(&HashSet::from([silent.local_addr().unwrap()])), 1);
        assert_eq!(waiting.read(&mut [0]).unwrap(), 0, "whoever waits is told");
        sound.set_nonblocking(true).unwrap();
        let error = sound.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(cut(&HashSet::from([other.local_addr().unwrap()])), 1);
        drop(ends);
    }
}
