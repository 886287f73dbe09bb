//! Where audio and artwork lie: an object store with a root that no path leaves.

use std::{fmt, io, path::Path, pin::pin, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore, local::LocalFileSystem,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::{Code, Fault, package::PackagedFile};

/// How much of a local file is read at once. SFTP is fastest with writes of this size.
const CHUNK_BYTES: usize = 1 << 20;

/// The store of audio and artwork. Cheap to clone.
#[derive(Clone)]
pub struct AssetStore {
    store: Arc<dyn ObjectStore>,
    /// The root as the file system itself names it, for a local store.
    directory: Option<Arc<Path>>,
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
            directory: Some(directory.into()),
        })
    }

    /// Streams a file of a package from `offset` on.
    ///
    /// A stream from the beginning is compared with the package's hash sum as it passes, a later
    /// one with the length; where the file is no longer what was packaged the stream ends with
    /// [`Code::AssetChanged`].
    ///
    /// # Errors
    /// A fault, at once or from the stream, when the store cannot be read.
    pub async fn stream(
        &self,
        file: &PackagedFile,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Fault>>, Fault> {
        if offset >= file.size && offset > 0 {
            return Ok(futures_util::stream::empty().boxed());
        }
        let options = GetOptions {
            range: (offset > 0).then_some(GetRange::Offset(offset)),
            ..GetOptions::default()
        };
        let bytes = self.open(&file.path, file.size, options).await?;
        let expected = Expected {
            path: file.path.to_string(),
            length: file.size - offset,
            sha256: (offset == 0).then(|| (Sha256::new(), file.sha256.clone())),
        };
        Ok(verified(bytes, expected).boxed())
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
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self.store.get_opts(&location, options).await {
            Ok(answer) => Ok(answer.meta),
            Err(object_store::Error::NotFound { .. }) => Err(NotFound::Missing),
            Err(error) => Err(NotFound::Unavailable(unreadable(path, &error))),
        }
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
        let bytes = self.open(&seen.location, seen.size, options).await?;
        let expected = Expected {
            path: seen.location.to_string(),
            length: seen.size,
            sha256: None,
        };
        Ok(verified(bytes, expected).boxed())
    }

    async fn open(
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
                let unreadable =
                    move |error: io::Error| io_trouble(&path.display().to_string(), &error);
                let mut file = tokio::fs::File::from_std(file);
                file.set_max_buf_size(CHUNK_BYTES);
                file.seek(io::SeekFrom::Start(range.start))
                    .await
                    .map_err(&unreadable)?;
                let bytes = file.take(range.end.saturating_sub(range.start));
                Ok(ReaderStream::with_capacity(bytes, CHUNK_BYTES)
                    .map_err(unreadable)
                    .boxed())
            }
            GetResultPayload::Stream(bytes) => Ok(bytes.map_err(trouble).boxed()),
        }
    }
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
    path: String,
    /// Bytes still to come.
    length: u64,
    sha256: Option<(Sha256, String)>,
}

/// Passes a stream on and compares its length and, where it is known, its SHA-256 at the end.
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
                    expected.length = expected
                        .length
                        .checked_sub(length)
                        .ok_or_else(|| changed(&expected.path))?;
                    if let Some((hasher, _)) = &mut expected.sha256 {
                        hasher.update(&chunk);
                    }
                    Ok(Some((chunk, (bytes, expected))))
                }
                None if expected.length > 0 => Err(changed(&expected.path)),
                None => match expected.sha256 {
                    Some((hasher, sum)) => (hex::encode(hasher.finalize()) == sum)
                        .then_some(None)
                        .ok_or_else(|| changed(&expected.path)),
                    None => Ok(None),
                },
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
