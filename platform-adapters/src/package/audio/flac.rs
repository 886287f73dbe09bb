//! FLAC: STREAMINFO at the beginning, and the last frame at the end, which must be whole and hold
//! the last sample that STREAMINFO promises. Layout and names are those of RFC 9639.

use bytes::{Buf, Bytes};

use super::{Content, EXPORT_AGAIN, Probed, duration};
use crate::package::{
    AudioCodec, AudioProperties,
    assets::blocking,
    findings::{Objection, ProbeError},
    reader::Reader,
};

/// More metadata blocks than any tool writes.
const METADATA_BLOCKS_LIMIT: usize = 1_000;

/// How many places that look like the last frame are tried. In a good file the first or second one
/// is it; the limit bounds the work on a file made to look like many.
const CANDIDATES_LIMIT: usize = 16;

/// More than a frame's header and footer take.
const FRAME_OVERHEAD_BYTES: u64 = 64;

#[derive(Clone, Copy)]
struct StreamInfo {
    max_block_samples: u64,
    sample_rate_hz: u32,
    channels: u8,
    bits_per_sample: u8,
    samples: u64,
}

impl StreamInfo {
    fn parse(mut block: Bytes) -> Self {
        block.advance(2);
        let max_block_samples = u64::from(block.get_u16());
        block.advance(6);
        let packed = block.get_u64();
        // 20 bits sample rate, 3 bits channels, 5 bits depth, 36 bits number of samples.
        let bits = |shift: u32, width: u32| (packed >> shift) & ((1 << width) - 1);
        Self {
            max_block_samples,
            sample_rate_hz: u32::try_from(bits(44, 20)).unwrap_or(0),
            channels: u8::try_from(bits(41, 3) + 1).unwrap_or(0),
            bits_per_sample: u8::try_from(bits(36, 5) + 1).unwrap_or(0),
            samples: bits(0, 36),
        }
    }

    /// No frame is longer: samples stored as they are, with one more bit for a side channel.
    fn longest_frame_bytes(&self) -> u64 {
        let bits = (u64::from(self.bits_per_sample) + 1) * u64::from(self.channels);
        self.max_block_samples * bits / 8 + FRAME_OVERHEAD_BYTES
    }
}

pub(super) async fn probe(file: &mut Reader<'_>) -> Result<Probed, ProbeError> {
    let (info, audio_at) = metadata(file).await?;
    if info.sample_rate_hz == 0 {
        return Err(Objection::new(
            "is not a sound FLAC file: its sample rate is 0",
            EXPORT_AGAIN,
        )
        .into());
    }
    if info.samples == 0 {
        return Err(Objection::new(
            "does not say how many samples it holds",
            "Encode it again into a file; an encoder that writes into a pipe leaves the number out.",
        )
        .into());
    }
    let tail_bytes = info
        .longest_frame_bytes()
        .min(file.size().saturating_sub(audio_at));
    let tail = file.read(file.size() - tail_bytes, tail_bytes).await?;
    let mut objections = Vec::new();
    if !blocking(move || ends_with_last_frame(&tail, &info)).await? {
        objections.push(Objection::new(
            "is truncated or damaged: it does not end with the last frame of its audio",
            "Copy the file into the asset store again, or encode it again without tags at its end.",
        ));
    }
    Ok(Probed {
        properties: AudioProperties {
            codec: AudioCodec::Flac,
            sample_rate_hz: info.sample_rate_hz,
            bits_per_sample: info.bits_per_sample,
            channels: info.channels,
            duration: duration(info.samples, info.sample_rate_hz),
        },
        // Where the end is missing there is no need to listen for what else is.
        content: if objections.is_empty() {
            Content::Flac
        } else {
            Content::Opaque
        },
        objections,
    })
}

