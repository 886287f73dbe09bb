//! The bodies that carry a package: the JSON document and the files as parts of one
//! `multipart/form-data` body, or a file by itself; streamed, with a length that is known
//! beforehand.

use std::{
    io,
    ops::Range,
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
    Code, Evidence, Fault,
    package::{AssetStore, PackagedFile},
    settings::PartNames,
};

/// How far the sending of a request is: written by its body, read by whoever waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Sending {
    passed: AtomicU64,
    whole: AtomicBool,
    /// Sending it once more changes nothing.
    is_repeatable: bool,
    fault: Mutex<Option<Fault>>,
}

impl Sending {
    /// Of a request whose repetition is harmless even if it arrived (GET).
    pub(super) fn harmless() -> Arc<Self> {
        Arc::default()
    }

    /// Of a request with a body whose repetition is harmless even if it arrived: a file that is put
    /// where it is already.
    pub(super) fn repeatable() -> Self {
        Self {
            is_repeatable: true,
            ..Self::default()
        }
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

    /// Whether the partner may have got everything, and must not get it again unasked.
    pub(super) fn leaves_doubt(&self) -> bool {
        self.is_whole() && !self.is_repeatable
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

/// The body: the document first, then every file.
pub(super) fn form<'a>(
    document: &Evidence,
    names: &PartNames,
    files: impl Iterator<Item = &'a PackagedFile>,
    assets: &AssetStore,
    sending: &Arc<Sending>,
) -> Result<Form, Fault> {
    let part = typed(
        Part::bytes(document.body.clone()).file_name(document.name.clone()),
        &document.media_type,
    )?;
    let mut form = Form::new().part(names.document.clone(), part);
    let mut files = files.peekable();
    if files.peek().is_none() {
        sending.whole.store(true, Ordering::Release);
    }
    while let Some(file) = files.next() {
        let is_last = files.peek().is_none();
        let piece = 0..file.size;
        let bytes = streamed(
            file.clone(),
            piece,
            assets.clone(),
            Arc::clone(sending),
            is_last,
        );
        let part = Part::stream_with_length(Body::wrap_stream(bytes), file.size)
            .file_name(file.name.clone());
        form = form.part(names.file.clone(), typed(part, file.media_type)?);
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

/// A piece of a file as the body of a request.
pub(super) fn body(
    file: &PackagedFile,
    piece: Range<u64>,
    assets: &AssetStore,
    sending: &Arc<Sending>,
) -> Body {
    let sending = Arc::clone(sending);
    Body::wrap_stream(streamed(file.clone(), piece, assets.clone(), sending, true))
}

/// The bytes of a piece of a file. It is opened when its turn comes; what ends it early is kept in
/// `sending`.
fn streamed(
    file: PackagedFile,
    piece: Range<u64>,
    assets: AssetStore,
    sending: Arc<Sending>,
    is_last: bool,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let passing = Arc::clone(&sending);
    let ended = Arc::clone(&sending);
    stream::once(async move { assets.stream_range(&file, piece).await })
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
