//! The first steps of a connection, up to the server's host key: reaching it, agreeing on
//! algorithms, seeing who it is.

use std::{io, net::TcpStream, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ssh2::{ErrorCode, HashType};

use super::{
    algorithms::{self, host_key_kinds},
    endpoint::{Endpoint, Server},
    offer,
    pool::Line,
    session::{fault, ssh_error},
};
use crate::{Code, Fault};

/// How long one address of the host is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

const CLOSED_REMEDY: &str = "The worker tries again by itself. If it lasts: the partner may allow \
                             fewer connections (format_specs.sftp.connections), not know this \
                             machine's address, or have no SFTP server at the port in \
                             api_endpoint. Ask it which.";

/// A server's host key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// `Ed25519`, `ECDSA`, `RSA`.
    pub kind: &'static str,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

/// The host keys that a server shows, one of each kind that it has, the one that is used where all
/// can be first.
pub(super) fn host_keys(server: &Server) -> Result<Vec<HostKey>, Fault> {
    let mut keys = Vec::new();
    let mut last = None;
    for (kind, algorithms) in host_key_kinds(&server.old_algorithms) {
        match handshake(server, &Line::default(), &algorithms) {
            Ok((_, fingerprint)) => keys.push(HostKey { kind, fingerprint }),
            // A server without a key of this kind refuses the handshake.
            Err(fault) if fault.code == Code::ConnectionFailed => last = Some(fault),
            Err(fault) => return Err(fault),
        }
    }
    match last {
        Some(fault) if keys.is_empty() => Err(fault),
        _ => Ok(keys),
    }
}

/// Connects up to the host key, which is the pinned one when this returns.
pub(super) fn greet(endpoint: &Endpoint, line: &Line) -> Result<(ssh2::Session, String), Fault> {
    let server = &endpoint.server;
    if let (Some(kind), Some(pinned)) = (endpoint.host_key_kind.get(), &endpoint.host_key)
        && let Ok((ssh, offered)) = handshake(server, line, kind)
        && offered == *pinned
    {
        return Ok((ssh, offered));
    }
    let kinds = host_key_kinds(&server.old_algorithms);
    let all: Vec<&str> = kinds.iter().map(|(_, names)| names.as_str()).collect();
    let (ssh, offered) = handshake(server, line, &all.join(","))?;
    let id = endpoint.platform;
    let Some(pinned) = &endpoint.host_key else {
        return Err(Fault::new(
            Code::SettingsInvalid,
            format!(
                "no host key is pinned for {}; the server shows {offered}",
                server.site
            ),
        )
        .with_remedy(format!(
            "Ask the partner whether {offered} is its host key. If it is, pin it with \
             `platforms host-key {id} --pin {offered} --reason TEXT`."
        )));
    };
    if *pinned == offered {
        return Ok((ssh, offered));
    }
    for (_, kind) in kinds {
        // A server without a key of this kind refuses the handshake.
        if let Ok((ssh, other)) = handshake(server, line, &kind)
            && other == *pinned
        {
            // Another connection may have found it at the same time.
            let _known = endpoint.host_key_kind.set(kind);
            return Ok((ssh, other));
        }
    }
    Err(Fault::new(
        Code::HostKeyChanged,
        format!(
            "the host key of {} is {offered}, not the pinned {pinned}; nothing was sent",
            server.site
        ),
    )
    .with_remedy(format!(
        "Ask the partner whether it changed its host key. Only if it says so, pin the new one with \
         `platforms host-key {id} --pin {offered} --reason TEXT` and let the platform go on with \
         `platforms resume {id} --reason TEXT`."
    )))
}

fn handshake(
    server: &Server,
    line: &Line,
    host_keys: &str,
) -> Result<(ssh2::Session, String), Fault> {
    let failed = |words: &str| {
        Fault::new(
            Code::ConnectionFailed,
            format!("cannot connect to {}: {words}", server.site),
        )
    };
    let socket = dial(server)?;
    let handle = socket
        .try_clone()
        .map_err(|error| failed(&error.to_string()))?;
    if !line.attach(handle) {
        return Err(failed("the delivery was stopped"));
    }
    let mut ssh = ssh2::Session::new().map_err(|error| failed(error.message()))?;
    ssh.set_timeout(u32::try_from(server.answer_timeout.as_millis()).unwrap_or(u32::MAX));
    algorithms::restrict(&ssh, host_keys, &server.old_algorithms)
        .map_err(|error| failed(error.message()))?;
    ssh.set_tcp_stream(socket);
    if let Err(error) = ssh.handshake() {
        return Err(refusal(server, &ssh, &error));
    }
    let digest = ssh
        .host_key_hash(HashType::Sha256)
        .ok_or_else(|| failed("the server showed no host key"))?;
    let fingerprint = format!("SHA256:{}", STANDARD_NO_PAD.encode(digest));
    Ok((ssh, fingerprint))
}

/// Why a handshake failed, in words that lead on.
fn refusal(server: &Server, ssh: &ssh2::Session, error: &ssh2::Error) -> Fault {
    let site = &server.site;
    let ErrorCode::Session(number) = error.code() else {
        return fault(site, "the SSH handshake", error);
    };
    match number {
        ssh_error::TIMEOUT | ssh_error::SOCKET_TIMEOUT => Fault::new(
            Code::TimedOut,
            format!(
                "{site} took the connection and did not go on with the SSH handshake within {} \
                 seconds",
                server.answer_timeout.as_secs()
            ),
        )
        .with_remedy(
            "The worker tries again by itself. If it lasts, ask the partner whether its SFTP \
             server works, and whether the port in api_endpoint is that of SFTP.",
        ),
        ssh_error::BANNER_RECV | ssh_error::SOCKET_DISCONNECT | ssh_error::SOCKET_RECV => {
            Fault::new(
                Code::ConnectionFailed,
                format!("{site} closed the connection before the SSH handshake was done"),
            )
            .with_remedy(CLOSED_REMEDY)
        }
        _ => offer::explain(server, ssh).unwrap_or_else(|| {
            Fault::new(
                Code::ConnectionFailed,
                format!("the SSH handshake with {site} failed: {}", error.message()),
            )
            .with_remedy(CLOSED_REMEDY)
        }),
    }
}

/// Connects to the first address that answers.
pub(super) fn dial(server: &Server) -> Result<TcpStream, Fault> {
    let failed = |code, words: String| {
        Fault::new(code, format!("cannot connect to {}: {words}", server.site))
    };
    let addresses = server
        .addresses()
        .map_err(|error| failed(Code::ConnectionFailed, error.to_string()))?;
    let mut last = failed(Code::ConnectionFailed, "the name has no address".to_owned());
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(socket) => {
                // Without it small requests wait for the answer to the one before; nothing breaks.
                let _slower = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                last = failed(Code::TimedOut, format!("{address} does not answer"));
            }
            Err(error) => {
                last = failed(Code::ConnectionFailed, format!("{address}: {error}"));
            }
        }
    }
    Err(last)
}
