//! Listens to a whole audio file: whether it is silent from beginning to end, and whether it can be
//! decoded from beginning to end. WAV and AIFF carry samples as they are; FLAC is decoded, and its
//! checksums compared; of MP3 the chain of frames is walked. MP3 and AAC are silent where no frame has
//! a coefficient.

use std::io::Read;

use md5::{Digest, Md5};

use super::{Content, aac, mp3};
use crate::package::inspect::{Flaw, Passing};

/// What is read at once of samples that are as they are.
const PIECE_BYTES: usize = 64 << 10;

/// Listens to one file.
pub(in crate::package) struct Listener {
    content: Content,
}

impl Listener {
    pub(in crate::package) fn new(content: Content) -> Self {
        Self { content }
    }

    /// What is wrong with the content of `file`. It need not be read to its end.
    pub(in crate::package) fn listen(self, file: &mut Passing) -> Vec<Flaw> {
        match self.content {
            Content::Opaque => Vec::new(),
            Content::Samples { from, length } => samples(file, from, length),
            Content::Flac => flac(file),
            Content::Mp3 { from, length } => mp3::walk(file, from, length),
            Content::Aac(frames) => aac::listen(file, &frames),
        }
    }
}

/// Silence is written as zeros, whatever the width of a sample.
fn samples(file: &mut impl Read, from: u64, length: u64) -> Vec<Flaw> {
    if std::io::copy(&mut file.take(from), &mut std::io::sink()).is_err() {
        return Vec::new();
    }
    let mut audio = file.take(length);
    let mut piece = vec![0; PIECE_BYTES];
    let mut heard = 0_u64;
    loop {
        let count = audio.read(&mut piece).unwrap_or(0);
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        if bytes.iter().any(|byte| *byte != 0) {
            return Vec::new();
        }
        heard += count as u64;
    }
    if heard == length {
        vec![Flaw::Silent]
    } else {
        Vec::new()
    }
}

fn flac(file: &mut impl Read) -> Vec<Flaw> {
    let damaged = |at_ms: u64, reason: String| vec![Flaw::Damaged { at_ms, reason }];
    let options = claxon::FlacReaderOptions {
        metadata_only: false,
        read_vorbis_comment: false,
    };
    let mut decoder = match claxon::FlacReader::new_ext(file, options) {
        Ok(decoder) => decoder,
        Err(error) => return damaged(0, error.to_string()),
    };
    let info = decoder.streaminfo();
    let rate = u64::from(info.sample_rate.max(1));
    let width = usize::try_from(info.bits_per_sample.div_ceil(8)).unwrap_or(4);
    let mut is_silent = true;
    let mut hasher = Md5::new();
    let mut packed = Vec::new();
    let mut decoded = 0_u64;
    let mut blocks = decoder.blocks();
    let mut buffer = Vec::new();
    loop {
        match blocks.read_next_or_eof(buffer) {
            Ok(Some(block)) => {
                is_silent = is_silent && is_zero(&block);
                pack(&block, width, &mut packed);
                hasher.update(&packed);
                decoded += u64::from(block.duration());
                buffer = block.into_buffer();
            }
            Ok(None) => break,
            Err(error) => return damaged(decoded * 1000 / rate, error.to_string()),
        }
    }
    if info.samples.is_some_and(|promised| promised != decoded) {
        let reason = format!(
            "{decoded} samples are there, {} were promised",
            info.samples.unwrap_or_default()
        );
        return damaged(decoded * 1000 / rate, reason);
    }
    let sum: [u8; 16] = hasher.finalize().into();
    // An encoder that does not compute it leaves zeros.
    if info.md5sum != [0; 16] && info.md5sum != sum {
        let reason = "the decoded audio is not what was encoded (MD5)".to_owned();
        return damaged(0, reason);
    }
    if is_silent {
        return vec![Flaw::Silent];
    }
    Vec::new()
}

fn is_zero(block: &claxon::Block) -> bool {
    (0..block.channels()).all(|channel| block.channel(channel).iter().all(|sample| *sample == 0))
}

/// Samples as RFC 9639 hashes them: interleaved, little-endian, in whole bytes.
fn pack(block: &claxon::Block, width: usize, packed: &mut Vec<u8>) {
    packed.clear();
    let channels: Vec<&[i32]> = (0..block.channels())
        .map(|channel| block.channel(channel))
        .collect();
    for at in 0..usize::try_from(block.duration()).unwrap_or(0) {
        for channel in &channels {
            let bytes = channel.get(at).copied().unwrap_or(0).to_le_bytes();
            packed.extend_from_slice(bytes.get(..width).unwrap_or(&bytes));
        }
    }
}
