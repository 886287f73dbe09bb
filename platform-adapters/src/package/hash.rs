//! Hash sums, all in one pass.

use md5::Md5;
use sha2::{Digest, Sha256};

/// Hash sums in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HashSums {
    pub(super) sha256: String,
    pub(super) md5: String,
}

/// Hash sums in the making.
#[derive(Default)]
pub(super) struct Hashers {
    sha256: Sha256,
    md5: Md5,
}

impl Hashers {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
    }

    pub(super) fn finish(self) -> HashSums {
        HashSums {
            sha256: hex::encode(self.sha256.finalize()),
            md5: hex::encode(self.md5.finalize()),
        }
    }
}

/// The hash sums of a document in memory.
pub(super) fn of_bytes(bytes: &[u8]) -> HashSums {
    let mut hashers = Hashers::default();
    hashers.update(bytes);
    hashers.finish()
}
