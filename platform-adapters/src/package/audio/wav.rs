//! WAV: walks the chunks of the RIFF file and holds their sizes against the file's.

use bytes::{Buf, Bytes};

use super::{Content, EXPORT_AGAIN, Probed, duration};
use crate::package::{
    AudioCodec, AudioProperties,
    findings::{Objection, ProbeError},
    reader::Reader,
};

/// More chunks than any tool writes; a file of thousands of empty ones is not worth the reads.
const CHUNKS_LIMIT: usize = 1_000;

const PCM: u16 = 0x0001;
const EXTENSIBLE: u16 = 0xFFFE;

const COPY_AGAIN: &str = "Copy the file into the asset store again, or export it again.";

/// The part of the `fmt ` chunk that counts.
struct Format {
    tag: u16,
    channels: u16,
    sample_rate_hz: u32,
    block_align: u16,
    bits_per_sample: u16,
}

pub(super) async fn probe(file: &mut Reader<'_>) -> Result<Probed, ProbeError> {
    let mut at = 12;
    let mut format = None;
    for _ in 0..CHUNKS_LIMIT {
        let mut header = file.read(at, 8).await?;
        if header.len() < 8 {
            return Err(
                Objection::new("is truncated: it ends before its audio data", COPY_AGAIN).into(),
            );
        }
        let id = header.split_to(4);
        let length = u64::from(header.get_u32_le());
        let body = at + 8;
        match (&id[..], &format) {
            (b"fmt ", _) => format = Some(parse_format(file.read(body, length.min(40)).await?)?),
            (b"data", Some(format)) => return describe(format, body, length, file.size()),
            (b"data", None) => {
                return Err(Objection::new(
                    "is not a sound WAV file: its audio data stand before their format",
                    EXPORT_AGAIN,
                )
                .into());
            }
            _ => {}
        }
        at = body + length + length % 2;
    }
    Err(Objection::new(
        "is not a sound WAV file: it has too many chunks",
        EXPORT_AGAIN,
    )
    .into())
}

fn parse_format(mut chunk: Bytes) -> Result<Format, Objection> {
    if chunk.len() < 16 {
        return Err(Objection::new(
            "is not a sound WAV file: its format chunk is too short",
            EXPORT_AGAIN,
        ));
    }
    let tag = chunk.get_u16_le();
    let channels = chunk.get_u16_le();
    let sample_rate_hz = chunk.get_u32_le();
    let _bytes_per_second = chunk.get_u32_le();
    Ok(Format {
        tag,
        channels,
        sample_rate_hz,
        block_align: chunk.get_u16_le(),
        bits_per_sample: chunk.get_u16_le(),
    })
}

fn describe(format: &Format, start: u64, length: u64, size: u64) -> Result<Probed, ProbeError> {
    let block = u64::from(format.block_align);
    let sound = block > 0
        && format.sample_rate_hz > 0
        && block * 8 == u64::from(format.channels) * u64::from(format.bits_per_sample);
    let mut objections = Vec::new();
    match format.tag {
        PCM => {}
        // Its first 18 bytes read as the plain form, so the other checks hold as well.
        EXTENSIBLE => objections.push(Objection::new(
            "is written as WAVE_FORMAT_EXTENSIBLE, which stores refuse",
            "Export it as plain PCM WAV, or as FLAC.",
        )),
        other => {
            return Err(Objection::new(
                format!("is WAV with coding 0x{other:04X}, only PCM is taken"),
                "Export it as PCM WAV with 16 or 24 bits, or as FLAC.",
            )
            .into());
        }
    }
    if !sound {
        return Err(Objection::new(
            "is not a sound WAV file: its format chunk contradicts itself",
            EXPORT_AGAIN,
        )
        .into());
    }
    let end = start + length;
    if end > size {
        return Err(Objection::new(
            format!(
                "is truncated: its header promises {length} bytes of audio, {} are there",
                size.saturating_sub(start)
            ),
            COPY_AGAIN,
        )
        .into());
    }
    if length < block {
        return Err(Objection::new("holds no audio", EXPORT_AGAIN).into());
    }
    if !length.is_multiple_of(block) {
        objections.push(Objection::new(
            "ends in the middle of a sample",
            EXPORT_AGAIN,
        ));
    }
    // A chunk of odd length is followed by one byte of padding.
    let after = size.saturating_sub(end + length % 2);
    if after > 0 {
        objections.push(Objection::new(
            format!("has {after} bytes after its audio data, which stores refuse"),
            "Export it without tags and markers at its end.",
        ));
    }
    Ok(Probed {
        properties: AudioProperties {
            codec: AudioCodec::Pcm,
            sample_rate_hz: format.sample_rate_hz,
            bits_per_sample: u8::try_from(format.bits_per_sample).unwrap_or(u8::MAX),
            channels: u8::try_from(format.channels).unwrap_or(u8::MAX),
            duration: duration(length / block, format.sample_rate_hz),
        },
        content: Content::Samples {
            from: start,
            length,
        },
        objections,
    })
}
