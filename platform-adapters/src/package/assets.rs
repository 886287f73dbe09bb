//! Where audio and artwork lie: an object store with a root that no path leaves. A local directory,
//! an S3-compatible store, an HTTP server; with features of the build also Google's and Azure's.
//!
//! A file that changes while it is used is noticed. Where the store names versions, and a file's
//! hash sums are known for a version that has come to rest, the version is compared before and after
//! a file is read; otherwise the bytes are hashed again as they pass.

use std::{
    fmt,
    io::{self, Read, Seek},
    path::Path,
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore, local::LocalFileSystem,
};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{
    inspect::{Inspection, KeptInspections, Memory},
    remote,
};
use crate::{Code, Fault, package::PackagedFile};

/// How much of a local file is read at once. SFTP is fastest with writes of this size.
const CHUNK_BYTES: usize = 512 * 1024;

/// Pieces of a local file that are read before they are asked for.
const PIECES_AHEAD: usize = 2;

/// The store of audio and artwork. Cheap to clone.
#[derive(Clone)]
pub struct AssetStore {
    store: Arc<dyn ObjectStore>,
    /// The root as the file system itself names it, for a local store.
    directory: Option<Arc<Path>>,
    /// What is known of files by their versions.
    memory: Arc<Memory>,
}

/// Why a path of the catalogue leads to no file.
pub(super) enum NotFound {
    /// The path leaves the store, or would on some store.
    Outside,
    /// Nothing is there.
    Missing,
    /// Something is there, but not a file.
    NotAFile,
    /// The store cannot say.
    Unavailable(Fault),
}

impl fmt::Debug for AssetStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssetStore({})", self.store)
    }
}

impl AssetStore {
    /// A directory of the local file system.
    ///
    /// # Errors
    /// [`Code::AssetsUnavailable`] when the directory does not exist.
    pub fn local(root: &Path) -> Result<Self, Fault> {
        let unusable = |error: &dyn fmt::Display| {
            Fault::new(
                Code::AssetsUnavailable,
                format!(
                    "the asset directory {} cannot be used: {error}",
                    root.display()
                ),
            )
        };
        let directory = root.canonicalize().map_err(|error| unusable(&error))?;
        let store =
            LocalFileSystem::new_with_prefix(&directory).map_err(|error| unusable(&error))?;
        Ok(Self {
            store: Arc::new(store),
            memory: Memory::new(directory.display().to_string()),
            directory: Some(directory.into()),
        })
    }

    /// A directory, or a store by its URL: `file:///srv/assets`, `s3://bucket/prefix`,
    /// `https://files.label.example/masters`, and in a build with the feature, `gs://bucket/prefix`
    /// or `az://container/prefix`. How a cloud's store is reached and who we are to it stands in the
    /// environment, as its own tools read it (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`).
    ///
    /// # Errors
    /// [`Code::AssetsUnavailable`] when there is no such directory, or the URL cannot be used.
    pub fn open(root: &str) -> Result<Self, Fault> {
        if let Some(directory) = root.strip_prefix("file://") {
            return Self::local(Path::new(directory));
        }
        if !root.contains("://") {
            return Self::local(Path::new(root));
        }
        let store = remote::store(root).map_err(|problem| {
            // What stands before an @ may be a password.
            let shown = root.rsplit('@').next().unwrap_or_default();
            Fault::new(
                Code::AssetsUnavailable,
                format!("the asset store {shown} cannot be used: {problem}"),
            )
        })?;
        Ok(Self {
            store,
            directory: None,
            memory: Memory::new(root.trim_end_matches('/').to_owned()),
        })
    }

    /// Keeps what is found out about files beyond this process.
    #[must_use]
    pub fn with_kept(mut self, kept: Arc<dyn KeptInspections>) -> Self {
        self.memory = self.memory.with_kept(kept);
        self
    }

