//! From the asset store's asynchronous stream to a connection's blocking thread: pieces through a
//! bounded channel, so that a slow partner holds the reading back.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::{sync::mpsc, time};

use super::pool::KEEP_ALIVE;
use crate::{
    Fault,
    package::{AssetStore, PackagedFile},
};

/// Small reads are gathered to pieces of this size, so that the thread is not woken for each.
const PIECE_BYTES: usize = 512 * 1024;

/// Pieces on their way between the store and the thread.
const PIECES: usize = 2;

/// What the thread is fed with.
pub(super) enum Piece {
    /// The next bytes of the file.
    Bytes(Bytes),
    /// The store is slow: keep the connection alive meanwhile.
    Wait,
    /// The store failed, or the file is not what was packaged.
    Failed(Fault),
    /// The file is complete and is what was packaged. Without it nothing counts as complete.
    End,
}

/// The two ends of a feed.
pub(super) fn channel() -> (mpsc::Sender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::channel(PIECES)
}

/// Sends a file from `offset` on. Ends early when the thread listens no more.
pub(super) async fn pump(
    assets: &AssetStore,
    file: &PackagedFile,
    offset: u64,
    pieces: mpsc::Sender<Piece>,
) {
    let last = match pump_bytes(assets, file, offset, &pieces).await {
        Ok(()) => Piece::End,
        Err(fault) => Piece::Failed(fault),
    };
    // A thread that listens no more has said why by itself.
    let _unheard = pieces.send(last).await;
}

async fn pump_bytes(
    assets: &AssetStore,
    file: &PackagedFile,
    offset: u64,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), Fault> {
    if offset == file.size && offset > 0 {
        return Ok(());
    }
    let mut stream = assets.stream(file, offset).await?;
    let mut gathered = BytesMut::with_capacity(PIECE_BYTES);
    loop {
        let Ok(next) = time::timeout(KEEP_ALIVE, stream.next()).await else {
            if pieces.send(Piece::Wait).await.is_err() {
                return Ok(());
            }
            continue;
        };
        let is_end = next.is_none();
        if let Some(chunk) = next {
            gathered.extend_from_slice(&chunk?);
        }
        let is_due = gathered.len() >= PIECE_BYTES || (is_end && !gathered.is_empty());
        if is_due
            && pieces
                .send(Piece::Bytes(gathered.split().freeze()))
                .await
                .is_err()
        {
            return Ok(());
        }
        if is_end {
            return Ok(());
        }
    }
}
