//! What an audio file holds, read from its headers and its end: a few small reads, however large the
//! file. What only a look at all of it can tell is in `content`.

mod aac;
mod aiff;
mod bits;
pub(super) mod content;
mod flac;
mod mp3;
mod mp4;
mod wav;

use std::time::Duration;

use bytes::Bytes;

use super::{
    findings::{Objection, ProbeError},
    inspect::Flaw,
    reader::Reader,
};
use crate::{package::AudioProperties, settings::AudioRequirements};

/// How far a file's playing time may be from the track's: `tracks.duration` holds whole seconds,
/// and tools round it differently.
const DURATION_TOLERANCE: Duration = Duration::from_secs(2);

const EXPORT_AGAIN: &str = "Export the audio again as WAV or FLAC and replace the file.";

/// An audio file's properties, and what speaks against it all the same.
pub(super) struct Probed {
    pub(super) properties: AudioProperties,
    /// Where its audio is, for whoever listens to it.
    pub(super) content: Content,
    pub(super) objections: Vec<Objection>,
}

/// How a file's content can be listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Frames of MP3, in this part of the file.
    Mp3 {
        /// Bytes before them.
        from: u64,
        /// Bytes.
        length: u64,
    },
    /// Frames of AAC, in the order in which they lie in the file.
    Aac(Vec<aac::Frame>),
}

impl Content {
    /// The word under which is kept what was found; it changes when there is more to find.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Samples { .. } => "samples",
            Self::Flac => "flac",
            Self::Mp3 { .. } => "mp3 frames",
            Self::Aac(_) => "aac",
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
    } else if head.starts_with(b"FORM") && (head.ends_with(b"AIFF") || head.ends_with(b"AIFC")) {
        aiff::probe(file).await
    } else if head.get(4..8) == Some(b"ftyp") {
        mp4::probe(file).await
    } else if head.starts_with(b"ID3") || is_mpeg_frame(&head) {
        mp3::probe(file).await
    } else {
        Err(Objection::new(format!("is {}", other(&head)), EXPORT_AGAIN).into())
    }
}

/// What a platform and common sense object to in `properties`.
pub(super) fn objections(
    properties: &AudioProperties,
    accepted: &[String],
    required: &AudioRequirements,
    track_duration_s: Option<i32>,
) -> Vec<Objection> {
    let mut objections = Vec::new();
    let word = properties.codec.word();
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
    if properties.sample_rate_hz < required.min_rate_hz {
        objections.push(Objection::new(
            format!(
                "has a sample rate of {} Hz, at least {} are needed",
                properties.sample_rate_hz, required.min_rate_hz
            ),
            "Export the audio at the rate of the original; do not convert it up.",
        ));
    }
    if properties.sample_rate_hz > required.max_rate_hz {
        objections.push(Objection::new(
            format!(
                "has a sample rate of {} Hz, at most {} are taken",
                properties.sample_rate_hz, required.max_rate_hz
            ),
            format!("Export the audio at {} Hz or less.", required.max_rate_hz),
        ));
    }
    let bits = properties.bits_per_sample;
    if !properties.codec.is_lossy() && !required.bits.contains(&bits) {
        let taken = either(&required.bits);
        objections.push(Objection::new(
            format!("has {bits} bits per sample, {taken} are taken"),
            format!("Export the audio with {taken} bits."),
        ));
    }
    if !required.channels.contains(&properties.channels) {
        let taken = either(&required.channels);
        objections.push(Objection::new(
            format!("has {} channels, {taken} are taken", properties.channels),
            "Export a mix with so many channels: one is mono, two are stereo.",
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

/// `16 or 24`.
fn either(numbers: &[u8]) -> String {
    let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    words.join(" or ")
}

/// Eleven bits of one, which no other kind of file begins with.
fn is_mpeg_frame(head: &[u8]) -> bool {
    head.first() == Some(&0xFF) && head.get(1).is_some_and(|byte| byte & 0xE0 == 0xE0)
}

/// Playing time of `samples` per channel.
fn duration(samples: u64, sample_rate_hz: u32) -> Duration {
    let rate = u64::from(sample_rate_hz.max(1));
    let nanos = u128::from(samples % rate) * 1_000_000_000 / u128::from(rate);
    Duration::new(samples / rate, u32::try_from(nanos).unwrap_or(0))
}

/// A name for what is no audio file that can be looked into.
fn other(head: &Bytes) -> &'static str {
    if head.starts_with(b"RF64") || head.starts_with(b"BW64") {
        "an RF64 file, and only plain WAV (up to 4 GiB) is taken"
    } else if head.starts_with(b"OggS") {
        "an Ogg file"
    } else {
        "no audio file of a kind that is known here (WAV, FLAC, AIFF, MP3, AAC in MP4)"
    }
}