    /// Looks whether the store answers at all.
    ///
    /// # Errors
    /// [`Code::AssetsUnavailable`] when it does not.
    pub async fn check(&self) -> Result<(), Fault> {
        if let Some(directory) = &self.directory {
            let path = Arc::clone(directory);
            return blocking(move || std::fs::read_dir(&path).map(drop))
                .await?
                .map_err(|error| io_trouble(&directory.display().to_string(), &error));
        }
        match self.find("tunemantra-worker-check").await {
            Err(NotFound::Unavailable(fault)) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Streams a file of a package from `offset` on.
    ///
    /// Where the file is no longer what was packaged the stream ends with [`Code::AssetChanged`]: its
    /// version is compared where that is known, otherwise the hash sum of a stream from the
    /// beginning, and the length of a later one. A text of the catalogue comes from the package.
    ///
    /// # Errors
    /// A fault, at once or from the stream, when the store cannot be read.
    pub async fn stream(
        &self,
        file: &PackagedFile,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Fault>>, Fault> {
        self.stream_range(file, offset..file.size).await
    }

    /// Streams a part of a file of a package, in the same way.
    ///
    /// # Errors
    /// As [`AssetStore::stream`].
    pub async fn stream_range(
        &self,
        file: &PackagedFile,
        range: std::ops::Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Fault>>, Fault> {
        if range.start > 0 && range.start >= range.end {
            return Ok(futures_util::stream::empty().boxed());
        }
        if let Some(text) = &file.text {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
            let piece = text.slice(place(range.start)..place(range.end));
            return Ok(futures_util::stream::once(async { Ok(piece) }).boxed());
        }
        let version = self.memory.version_of(file);
        let is_whole = range == (0..file.size);
        let options = GetOptions {
            if_match: version.clone(),
            range: (!is_whole).then(|| GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let bytes = match self.open_file(&file.path, file.size, options).await {
            Ok(bytes) => bytes,
            Err(fault) => {
                if fault.code == Code::AssetChanged {
                    self.memory.forget(file.path.as_ref());
                }
                return Err(fault);
            }
        };
        let expected = Expected {
            path: file.path.clone(),
            length: range.end.saturating_sub(range.start),
            sha256: (is_whole && version.is_none()).then(|| (Sha256::new(), file.sha256.clone())),
            // A remote store serves one version from beginning to end; a local file can be written
            // to while it is read.
            version_after: version.filter(|_| self.directory.is_some()),
            assets: self.clone(),
        };
        Ok(verified(bytes, expected).boxed())
    }

    /// What is known of the version of a file that was seen: from before, or by reading it now with
    /// `inspect`.
    pub(super) async fn inspected<F>(
        &self,
        seen: &ObjectMeta,
        kind: &'static str,
        inspect: F,
    ) -> Result<Inspection, Fault>
    where
        F: Future<Output = Result<Inspection, Fault>>,
    {
        if let Some(known) = self.memory.recall(seen, kind).await {
            return Ok(known);
        }
        // Whether it has come to rest is looked at before it is read.
        let at_rest = Memory::is_at_rest(seen);
        let found = inspect.await?;
        if at_rest {
            self.memory.keep(seen, kind, &found).await;
        }
        Ok(found)
    }

    /// Looks for the file that a path of the catalogue names.
    pub(super) async fn find(&self, path: &str) -> Result<ObjectMeta, NotFound> {
        let location = inside(path).ok_or(NotFound::Outside)?;
        if let Some(directory) = &self.directory {
            let (directory, path) = (Arc::clone(directory), path.to_owned());
            blocking(move || look(&directory, &path))
                .await
                .map_err(NotFound::Unavailable)??;
        }
        match self.head(&location).await {
            Ok(meta) => Ok(meta),
            Err(object_store::Error::NotFound { .. }) => Err(NotFound::Missing),
            Err(error) => Err(NotFound::Unavailable(unreadable(path, &error))),
        }
    }

    async fn head(&self, path: &object_store::path::Path) -> object_store::Result<ObjectMeta> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        Ok(self.store.get_opts(path, options).await?.meta)
    }

    /// Reads a range of the very version of a file that [`AssetStore::find`] saw.
    pub(super) async fn range(
        &self,
        seen: &ObjectMeta,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, Fault> {
        let options = GetOptions {
            if_match: seen.e_tag.clone(),
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let read = async {
            self.store
                .get_opts(&seen.location, options)
                .await?
                .bytes()
                .await
        };
        read.await
            .map_err(|error| unreadable(seen.location.as_ref(), &error))
    }

    /// Streams the whole of the very version of a file that [`AssetStore::find`] saw.
    pub(super) async fn whole(
        &self,
        seen: &ObjectMeta,
    ) -> Result<BoxStream<'static, Result<Bytes, Fault>>, Fault> {
        let options = GetOptions {
            if_match: seen.e_tag.clone(),
            ..GetOptions::default()
        };
        let bytes = self.open_file(&seen.location, seen.size, options).await?;
        let expected = Expected {
            path: seen.location.clone(),
            length: seen.size,
            sha256: None,
            version_after: seen.e_tag.clone().filter(|_| self.directory.is_some()),
            assets: self.clone(),
        };
        Ok(verified(bytes, expected).boxed())
    }

    async fn open_file(
        &self,
        path: &object_store::path::Path,
        size: u64,
        options: GetOptions,
    ) -> Result<BoxStream<'static, Result<Bytes, Fault>>, Fault> {
        let name = path.to_string();
        let answer = self
            .store
            .get_opts(path, options)
            .await
            .map_err(|error| unreadable(&name, &error))?;
        if answer.meta.size != size {
            return Err(changed(&name));
        }
        let range = answer.range.clone();
        let trouble = move |error: object_store::Error| unreadable(&name, &error);
        match answer.payload {
            // Read here and not by the store: it takes 8 KiB at a time, and its stream never ends
            // when the file was cut short in the meantime.
            GetResultPayload::File(file, path) => {
                let path = path.display().to_string();
                let bytes = read_ahead(file, range.start..range.end);
                Ok(bytes
                    .map_err(move |error| io_trouble(&path, &error))
                    .boxed())
            }
            GetResultPayload::Stream(bytes) => Ok(bytes.map_err(trouble).boxed()),
        }
    }
}

/// Reads a local file on a thread of its own, a few pieces ahead of whoever takes them, so that
/// reading and sending overlap. Ends early where the file does.
fn read_ahead(
    mut file: std::fs::File,
    range: std::ops::Range<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (pieces, taken) = mpsc::channel(PIECES_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut left = range.end.saturating_sub(range.start);
        let mut trouble = file.seek(io::SeekFrom::Start(range.start)).err();
        while left > 0 && trouble.is_none() {
            let length = left.min(CHUNK_BYTES as u64);
            let mut piece = Vec::with_capacity(CHUNK_BYTES);
            match (&mut file).take(length).read_to_end(&mut piece) {
                Ok(0) => return,
                Ok(count) => left = left.saturating_sub(count as u64),
                Err(error) => trouble = Some(error),
            }
            // Nobody takes them any more.
            if trouble.is_none() && pieces.blocking_send(Ok(Bytes::from(piece))).is_err() {
                return;
            }
        }
        if let Some(error) = trouble {
            let _ = pieces.blocking_send(Err(error));
        }
    });
    futures_util::stream::unfold(taken, |mut taken| async move {
        taken.recv().await.map(|piece| (piece, taken))
    })
}

/// Runs what blocks or computes for long away from the threads that serve everything else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Fault::new(
            Code::WorkerFault,
            format!("reading an asset ended abnormally: {error}"),
        )
    })
}

