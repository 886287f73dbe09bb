//! AIFF: walks the chunks of the FORM and holds their sizes against the file's. Of AIFF-C only the
//! uncompressed forms are taken.

use bytes::{Buf, Bytes};

use super::{Content, EXPORT_AGAIN, Probed, duration};
use crate::package::{
    AudioCodec, AudioProperties,
    findings::{Objection, ProbeError},
    reader::Reader,
};

/// More chunks than any tool writes.
const CHUNKS_LIMIT: usize = 1_000;

const COPY_AGAIN: &str = "Copy the file into the asset store again, or export it again.";

/// What the chunk COMM says.
struct Common {
    channels: u16,
    frames: u64,
    bits_per_sample: u16,
    sample_rate_hz: u32,
}

pub(super) async fn probe(file: &mut Reader<'_>) -> Result<Probed, ProbeError> {
    let mut at = 12;
    let mut common = None;
    let mut sound = None;
    for _ in 0..CHUNKS_LIMIT {
        let mut header = file.read(at, 8).await?;
        if header.len() < 8 {
            break;
        }
        let id = header.split_to(4);
        let length = u64::from(header.get_u32());
        let body = at + 8;
        match &id[..] {
            b"COMM" => common = Some(parse_common(file.read(body, length.min(64)).await?)?),
            b"SSND" => {
                let mut head = file.read(body, 8).await?;
                if head.len() < 8 {
                    return Err(truncated().into());
                }
                // The samples begin after an offset that is 0 but for tapes and disks of old.
                let offset = u64::from(head.get_u32());
                sound = Some((body + 8 + offset, length.saturating_sub(8 + offset)));
            }
            _ => {}
        }
        at = body + length + length % 2;
    }
    match (common, sound) {
        (Some(common), Some((from, length))) => describe(&common, from, length, at, file.size()),
        (None, _) => Err(unsound("it does not say how its samples are written").into()),
        (_, None) => Err(truncated().into()),
    }
}

fn truncated() -> Objection {
    Objection::new("is truncated: it ends before its audio data", COPY_AGAIN)
}

fn unsound(problem: &str) -> Objection {
    Objection::new(format!("is not a sound AIFF file: {problem}"), EXPORT_AGAIN)
}

fn parse_common(mut chunk: Bytes) -> Result<Common, Objection> {
    if chunk.len() < 18 {
        return Err(unsound("its chunk COMM is too short"));
    }
    let channels = chunk.get_u16();
    let frames = u64::from(chunk.get_u32());
    let bits_per_sample = chunk.get_u16();
    let sample_rate_hz = extended(chunk.get_u16(), chunk.get_u64());
    if chunk.len() >= 4 {
        let coding = chunk.split_to(4);
        if !matches!(&coding[..], b"NONE" | b"sowt" | b"twos" | b"in24") {
            return Err(Objection::new(
                format!(
                    "is AIFF-C with coding {:?}, only uncompressed samples are taken",
                    String::from_utf8_lossy(&coding)
                ),
                "Export it as AIFF or WAV with 16 or 24 bits, or as FLAC.",
            ));
        }
    }
    Ok(Common {
        channels,
        frames,
        bits_per_sample,
        sample_rate_hz,
    })
}

/// A sample rate is a number of 80 bits: sign and exponent, then the mantissa with its first bit.
fn extended(exponent: u16, mantissa: u64) -> u32 {
    let shift = 16_383 + 63 - i32::from(exponent & 0x7FFF);
    u32::try_from(shift)
        .ok()
        .and_then(|shift| mantissa.checked_shr(shift))
        .and_then(|rate| u32::try_from(rate).ok())
        .unwrap_or(0)
}

fn describe(
    common: &Common,
    from: u64,
    length: u64,
    end: u64,
    size: u64,
) -> Result<Probed, ProbeError> {
    let width = u64::from(common.bits_per_sample.div_ceil(8));
    let promised = common
        .frames
        .saturating_mul(u64::from(common.channels))
        .saturating_mul(width);
    if common.sample_rate_hz == 0 || promised == 0 {
        return Err(Objection::new("holds no audio", EXPORT_AGAIN).into());
    }
    if promised != length {
        return Err(unsound("its audio data are not as long as it says").into());
    }
    if from + length > size {
        return Err(Objection::new(
            format!(
                "is truncated: its header promises {length} bytes of audio, {} are there",
                size.saturating_sub(from)
            ),
            COPY_AGAIN,
        )
        .into());
    }
    let mut objections = Vec::new();
    let after = size.saturating_sub(end);
    if after > 0 {
        objections.push(Objection::new(
            format!("has {after} bytes after its last chunk, which stores refuse"),
            "Export it without tags at its end.",
        ));
    }
    Ok(Probed {
        properties: AudioProperties {
            codec: AudioCodec::Aiff,
            sample_rate_hz: common.sample_rate_hz,
            bits_per_sample: u8::try_from(common.bits_per_sample).unwrap_or(u8::MAX),
            channels: u8::try_from(common.channels).unwrap_or(u8::MAX),
            duration: duration(common.frames, common.sample_rate_hz),
        },
        content: Content::Samples { from, length },
        objections,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_rates_of_80_bits() {
        assert_eq!(extended(0x400E, 0xAC44_0000_0000_0000), 44_100);
        assert_eq!(extended(0x400F, 0xBB80_0000_0000_0000), 96_000);
        assert_eq!(extended(0, 0), 0);
        assert_eq!(extended(0x7FFF, u64::MAX), 0);
    }
}
