//! What an audio file holds, read from its headers and its end: a few small reads, however large the
//! file. What only a look at all of it can tell is in `content`.

pub(super) mod content;
mod flac;
mod wav;

use std::time::Duration;

use bytes::Bytes;

use super::{
    findings::{Objection, ProbeError},
    inspect::Flaw,
    reader::Reader,
};
use crate::package::{AudioCodec, AudioProperties};

/// How far a file's playing time may be from the track's: `tracks.duration` holds whole seconds,
/// and tools round it differently.
const DURATION_TOLERANCE: Duration = Duration::from_secs(2);

/// Below this, stores refuse.
const LOWEST_RATE_HZ: u32 = 44_100;

const EXPORT_AGAIN: &str = "Export the audio again as WAV or FLAC and replace the file.";

/// An audio file's properties, and what speaks against it all the same.
pub(super) struct Probed {
    pub(super) properties: AudioProperties,
    /// Where its audio is, for whoever listens to it.
    pub(super) content: Content,
    pub(super) objections: Vec<Objection>,
}

/// How a file's content can be listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Not at all: a picture, or an audio file that is refused for what its headers say.
    Opaque,
    /// Samples as they are, in this part of the file.
    Samples {
        /// Bytes before them.
        from: u64,
        /// Bytes.
        length: u64,
    },
    Flac,
}

impl Content {
    /// The word under which is kept what was found; it changes when there is more to find.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Samples { .. } => "samples",
            Self::Flac => "flac",
        }
    }
}

/// What is wrong with a file that was listened to.
pub(super) fn flawed(flaws: &[Flaw]) -> impl Iterator<Item = Objection> {
    flaws.iter().map(|flaw| match flaw {
        Flaw::Silent => Objection::new(
            "is silent from beginning to end: every sample is zero",
            "Look whether this is the right file, and export it again with the track switched on.",
        ),
        Flaw::Damaged { at_ms, reason } => Objection::new(
            format!(
                "is damaged: it cannot be decoded from {}:{:02} on ({reason})",
                at_ms / 60_000,
                at_ms / 1000 % 60
            ),
            "Copy the file into the asset store again, or export it again.",
        ),
    })
}

/// Reads an audio file's properties; the coding is told by content, never by name.
pub(super) async fn probe(file: &mut Reader<'_>) -> Result<Probed, ProbeError> {
    let head = file.read(0, 12).await?;
    if head.starts_with(b"fLaC") {
        flac::probe(file).await
    } else if head.starts_with(b"RIFF") && head.ends_with(b"WAVE") {
        wav::probe(file).await
    } else {
        Err(Objection::new(format!("is {}", other(&head)), EXPORT_AGAIN).into())
    }
}

/// What a platform and common sense object to in `properties`.
pub(super) fn objections(
    properties: &AudioProperties,
    accepted: &[String],
    track_duration_s: Option<i32>,
) -> Vec<Objection> {
    let mut objections = Vec::new();
    let word = match properties.codec {
        AudioCodec::Pcm => "wav",
        AudioCodec::Flac => "flac",
    };
    if !accepted
        .iter()
        .any(|other| other.eq_ignore_ascii_case(word))
    {
        let accepted = accepted.join(", ");
        objections.push(Objection::new(
            format!("is {word}, the platform takes {accepted} only"),
            format!("Supply the audio as {accepted}, or mend the platform's format_specs.audio."),
        ));
    }
    if properties.sample_rate_hz < LOWEST_RATE_HZ {
        objections.push(Objection::new(
            format!(
                "has a sample rate of {} Hz, at least {LOWEST_RATE_HZ} are needed",
                properties.sample_rate_hz
            ),
            "Export the audio at 44.1 kHz or more from the original; do not convert it up.",
        ));
    }
    if !matches!(properties.bits_per_sample, 16 | 24) {
        objections.push(Objection::new(
            format!(
                "has {} bits per sample, 16 or 24 are taken",
                properties.bits_per_sample
            ),
            "Export the audio with 16 or 24 bits.",
        ));
    }
    if !matches!(properties.channels, 1 | 2) {
        objections.push(Objection::new(
            format!("has {} channels, one or two are taken", properties.channels),
            "Export a stereo mix.",
        ));
    }
    if let Some(seconds) = track_duration_s {
        let expected = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        if properties.duration.abs_diff(expected) > DURATION_TOLERANCE {
            objections.push(Objection::new(
                format!(
                    "plays {:.1} s, the track's duration is {seconds} s",
                    properties.duration.as_secs_f64()
                ),
                "Look whether this is the right file; then mend the track's duration or the file.",
            ));
        }
    }
    objections
}

/// Playing time of `samples` per channel.
fn duration(samples: u64, sample_rate_hz: u32) -> Duration {
    let rate = u64::from(sample_rate_hz.max(1));
    let nanos = u128::from(samples % rate) * 1_000_000_000 / u128::from(rate);
    Duration::new(samples / rate, u32::try_from(nanos).unwrap_or(0))
}

/// A name for what is not WAV or FLAC.
fn other(head: &Bytes) -> &'static str {
    let at = |offset: usize, word: &[u8]| {
        head.get(offset..)
            .is_some_and(|rest| rest.starts_with(word))
    };
    if at(0, b"RF64") || at(0, b"BW64") {
        "an RF64 file, and only plain WAV (up to 4 GiB) is taken"
    } else if at(0, b"ID3") {
        "an MP3 file, or begins with an ID3 tag"
    } else if head.first() == Some(&0xFF) && head.get(1).is_some_and(|byte| byte & 0xE0 == 0xE0) {
        "an MPEG audio file (MP3 or AAC)"
    } else if at(0, b"FORM") {
        "an AIFF file"
    } else if at(0, b"OggS") {
        "an Ogg file"
    } else if at(4, b"ftyp") {
        "an MP4 file"
    } else {
        "neither WAV nor FLAC"
    }
}