/// The place in the store that `path` names, if it stays inside on every kind of store.
fn inside(path: &str) -> Option<object_store::path::Path> {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.contains(|c: char| c == '\\' || c.is_control())
    };
    path.split('/')
        .all(plain)
        .then(|| object_store::path::Path::parse(path).ok())?
}

/// Follows links, and refuses what they lead to outside `directory`.
fn look(directory: &Path, path: &str) -> Result<(), NotFound> {
    let full = match directory.join(path).canonicalize() {
        Ok(full) => full,
        Err(error) => {
            return Err(match error.kind() {
                // A store that is not mounted must not make releases faulty.
                io::ErrorKind::NotFound if !directory.is_dir() => {
                    NotFound::Unavailable(io_trouble(&directory.display().to_string(), &error))
                }
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::InvalidFilename => NotFound::Missing,
                _ => NotFound::Unavailable(io_trouble(path, &error)),
            });
        }
    };
    if !full.starts_with(directory) {
        return Err(NotFound::Outside);
    }
    match full.metadata() {
        // Opening a pipe would wait for ever.
        Ok(metadata) if !metadata.is_file() => Err(NotFound::NotAFile),
        Ok(_) => Ok(()),
        Err(error) => Err(NotFound::Unavailable(io_trouble(path, &error))),
    }
}