/// Reads STREAMINFO, and walks over the other metadata to where the frames begin.
async fn metadata(file: &mut Reader<'_>) -> Result<(StreamInfo, u64), ProbeError> {
    let truncated = || {
        Objection::new(
            "is truncated: it ends before its audio data",
            "Copy the file into the asset store again, or encode it again.",
        )
    };
    let mut at = 4;
    let mut info = None;
    for _ in 0..METADATA_BLOCKS_LIMIT {
        let mut header = file.read(at, 4).await?;
        if header.len() < 4 {
            return Err(truncated().into());
        }
        let kind = header.get_u8();
        let length = header.get_uint(3);
        let body = at + 4;
        if info.is_none() {
            let block = file.read(body, 34).await?;
            if kind & 0x7F != 0 || length != 34 {
                return Err(Objection::new(
                    "is not a sound FLAC file: it does not begin with STREAMINFO",
                    EXPORT_AGAIN,
                )
                .into());
            }
            if block.len() < 34 {
                return Err(truncated().into());
            }
            info = Some(StreamInfo::parse(block));
        }
        at = body + length;
        if at >= file.size() {
            return Err(truncated().into());
        }
        if let (true, Some(info)) = (kind & 0x80 != 0, info) {
            return Ok((info, at));
        }
    }
    Err(Objection::new(
        "is not a sound FLAC file: it has too many metadata blocks",
        EXPORT_AGAIN,
    )
    .into())
}

/// Whether `tail` ends with a whole frame that holds the last sample.
fn ends_with_last_frame(tail: &[u8], info: &StreamInfo) -> bool {
    (0..tail.len())
        .rev()
        .filter_map(|start| tail.get(start..))
        .filter(|frame| frame_end(frame, info) == Some(info.samples))
        .take(CANDIDATES_LIMIT)
        .any(|frame| crc16(frame) == 0)
}

/// If `bytes` begin with a frame header whose check sum is right: the number of the sample after
/// the frame's last.
fn frame_end(bytes: &[u8], info: &StreamInfo) -> Option<u64> {
    let (&[0xFF, sync], mut rest) = bytes.split_first_chunk::<2>()? else {
        return None;
    };
    let variable = match sync {
        0xF8 => false,
        0xF9 => true,
        _ => return None,
    };
    let [sizes, format] = take(&mut rest)?;
    let number = coded_number(&mut rest)?;
    let block_samples = match sizes >> 4 {
        0 => return None,
        1 => 192,
        code @ 2..=5 => 144 << code,
        6 => u64::from(u8::from_be_bytes(take(&mut rest)?)) + 1,
        7 => u64::from(u16::from_be_bytes(take(&mut rest)?)) + 1,
        code => 1 << code,
    };
    match sizes & 0x0F {
        12 => drop(take::<1>(&mut rest)?),
        13 | 14 => drop(take::<2>(&mut rest)?),
        15 => return None,
        _ => {}
    }
    if format & 1 != 0 {
        return None;
    }
    take::<1>(&mut rest)?;
    let header = bytes.get(..bytes.len() - rest.len())?;
    if crc8(header) != 0 {
        return None;
    }
    let first = if variable {
        number
    } else {
        // All blocks have one size, but the last may be shorter.
        number.checked_mul(info.max_block_samples)?
    };
    first.checked_add(block_samples)
}

/// Takes the number of a frame or sample, coded as UTF-8 codes characters, with up to 36 bits.
fn coded_number(rest: &mut &[u8]) -> Option<u64> {
    let [first] = take(rest)?;
    let continued = match first.leading_ones() {
        0 => return Some(u64::from(first)),
        ones @ 2..=7 => ones - 1,
        _ => return None,
    };
    let mut number = u64::from(first) & (0x3F >> continued);
    for _ in 0..continued {
        let [byte] = take(rest)?;
        if byte & 0xC0 != 0x80 {
            return None;
        }
        number = number << 6 | u64::from(byte & 0x3F);
    }
    Some(number)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, remaining) = rest.split_first_chunk()?;
    *rest = remaining;
    Some(*taken)
}

/// CRC-8 of a frame header; 0 when the check sum at its end is right.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ byte, |sum, _| {
            (sum << 1) ^ if sum & 0x80 != 0 { 0x07 } else { 0 }
        })
    })
}

/// CRC-16 of a frame; 0 when the check sum at its end is right.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum, _| {
            (sum << 1) ^ if sum & 0x8000 != 0 { 0x8005 } else { 0 }
        })
    })
}
