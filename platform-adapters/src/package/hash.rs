//! Hash sums of stored files, all in one pass and away from the threads that serve everything else.

use futures_util::TryStreamExt;
use md5::Md5;
use object_store::ObjectMeta;
use sha2::{Digest, Sha256};

use super::assets::blocking;
use crate::{Fault, package::AssetStore};

/// Hash sums in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HashSums {
    pub(super) sha256: String,
    pub(super) md5: String,
}

#[derive(Default)]
struct Hashers {
    sha256: Sha256,
    md5: Md5,
}

impl Hashers {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    fn finish(self) -> HashSums {
        HashSums {
            sha256: hex::encode(self.sha256.finalize()),
            md5: hex::encode(self.md5.finalize()),
        }
    }
}

/// The hash sums of the version of a file that was seen.
pub(super) async fn of_asset(assets: &AssetStore, seen: &ObjectMeta) -> Result<HashSums, Fault> {
    let mut bytes = assets.whole(seen).await?;
    let mut hashers = Hashers::default();
    while let Some(chunk) = bytes.try_next().await? {
        // A chunk at a time, so that giving up an attempt also ends its hashing.
        hashers = blocking(move || {
            hashers.update(&chunk);
            hashers
        })
        .await?;
    }
    Ok(hashers.finish())
}

/// The hash sums of a document in memory.
pub(super) fn of_bytes(bytes: &[u8]) -> HashSums {
    let mut hashers = Hashers::default();
    hashers.update(bytes);
    hashers.finish()
}
