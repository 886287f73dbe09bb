//! What is found out about a file by reading all of it: its hash sums, and what is wrong with its
//! content. Kept by the file's version, so that an unchanged file is not read again.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use futures_util::TryStreamExt;
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    assets::blocking,
    audio::{Content, content::Listener},
    hash::Hashers,
};
use crate::{
    Fault,
    package::{AssetStore, PackagedFile},
};

/// A file that was written to later than this before it is read may be written to again within the
/// same tick of its file system's clock, and would look unchanged.
const REST: Duration = Duration::from_secs(5);

/// Versions remembered in this process; beyond it, it begins anew.
const REMEMBERED_LIMIT: usize = 20_000;

/// Pieces of a file between the reading and the hashing of it.
const PIECES_AHEAD: usize = 4;

/// What reading all of a file found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// SHA-256 in lower-case hex.
    pub sha256: String,
    /// MD5 in lower-case hex.
    pub md5: String,
    /// What is wrong with its content.
    #[serde(default)]
    pub flaws: Vec<Flaw>,
}

/// What can be wrong with a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// Every sample is zero.
    Silent,
    /// The audio cannot be decoded from this time on, in milliseconds; with the reason.
    Damaged {
        /// From where on.
        at_ms: u64,
        /// The decoder's words.
        reason: String,
    },
}

/// Keeps what was found out about files, by store, path and version. A version is what the store
/// calls it: an ETag.
#[async_trait]
pub trait KeptInspections: Send + Sync {
    /// What is known of this version of a file, looked at as `kind`.
    ///
    /// # Errors
    /// When it cannot be looked up; the file is then read.
    async fn recall(
        &self,
        store: &str,
        path: &str,
        version: &str,
        kind: &str,
    ) -> Result<Option<Inspection>, Fault>;

    /// Keeps what was found out, in place of what is known of other versions.
    ///
    /// # Errors
    /// When it cannot be kept; nothing but time is lost.
    async fn keep(
        &self,
        store: &str,
        path: &str,
        version: &str,
        kind: &str,
        found: &Inspection,
    ) -> Result<(), Fault>;
}

/// What is known of files: in this process, and beyond it where something keeps it.
pub(super) struct Memory {
    /// The store's name, under which it is kept.
    store: String,
    known: Mutex<HashMap<String, Known>>,
    kept: Option<Arc<dyn KeptInspections>>,
}

#[derive(Clone)]
struct Known {
    version: String,
    kind: &'static str,
    found: Inspection,
}

impl Memory {
    pub(super) fn new(store: String) -> Arc<Self> {
        Arc::new(Self {
            store,
            known: Mutex::default(),
            kept: None,
        })
    }

    pub(super) fn with_kept(&self, kept: Arc<dyn KeptInspections>) -> Arc<Self> {
        Arc::new(Self {
            store: self.store.clone(),
            known: Mutex::default(),
            kept: Some(kept),
        })
    }

    /// Whether a file was last written to so long ago that another version would have another name.
    pub(super) fn is_at_rest(seen: &ObjectMeta) -> bool {
        #[expect(
            clippy::disallowed_methods,
            reason = "held against the file system's clock, which runs by itself"
        )]
        let now = SystemTime::now();
        now.duration_since(seen.last_modified.into())
            .is_ok_and(|age| age >= REST)
            && version(seen).is_some()
    }

    /// What is known of the version that was seen.
    pub(super) async fn recall(&self, seen: &ObjectMeta, kind: &'static str) -> Option<Inspection> {
        let (path, version) = (seen.location.as_ref(), version(seen)?);
        let known = self.lock().get(path).cloned();
        if let Some(known) = known.filter(|known| known.version == version && known.kind == kind) {
            return Some(known.found);
        }
        let kept = self.kept.as_ref()?;
        let found = match kept.recall(&self.store, path, version, kind).await {
            Ok(found) => found?,
            Err(fault) => {
                tracing::warn!(
                    asset.path = path,
                    "what is known of it cannot be read: {fault}"
                );
                return None;
            }
        };
        self.remember(path, version, kind, &found);
        Some(found)
    }

    pub(super) async fn keep(&self, seen: &ObjectMeta, kind: &'static str, found: &Inspection) {
        let (path, Some(version)) = (seen.location.as_ref(), version(seen)) else {
            return;
        };
        self.remember(path, version, kind, found);
        if let Some(kept) = &self.kept
            && let Err(fault) = kept.keep(&self.store, path, version, kind, found).await
        {
            tracing::warn!(
                asset.path = path,
                "what was found out cannot be kept: {fault}"
            );
        }
    }

    /// The version in which a file has the hash sum that was packaged, if it is known.
    pub(super) fn version_of(&self, file: &PackagedFile) -> Option<String> {
        let known = self.lock();
        let known = known.get(file.path.as_ref())?;
        (known.found.sha256 == file.sha256).then(|| known.version.clone())
    }

    /// Forgets a file that is not what it was.
    pub(super) fn forget(&self, path: &str) {
        self.lock().remove(path);
    }

    fn remember(&self, path: &str, version: &str, kind: &'static str, found: &Inspection) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED_LIMIT {
            known.clear();
        }
        let entry = Known {
            version: version.to_owned(),
            kind,
            found: found.clone(),
        };
        known.insert(path.to_owned(), entry);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the version that was seen. A weak one says that the content is alike, not the same.
fn version(seen: &ObjectMeta) -> Option<&str> {
    seen.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"))
}

/// Reads the version of a file that was seen, hashes it and listens to it, in one pass.
pub(super) async fn inspect(
    assets: &AssetStore,
    seen: &ObjectMeta,
    content: Content,
) -> Result<Inspection, Fault> {
    let kind = content.kind();
    assets
        .inspected(seen, kind, async {
            let mut bytes = assets.whole(seen).await?;
            let (pieces, taken) = mpsc::channel(PIECES_AHEAD);
            // Giving up an attempt drops `pieces`, which ends the reading on the other side.
            let reading = async move {
                while let Some(piece) = bytes.try_next().await? {
                    if pieces.send(piece).await.is_err() {
                        break;
                    }
                }
                Ok::<_, Fault>(())
            };
            let listening = blocking(move || listen(taken, content));
            let (read, found) = tokio::join!(reading, listening);
            // A file that broke off must not be judged by its beginning.
            read?;
            found
        })
        .await
}

fn listen(taken: mpsc::Receiver<Bytes>, content: Content) -> Inspection {
    let mut file = Passing {
        taken,
        piece: Bytes::new(),
        hashers: Hashers::default(),
    };
    let flaws = Listener::new(content).listen(&mut file);
    // What the decoder left must be hashed all the same.
    while file.next_piece() {}
    let sums = file.hashers.finish();
    Inspection {
        sha256: sums.sha256,
        md5: sums.md5,
        flaws,
    }
}

/// The bytes of a file as they come, hashed as they pass.
pub(super) struct Passing {
    taken: mpsc::Receiver<Bytes>,
    piece: Bytes,
    hashers: Hashers,
}

impl Passing {
    /// Whether there is a further piece.
    fn next_piece(&mut self) -> bool {
        match self.taken.blocking_recv() {
            Some(piece) => {
                self.hashers.update(&piece);
                self.piece = piece;
                true
            }
            None => false,
        }
    }
}

impl io::Read for Passing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            if !self.next_piece() {
                return Ok(0);
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece
            .copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
