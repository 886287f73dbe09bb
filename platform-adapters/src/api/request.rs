//! The request that carries a package: the JSON document and the files as parts of one
//! `multipart/form-data` body, streamed, with a length that is known beforehand.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use reqwest::{
    Body,
    multipart::{Form, Part},
};

use crate::{
    Code, Fault,
    package::{AssetStore, PackagedFile},
};

/// How far the sending of a request is: written by its body, read by whoever waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Sending {
    passed: AtomicU64,
    whole: AtomicBool,
    fault: Mutex<Option<Fault>>,
}

impl Sending {
    /// Of a request whose repetition is harmless even if it arrived (GET).
    pub(super) fn harmless() -> Arc<Self> {
        Arc::default()
    }

    /// Of a request without a body, which may have arrived as soon as there is a connection.
    pub(super) fn at_once() -> Arc<Self> {
        let sending = Self::default();
        sending.whole.store(true, Ordering::Release);
        Arc::new(sending)
    }

    /// Something moved.
    pub(super) fn advance(&self, bytes: usize) {
        self.passed
            .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::AcqRel);
    }

    /// A number that changes whenever something moved.
    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Acquire)
    }

    /// Whether the partner may have got everything.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    /// Why the body ended early, if it was our side that ended it.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn end_with(&self, fault: Fault) -> io::Error {
        let text = fault.to_string();
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        io::Error::other(text)
    }
}

/// The body: `metadata` first, then every file under the name `file`.
pub(super) fn form<'a>(
    metadata: &[u8],
    files: impl Iterator<Item = &'a PackagedFile>,
    assets: &AssetStore,
    sending: &Arc<Sending>,
) -> Result<Form, Fault> {
    let part = typed(
        Part::bytes(metadata.to_vec()).file_name("metadata.json"),
        "application/json",
    )?;
    let mut form = Form::new().part("metadata", part);
    let mut files = files.peekable();
    if files.peek().is_none() {
        sending.whole.store(true, Ordering::Release);
    }
    while let Some(file) = files.next() {
        let is_last = files.peek().is_none();
        let bytes = streamed(file.clone(), assets.clone(), Arc::clone(sending), is_last);
        let part = Part::stream_with_length(Body::wrap_stream(bytes), file.size)
            .file_name(file.name.clone());
        form = form.part("file", typed(part, file.media_type)?);
    }
    Ok(form)
}

fn typed(part: Part, media_type: &str) -> Result<Part, Fault> {
    part.mime_str(media_type).map_err(|_| {
        Fault::new(
            Code::WorkerFault,
            format!("{media_type:?} is not a media type"),
        )
    })
}

/// A file's bytes. It is opened when its turn comes; what ends it early is kept in `sending`.
fn streamed(
    file: PackagedFile,
    assets: AssetStore,
    sending: Arc<Sending>,
    is_last: bool,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let passing = Arc::clone(&sending);
    let ended = Arc::clone(&sending);
    stream::once(async move { assets.stream(&file, 0).await })
        .try_flatten()
        .inspect_ok(move |chunk| passing.advance(chunk.len()))
        .map_err(move |fault| sending.end_with(fault))
        .chain(
            stream::once(async move {
                // Reached only when the last file's hash sum was right: an error ends the stream's
                // use before.
                if is_last && !ended.has_failed() {
                    ended.whole.store(true, Ordering::Release);
                    ended.advance(1);
                }
                None
            })
            .filter_map(std::future::ready),
        )
}

impl Sending {
    fn has_failed(&self) -> bool {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }
}
