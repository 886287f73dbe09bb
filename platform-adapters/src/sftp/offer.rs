//! What a server offers for the handshake (SSH_MSG_KEXINIT, RFC 4253 section 7.1), read in plain to
//! say why no agreement was found: libssh2 only says that there is none.

use std::io::{self, BufRead, BufReader, Read, Write};

use super::{algorithms, endpoint::Server, greeting::dial};
use crate::{
    Code, Fault,
    settings::{AlgorithmKind, OldAlgorithm},
};

const SSH_MSG_KEXINIT: u8 = 20;

/// RFC 4253 section 4.2: a line of the greeting has 255 bytes at most.
const LINE_MAX_BYTES: u64 = 255;

/// Lines that a server may say before it says that it is SSH.
const LINES_MAX: usize = 50;

/// RFC 4253 section 6.1: the packet that every implementation must take.
const PACKET_MAX_BYTES: u32 = 35_000;

/// The lists in the packet that matter, in its order; those towards us are as those from us.
const LISTS: [Option<AlgorithmKind>; 6] = [
    Some(AlgorithmKind::KeyExchange),
    Some(AlgorithmKind::HostKey),
    Some(AlgorithmKind::Cipher),
    None,
    Some(AlgorithmKind::Mac),
    None,
];

/// The fault of a handshake that found no agreement; `None` where the offer says nothing about it.
pub(super) fn explain(server: &Server, ssh: &ssh2::Session) -> Option<Fault> {
    let offered = read(server).ok()?;
    let mut problems = Vec::new();
    let mut ways_out = Vec::new();
    for (kind, names) in offered {
        let ours = algorithms::allowed(ssh, kind, &server.old_algorithms).ok()?;
        if names.iter().any(|name| ours.contains(name)) {
            continue;
        }
        problems.push(format!("{} {}", kind.as_str(), names.join(", ")));
        let way_out = OldAlgorithm::ALL
            .iter()
            .find(|old| old.kind() == kind && names.iter().any(|name| name == old.name()));
        ways_out.push(way_out.map(|old| format!("{:?}", old.name())));
    }
    if problems.is_empty() {
        return None;
    }
    let fault = Fault::new(
        Code::SettingsInvalid,
        format!(
            "{} knows only algorithms that are not used: {}",
            server.site,
            problems.join("; ")
        ),
    );
    Some(match ways_out.into_iter().collect::<Option<Vec<String>>>() {
        Some(old) => fault.with_remedy(format!(
            "Ask the partner to bring its SSH server up to date. Until it has, allow what it needs: \
             add {} to format_specs.sftp.old_algorithms and let the platform go on with `platforms \
             resume`.",
            old.join(", ")
        )),
        None => fault.with_remedy(
            "Ask the partner to bring its SSH server up to date: the worker knows none of these.",
        ),
    })
}

/// The lists of the server's offer.
fn read(server: &Server) -> io::Result<Vec<(AlgorithmKind, Vec<String>)>> {
    let mut socket = dial(server).map_err(|fault| io::Error::other(fault.message))?;
    socket.set_read_timeout(Some(server.answer_timeout))?;
    socket.write_all(b"SSH-2.0-tunemantra\r\n")?;
    let mut reader = BufReader::new(socket);
    let mut lines = 0;
    loop {
        let mut line = Vec::new();
        reader
            .by_ref()
            .take(LINE_MAX_BYTES)
            .read_until(b'\n', &mut line)?;
        lines += 1;
        if line.starts_with(b"SSH-") {
            break;
        }
        if line.is_empty() || lines == LINES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > PACKET_MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut packet = Vec::new();
    reader.take(length.into()).read_to_end(&mut packet)?;
    lists(&packet).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The lists in a packet: padding length, message number, 16 bytes of cookie, then name-lists.
fn lists(packet: &[u8]) -> Option<Vec<(AlgorithmKind, Vec<String>)>> {
    if *packet.get(1)? != SSH_MSG_KEXINIT {
        return None;
    }
    let mut rest = packet.get(18..)?;
    let mut found = Vec::new();
    for kind in LISTS {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (names, after) = after.split_at_checked(length)?;
        rest = after;
        if let Some(kind) = kind {
            let names = std::str::from_utf8(names).ok()?;
            found.push((kind, names.split(',').map(str::to_owned).collect()));
        }
    }
    Some(found)
}
