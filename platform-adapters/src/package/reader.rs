//! Reads parts of one stored file for the probes: small ranges, buffered, of one version of it.

use bytes::Bytes;
use object_store::ObjectMeta;

use crate::{Fault, package::AssetStore};

/// What one request fetches at least: the headers of most files lie in one such block.
const BLOCK_BYTES: u64 = 64 << 10;

/// A file of which parts are read.
pub(super) struct Reader<'a> {
    assets: &'a AssetStore,
    seen: &'a ObjectMeta,
    block_at: u64,
    block: Bytes,
}

impl<'a> Reader<'a> {
    pub(super) fn new(assets: &'a AssetStore, seen: &'a ObjectMeta) -> Self {
        Self {
            assets,
            seen,
            block_at: 0,
            block: Bytes::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.seen.size
    }

    /// Up to `length` bytes at `offset`; fewer only where the file ends.
    pub(super) async fn read(&mut self, offset: u64, length: u64) -> Result<Bytes, Fault> {
        let end = offset.saturating_add(length).min(self.size());
        if offset >= end {
            return Ok(Bytes::new());
        }
        if let Some(part) = self.buffered(offset, end) {
            return Ok(part);
        }
        let fetched = end.max(offset.saturating_add(BLOCK_BYTES).min(self.size()));
        self.block = self.assets.range(self.seen, offset..fetched).await?;
        self.block_at = offset;
        Ok(self.buffered(offset, end).unwrap_or_default())
    }

    fn buffered(&self, offset: u64, end: u64) -> Option<Bytes> {
        let from = usize::try_from(offset.checked_sub(self.block_at)?).ok()?;
        let to = usize::try_from(end.checked_sub(self.block_at)?).ok()?;
        (from <= to && to <= self.block.len()).then(|| self.block.slice(from..to))
    }
}
