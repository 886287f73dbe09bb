//! From the asset store's asynchronous stream to a connection's blocking thread: pieces through a
//! bounded channel, so that a slow partner holds the reading back.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    time,
};

use super::{pool::KEEP_ALIVE, session::Session};
use crate::{
    Code, Fault,
    package::{AssetStore, PackagedFile},
};

/// Small reads are gathered to pieces of this size, so that the thread is not woken for each.
const PIECE_BYTES: usize = 512 * 1024;

/// Pieces on their way between the store, which reads ahead by itself, and the thread.
const PIECES: usize = 1;

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

/// The thread's end.
pub(super) struct Feed {
    pieces: mpsc::Receiver<Piece>,
    is_ended: bool,
}

/// The two ends of a feed.
pub(super) fn channel() -> (mpsc::Sender<Piece>, Feed) {
    let (sender, pieces) = mpsc::channel(PIECES);
    let feed = Feed {
        pieces,
        is_ended: false,
    };
    (sender, feed)
}

impl Feed {
    /// The file was complete and what was packaged: nothing more comes.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The next bytes; waits for them only where there is nothing else to do. `None`: not yet, or no
    /// more.
    pub(super) fn next(
        &mut self,
        session: &Session,
        may_wait: bool,
    ) -> Result<Option<Bytes>, Fault> {
        // The delivery was dropped before the file was complete.
        let abandoned = || Fault::new(Code::WorkerStopped, "the delivery was stopped");
        let piece = if may_wait {
            self.pieces.blocking_recv().ok_or_else(abandoned)?
        } else {
            match self.pieces.try_recv() {
                Ok(piece) => piece,
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Err(abandoned()),
            }
        };
        match piece {
            Piece::Bytes(bytes) => return Ok(Some(bytes)),
            Piece::Wait => session.keep_alive(),
            Piece::Failed(fault) => return Err(fault),
            Piece::End => self.is_ended = true,
        }
        Ok(None)
    }
}

/// Sends a range of a file. Ends early when the thread listens no more.
///
/// A range that is the whole file is compared with the package's hash sum as it passes.
pub(super) async fn pump(
    assets: &AssetStore,
    file: &PackagedFile,
    range: Range<u64>,
    pieces: mpsc::Sender<Piece>,
) {
    let last = match pump_bytes(assets, file, range, &pieces).await {
        Ok(()) => Piece::End,
        Err(fault) => Piece::Failed(fault),
    };
    // A thread that listens no more has said why by itself.
    let _unheard = pieces.send(last).await;
}

async fn pump_bytes(
    assets: &AssetStore,
    file: &PackagedFile,
    range: Range<u64>,
    pieces: &mpsc::Sender<Piece>,
) -> Result<(), Fault> {
    let mut stream = assets.stream(file, range.start).await?;
    let is_to_end = range.end == file.size;
    let mut left = range.end.saturating_sub(range.start);
    let mut gathered = BytesMut::new();
    while is_to_end || left > 0 {
        let Ok(next) = time::timeout(KEEP_ALIVE, stream.next()).await else {
            if pieces.send(Piece::Wait).await.is_err() {
                return Ok(());
            }
            continue;
        };
        let is_end = next.is_none();
        let mut chunk = next.transpose()?.unwrap_or_default();
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= u64::try_from(chunk.len()).unwrap_or_default();
        let piece = gather(&mut gathered, chunk, is_end || left == 0);
        if !piece.is_empty() && pieces.send(Piece::Bytes(piece)).await.is_err() {
            return Ok(());
        }
        if is_end {
            return Ok(());
        }
    }
    Ok(())
}

/// Puts small chunks together; what is large enough goes as it is.
fn gather(gathered: &mut BytesMut, chunk: Bytes, is_last: bool) -> Bytes {
    if gathered.is_empty() && (is_last || chunk.len() >= PIECE_BYTES) {
        return chunk;
    }
    gathered.extend_from_slice(&chunk);
    if is_last || gathered.len() >= PIECE_BYTES {
        return gathered.split().freeze();
    }
    Bytes::new()
}