struct Expected {
    path: object_store::path::Path,
    /// Bytes still to come.
    length: u64,
    sha256: Option<(Sha256, String)>,
    /// The version that must still be there at the end.
    version_after: Option<String>,
    assets: AssetStore,
}

impl Expected {
    fn changed(&self) -> Fault {
        self.assets.memory.forget(self.path.as_ref());
        changed(self.path.as_ref())
    }

    /// Looks at what was promised when the last byte has passed.
    async fn conclude(mut self) -> Result<(), Fault> {
        if self.length > 0 {
            return Err(self.changed());
        }
        if let Some((hasher, sum)) = self.sha256.take()
            && hex::encode(hasher.finalize()) != sum
        {
            return Err(self.changed());
        }
        if let Some(version) = &self.version_after {
            let now = self.assets.head(&self.path).await;
            if now.ok().and_then(|meta| meta.e_tag).as_ref() != Some(version) {
                return Err(self.changed());
            }
        }
        Ok(())
    }
}

/// Passes a stream on and looks at its end whether it was what was promised.
fn verified(
    bytes: impl Stream<Item = Result<Bytes, Fault>> + Send + 'static,
    expected: Expected,
) -> impl Stream<Item = Result<Bytes, Fault>> + Send + 'static {
    futures_util::stream::try_unfold(
        (bytes.boxed(), expected),
        |(mut bytes, mut expected)| async move {
            match pin!(&mut bytes).try_next().await? {
                Some(chunk) => {
                    let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                    let Some(left) = expected.length.checked_sub(length) else {
                        return Err(expected.changed());
                    };
                    expected.length = left;
                    if let Some((hasher, _)) = &mut expected.sha256 {
                        hasher.update(&chunk);
                    }
                    Ok(Some((chunk, (bytes, expected))))
                }
                None => expected.conclude().await.map(|()| None),
            }
        },
    )
}

fn changed(path: &str) -> Fault {
    Fault::new(
        Code::AssetChanged,
        format!("the file {path} changed while it was in use"),
    )
}

fn io_trouble(path: &str, error: &io::Error) -> Fault {
    Fault::new(
        Code::AssetsUnavailable,
        format!("{path} in the asset store cannot be read: {error}"),
    )
}

fn unreadable(path: &str, error: &object_store::Error) -> Fault {
    match error {
        object_store::Error::NotFound { .. } => {
            Fault::new(Code::AssetChanged, format!("the file {path} is gone"))
        }
        object_store::Error::Precondition { .. } => changed(path),
        _ => Fault::new(
            Code::AssetsUnavailable,
            format!("{path} in the asset store cannot be read: {error}"),
        ),
    }
}
