//! Where audio and artwork lie: an object store with a root that no path leaves.

use std::{fmt, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectStore, local::LocalFileSystem};
use sha2::{Digest, Sha256};

use crate::{Code, Fault, package::PackagedFile};

/// The store of audio and artwork. Cheap to clone.
#[derive(Clone)]
pub struct AssetStore {
    store: Arc<dyn ObjectStore>,
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
        let store = LocalFileSystem::new_with_prefix(root).map_err(|error| {
            Fault::new(
                Code::AssetsUnavailable,
                format!(
                    "the asset directory {} cannot be used: {error}",
                    root.display()
                ),
            )
        })?;
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// Streams a file of a package from `offset` on.
    ///
    /// A stream from the beginning is compared with the package's hash sum as it passes; where the
    /// file is no longer what was packaged it ends with [`Code::AssetChanged`].
    ///
    /// # Errors
    /// A fault, at once or from the stream, when the store cannot be read.
    pub async fn stream(
        &self,
        file: &PackagedFile,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Fault>>, Fault> {
        let options = if offset == 0 {
            GetOptions::default()
        } else {
            GetOptions {
                range: Some(GetRange::Offset(offset)),
                ..GetOptions::default()
            }
        };
        let name = file.path.to_string();
        let unreadable = move |error: object_store::Error| unreadable(&name, &error);
        let answer = self
            .store
            .get_opts(&file.path, options)
            .await
            .map_err(&unreadable)?;
        if answer.meta.size != file.size {
            return Err(changed(file.path.as_ref()));
        }
        let bytes = answer.into_stream().map_err(unreadable);
        if offset > 0 {
            return Ok(bytes.boxed());
        }
        Ok(verified(bytes, file.path.to_string(), file.sha256.clone()).boxed())
    }
}

/// Passes a stream on and compares its SHA-256 at the end.
fn verified(
    bytes: impl futures_util::Stream<Item = Result<Bytes, Fault>> + Send + 'static,
    path: String,
    sha256: String,
) -> impl futures_util::Stream<Item = Result<Bytes, Fault>> + Send + 'static {
    let end = futures_util::stream::once(async { Ok(None) });
    bytes
        .map_ok(Some)
        .chain(end)
        .scan(Some(Sha256::new()), move |hasher, item| {
            let passed = match item {
                Ok(Some(chunk)) => {
                    if let Some(hasher) = hasher.as_mut() {
                        hasher.update(&chunk);
                    }
                    Some(Ok(chunk))
                }
                Ok(None) => hasher
                    .take()
                    .is_some_and(|hasher| hex::encode(hasher.finalize()) != sha256)
                    .then(|| Err(changed(&path))),
                Err(fault) => {
                    *hasher = None;
                    Some(Err(fault))
                }
            };
            std::future::ready(passed)
        })
}

fn changed(path: &str) -> Fault {
    Fault::new(
        Code::AssetChanged,
        format!("the file {path} changed while it was being sent"),
    )
}

fn unreadable(path: &str, error: &object_store::Error) -> Fault {
    match error {
        object_store::Error::NotFound { .. } => {
            Fault::new(Code::AssetChanged, format!("the file {path} is gone"))
        }
        _ => Fault::new(
            Code::AssetsUnavailable,
            format!("the file {path} cannot be read: {error}"),
        ),
    }
}
