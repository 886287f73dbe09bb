//! Files of the database as one ZIP, made while it is sent: however many they are, a few are in memory.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use futures_util::stream;
use jobs::royalty::{
    document::Layout,
    sets::{self, StatementSet},
};
use sqlx::PgPool;
use tokio::{runtime::Handle, sync::mpsc};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Files that are read at once.
const BATCH: i64 = 20;
/// Bytes that are sent at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait for a slow reader.
const CHUNKS: usize = 4;

/// The statements of a set, as the body of an answer. It breaks off where they cannot be read.
pub(super) fn body(pool: PgPool, set: StatementSet) -> Body {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let mut outlet = Outlet {
            sender,
            waiting: Vec::new(),
        };
        if let Err(error) = write(&Handle::current(), &pool, &set, &mut outlet) {
            tracing::warn!(%error, set = %set.id, "an archive of statements broke off");
            // Whoever reads has gone, or is to see that it is not whole.
            let _ = outlet.sender.blocking_send(Err(error));
        }
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    }))
}

fn write(
    runtime: &Handle,
    pool: &PgPool,
    set: &StatementSet,
    outlet: &mut Outlet,
) -> io::Result<()> {
    let method = match set.layout {
        Layout::Csv => CompressionMethod::Deflated,
        // It is compressed already.
        Layout::Pdf => CompressionMethod::Stored,
    };
    let options = SimpleFileOptions::default().compression_method(method);
    let mut zip = ZipWriter::new_stream(outlet);
    let mut after = None;
    loop {
        let files = runtime.block_on(async {
            let mut conn = pool.acquire().await?;
            sets::files(&mut conn, set, after, BATCH).await
        });
        let files = files.map_err(io::Error::other)?;
        let Some(last) = files.last() else { break };
        after = Some(last.payee);
        for file in &files {
            zip.start_file(&file.name, options)?;
            zip.write_all(&file.body)?;
        }
    }
    zip.finish()?.into_inner().flush()
}

/// Gives what is written to it to the answer.
struct Outlet {
    sender: mpsc::Sender<io::Result<Bytes>>,
    waiting: Vec<u8>,
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.waiting));
        self.sender
            .blocking_send(Ok(chunk))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
