//! Bits of a coded frame, the highest of each byte first.

/// What is left of a frame.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next bits, 32 at the most. `None` where the frame ends before.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u32::from(bit))
        })
    }

    /// One bit.
    pub(super) fn is_set(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// Passes bits over.
    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len().checked_mul(8)?).then_some(())
    }

    /// Passes over what is left of a byte.
    pub(super) fn align(&mut self) -> Option<()> {
        self.skip((8 - self.at % 8) % 8)
    }
}
