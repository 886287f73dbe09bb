//! MP3 (MPEG audio, layer III): a chain of frames, each with a header that says how long it is. The
//! probe reads the first one and what its Xing or Info tag says of the others; the whole chain is
//! walked when the file is read, and of each frame what it says of its coefficients.

use std::{io::Read, time::Duration};

use bytes::Buf;

use super::{Content, EXPORT_AGAIN, Probed, bits::Bits, duration};
use crate::package::{
    AudioCodec, AudioProperties,
    findings::{Objection, ProbeError},
    inspect::Flaw,
    reader::Reader,
};

/// Kilobits a second by the header's index: MPEG 1, then MPEG 2 and 2.5.
const BIT_RATES_KB: [[u32; 15]; 2] = [
    [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Hertz by the header's index, of MPEG 1; half and a quarter of it in MPEG 2 and 2.5.
const SAMPLE_RATES_HZ: [u32; 3] = [44_100, 48_000, 32_000];

/// A tag of the old kind at the end.
const OLD_TAG_BYTES: usize = 128;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    sample_rate_hz: u32,
    channels: u8,
    samples: u64,
    /// Header included.
    length: u64,
    is_mpeg_1: bool,
    /// A checksum of two bytes follows the header.
    has_checksum: bool,
}

impl Frame {
    /// Bytes of what stands before the coefficients, after header and checksum.
    fn side_information(&self) -> u64 {
        match (self.is_mpeg_1, self.channels) {
            (true, 2) => 32,
            (true, _) | (false, 2) => 17,
            (false, _) => 9,
        }
    }

    /// Whether no granule has a coefficient, by the frame's bytes after its header (ISO/IEC 11172-3,
    /// 2.4.1.7: `part2_3_length`). The tag Xing or Info stands in a frame without any.
    fn is_silent(&self, rest: &[u8]) -> Option<bool> {
        let channels = usize::from(self.channels);
        let mut bits = Bits::new(rest);
        bits.skip(if self.has_checksum { 16 } else { 0 })?;
        let (granules, before, each) = match (self.is_mpeg_1, channels) {
            (true, 1) => (2, 9 + 5 + 4, 59),
            (true, _) => (2, 9 + 3 + 8, 59),
            (false, 1) => (1, 8 + 1, 63),
            (false, _) => (1, 8 + 2, 63),
        };
        bits.skip(before)?;
        for _ in 0..granules * channels {
            if bits.take(12)? != 0 {
                return Some(false);
            }
            bits.skip(each - 12)?;
        }
        Some(true)
    }

    fn parse(header: [u8; 4]) -> Option<Self> {
        let [sync, kind, rates, mode] = header;
        // 11 bits of sync, then version and layer; layer III is 01.
        if sync != 0xFF || kind & 0xE0 != 0xE0 || kind & 0x06 != 0x02 {
            return None;
        }
        let (is_mpeg_1, divisor) = match (kind >> 3) & 3 {
            3 => (true, 1),
            2 => (false, 2),
            0 => (false, 4),
            _ => return None,
        };
        let rates_kb = BIT_RATES_KB.get(usize::from(!is_mpeg_1))?;
        let bit_rate = rates_kb
            .get(usize::from(rates >> 4))
            .filter(|rate| **rate > 0)?
            * 1000;
        let sample_rate_hz = SAMPLE_RATES_HZ.get(usize::from((rates >> 2) & 3))? / divisor;
        let samples = if is_mpeg_1 { 1152 } else { 576 };
        let padding = u64::from((rates >> 1) & 1);
        let length = samples / 8 * u64::from(bit_rate) / u64::from(sample_rate_hz) + padding;
        Some(Self {
            sample_rate_hz,
            channels: if mode >> 6 == 3 { 1 } else { 2 },
            samples,
            length,
            is_mpeg_1,
            has_checksum: kind & 1 == 0,
        })
    }
}

pub(super) async fn probe(file: &mut Reader<'_>) -> Result<Probed, ProbeError> {
    let from = after_tag(&file.read(0, 10).await?);
    let header = file.read(from, 4).await?;
    let frame = <[u8; 4]>::try_from(&header[..]).ok().and_then(Frame::parse);
    let Some(frame) = frame else {
        return Err(Objection::new(
            "is not a sound MP3 file: no frame of layer III stands where its audio begins",
            EXPORT_AGAIN,
        )
        .into());
    };
    let length = file.size() - from;
    let frames = match counted(file, from, frame).await? {
        Some(frames) => frames,
        // Without a count all frames are alike.
        None => length / frame.length.max(1),
    };
    Ok(Probed {
        properties: AudioProperties {
            codec: AudioCodec::Mp3,
            sample_rate_hz: frame.sample_rate_hz,
            bits_per_sample: 0,
            channels: frame.channels,
            duration: duration(frames * frame.samples, frame.sample_rate_hz),
        },
        content: Content::Mp3 { from, length },
        objections: Vec::new(),
    })
}

/// Where the audio begins, after an ID3v2 tag if there is one.
fn after_tag(head: &[u8]) -> u64 {
    match head {
        [b'I', b'D', b'3', _, _, flags, a, b, c, d] => {
            let size = [a, b, c, d]
                .iter()
                .fold(0, |size, byte| size << 7 | u64::from(**byte & 0x7F));
            let footer = if flags & 0x10 == 0 { 0 } else { 10 };
            10 + size + footer
        }
        _ => 0,
    }
}

/// The number of frames in the tag Xing or Info, which stands in the first frame.
async fn counted(
    file: &mut Reader<'_>,
    from: u64,
    frame: Frame,
) -> Result<Option<u64>, ProbeError> {
    let mut tag = file.read(from + 4 + frame.side_information(), 12).await?;
    if tag.len() < 12 || !(tag.starts_with(b"Xing") || tag.starts_with(b"Info")) {
        return Ok(None);
    }
    tag.advance(4);
    let has_frames = tag.get_u32() & 1 == 1;
    Ok(has_frames.then(|| u64::from(tag.get_u32())))
}

/// Walks the chain of frames, in which nothing else may stand but a tag at the end.
pub(super) fn walk(file: &mut impl Read, from: u64, length: u64) -> Vec<Flaw> {
    if std::io::copy(&mut file.take(from), &mut std::io::sink()).is_err() {
        return Vec::new();
    }
    let mut passed = 0;
    let mut played = Duration::ZERO;
    let mut is_silent = true;
    let mut rest = Vec::new();
    let ended = |is_silent| match is_silent {
        true => vec![Flaw::Silent],
        false => Vec::new(),
    };
    while passed < length {
        let mut header = [0; 4];
        let is_there = file.read_exact(&mut header).is_ok();
        let damaged = |reason: &str| {
            vec![Flaw::Damaged {
                at_ms: u64::try_from(played.as_millis()).unwrap_or(u64::MAX),
                reason: reason.to_owned(),
            }]
        };
        let is_tag = header.starts_with(b"TAG") || header.starts_with(b"APET");
        if is_tag || (is_there && header == [0; 4] && length - passed < OLD_TAG_BYTES as u64) {
            return ended(is_silent && passed > 0);
        }
        let Some(frame) = Frame::parse(header).filter(|_| is_there) else {
            return damaged("no frame stands where the one before ends");
        };
        let expected = frame.length.saturating_sub(4);
        rest.clear();
        let count = file.take(expected).read_to_end(&mut rest).unwrap_or(0);
        if (count as u64) < expected {
            return damaged("its last frame is cut off");
        }
        is_silent = is_silent && frame.is_silent(&rest) == Some(true);
        passed += frame.length;
        played += duration(frame.samples, frame.sample_rate_hz);
    }
    ended(is_silent && passed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_say_how_long_they_are() {
        let frame = Frame::parse([0xFF, 0xFB, 0x90, 0x00]).unwrap();
        assert_eq!((frame.sample_rate_hz, frame.channels), (44_100, 2));
        assert_eq!((frame.samples, frame.length), (1152, 417));
        let padded = Frame::parse([0xFF, 0xFB, 0x92, 0xC0]).unwrap();
        assert_eq!((padded.channels, padded.length), (1, 418));
        for other in [
            [0xFF, 0xFD, 0x90, 0],
            [0xFF, 0xFB, 0xF0, 0],
            [0xFE, 0xFB, 0x90, 0],
            [0; 4],
        ] {
            assert_eq!(Frame::parse(other), None);
        }
    }
}
