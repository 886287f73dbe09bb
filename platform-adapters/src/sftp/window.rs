//! The upload of one file's bytes: a window of them is always under way, so that neither the
//! distance to the partner nor the size of single writes sets the pace.

use std::{
    io::{Seek, SeekFrom, Write},
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use ssh2::File;

use super::{feed::Feed, session::Session};
use crate::Fault;

/// Bytes under way at once. OpenSSH takes no more on one connection before it acknowledges some.
const WINDOW_BYTES: usize = 2 * 1024 * 1024;

/// The window is filled up when this much of it is free, not at each acknowledgement.
const REFILL_BYTES: usize = 512 * 1024;

/// Acknowledged bytes that stay before the window until it is moved to the front.
const SLACK_BYTES: usize = 1024 * 1024;

/// Writes what the feed gives to an open file from `offset` on, after `first`, and closes it.
/// `acknowledged` counts the bytes that the partner has.
pub(super) fn write_all(
    session: &Session,
    mut file: File,
    doing: &str,
    offset: u64,
    first: Bytes,
    feed: &mut Feed,
    acknowledged: &AtomicU64,
) -> Result<(), Fault> {
    file.seek(SeekFrom::Start(offset))
        .map_err(|error| session.io_fault(doing, &error))?;
    let mut window = Window::default();
    window.add(&first);
    drop(first);
    loop {
        if !feed.is_ended() && window.has_room() {
            match feed.next(session, window.is_empty())? {
                Some(bytes) => window.add(&bytes),
                None if window.is_empty() && !feed.is_ended() => continue,
                None => {}
            }
        }
        if !window.is_empty() {
            // Fewer bytes than given are the rule: those that the partner has acknowledged. The
            // others are under way, and libssh2 wants to see them again at the next call.
            let count = file
                .write(window.unacknowledged())
                .map_err(|error| session.write_fault(&mut file, doing, &error))?;
            window.acknowledge(count);
            acknowledged.fetch_add(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
        } else if feed.is_ended() {
            break;
        }
    }
    file.close().map_err(|error| session.fault(doing, &error))
}

/// Bytes that were given to libssh2 and not acknowledged yet, and those to follow.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    acknowledged: usize,
}

impl Window {
    fn unacknowledged(&self) -> &[u8] {
        self.bytes.get(self.acknowledged..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.unacknowledged().is_empty()
    }

    fn has_room(&self) -> bool {
        self.unacknowledged().len() + REFILL_BYTES <= WINDOW_BYTES
    }

    fn add(&mut self, more: &[u8]) {
        // Moved together only now and then: an acknowledgement covers 30 kB.
        if self.acknowledged >= SLACK_BYTES || self.is_empty() {
            self.bytes.drain(..self.acknowledged);
            self.acknowledged = 0;
        }
        // Growing by doubling would take twice as much.
        self.bytes.reserve_exact(
            (WINDOW_BYTES + SLACK_BYTES + more.len()).saturating_sub(self.bytes.len()),
        );
        self.bytes.extend_from_slice(more);
    }

    fn acknowledge(&mut self, count: usize) {
        self.acknowledged = (self.acknowledged + count).min(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_gives_every_byte_once_and_stays_small() {
        let source: Vec<u8> = (0..40_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut window = Window::default();
        let mut given = Vec::with_capacity(source.len());
        let mut rest = source.as_slice();
        while !(rest.is_empty() && window.is_empty()) {
            if window.has_room() && !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(REFILL_BYTES));
                window.add(piece);
                rest = after;
            }
            let count = window.unacknowledged().len().min(30_000);
            given.extend_from_slice(&window.unacknowledged()[..count]);
            window.acknowledge(count);
            assert!(window.bytes.len() <= WINDOW_BYTES + SLACK_BYTES + REFILL_BYTES);
        }
        assert!(given == source);
    }
}
