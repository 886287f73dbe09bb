//! `metadata.json`: the release as partners get it who take JSON. One definition for the adapters
//! that send it and for those who read it. A full statement of the release at every hand-over: what
//! is not in it is no longer so.
//!
//! Keys without a value are left out. Identifiers are checked and without hyphens, dates are
//! `YYYY-MM-DD`, names of files are those of the manifest. `territories` is `"worldwide"`,
//! `{"worldwide_except": ["KP"]}` or `{"only": ["DE", "FR"]}` with codes of ISO 3166-1.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::manifest::{FileEntry, HandoverEntry, to_json};
use crate::{
    Fault, Handover,
    package::{AudioCodec, ImageFormat, Package, PackagedArtwork, PackagedAudio, PackagedTrack},
    release::{Credits, Isrc, ReleaseType, RightsLine, Territories, Upc},
};

/// The release as partners get it who take JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// [`Metadata::FORMAT`]; the number rises when a reader must be changed.
    pub format: String,
    /// Which hand-over it belongs to, and what is to be done with the release.
    pub handover: HandoverEntry,
    /// The release.
    pub release: ReleaseMetadata,
    /// In playing order.
    pub tracks: Vec<TrackMetadata>,
    /// The front cover; absent in a takedown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artwork: Option<ArtworkMetadata>,
}

/// What concerns the release as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in the release model")]
pub struct ReleaseMetadata {
    pub upc: Upc,
    #[serde(rename = "type")]
    pub release_type: ReleaseType,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtitle: Option<String>,
    pub display_artist: String,
    pub label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_line: Option<RightsLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_line: Option<RightsLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genre: Option<String>,
    pub language: String,
    pub explicit: bool,
    pub release_date: NaiveDate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_release_date: Option<NaiveDate>,
    pub territories: Territories,
    pub credits: Credits,
}

/// One track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in the release model")]
pub struct TrackMetadata {
    pub disc: u32,
    pub number: u32,
    pub isrc: Isrc,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iswc: Option<String>,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtitle: Option<String>,
    pub display_artist: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_line: Option<RightsLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genre: Option<String>,
    pub language: String,
    pub explicit: bool,
    pub credits: Credits,
    /// Absent in a takedown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioMetadata>,
}

/// A track's audio file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioMetadata {
    /// Name, size and hash sums.
    #[serde(flatten)]
    pub file: FileEntry,
    /// How it is coded.
    pub codec: AudioCodec,
    /// Hertz.
    pub sample_rate_hz: u32,
    /// 16 or 24; absent where the coding has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bits_per_sample: u8,
    /// 1 mono, 2 stereo.
    pub channels: u8,
    /// Playing time of the file in milliseconds.
    pub duration_ms: u64,
}

/// The front cover's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtworkMetadata {
    /// Name, size and hash sums.
    #[serde(flatten)]
    pub file: FileEntry,
    /// By content.
    pub format: ImageFormat,
    /// Pixels.
    pub width_px: u32,
    /// Pixels.
    pub height_px: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(bits: &u8) -> bool {
    *bits == 0
}

impl Metadata {
    /// The value of `format`.
    pub const FORMAT: &'static str = "tunemantra-metadata/1";
    /// What the file is called at the partner.
    pub const FILE_NAME: &'static str = "metadata.json";

    /// The metadata document of a hand-over.
    #[must_use]
    pub fn for_handover(handover: &Handover, package: &Package) -> Self {
        Self {
            format: Self::FORMAT.into(),
            handover: handover.into(),
            release: package.into(),
            tracks: package.tracks.iter().map(TrackMetadata::from).collect(),
            artwork: package.artwork.as_ref().map(ArtworkMetadata::from),
        }
    }

    /// The file's bytes: the same for the same metadata.
    ///
    /// # Errors
    /// None that is known; [`crate::Code::WorkerFault`] if it cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        to_json(self)
    }
}

impl From<&Package> for ReleaseMetadata {
    fn from(package: &Package) -> Self {
        let release = &package.release;
        Self {
            upc: package.upc.clone(),
            release_type: release.release_type,
            title: release.title.clone(),
            subtitle: release.subtitle.clone(),
            display_artist: release.display_artist.clone(),
            label: release.label.clone(),
            p_line: release.p_line.clone(),
            c_line: release.c_line.clone(),
            genre: release.genre.clone(),
            language: release.language.clone(),
            explicit: release.is_explicit,
            release_date: release.release_date,
            original_release_date: release.original_release_date,
            territories: package.territories.clone(),
            credits: release.credits.clone(),
        }
    }
}

impl From<&PackagedTrack> for TrackMetadata {
    fn from(packaged: &PackagedTrack) -> Self {
        let track = &packaged.track;
        Self {
            disc: track.disc,
            number: packaged.number,
            isrc: packaged.isrc.clone(),
            iswc: track.iswc.clone(),
            title: track.title.clone(),
            subtitle: track.subtitle.clone(),
            display_artist: track.display_artist.clone(),
            p_line: track.p_line.clone(),
            genre: track.genre.clone(),
            language: track.language.clone(),
            explicit: track.is_explicit,
            credits: track.credits.clone(),
            audio: packaged.audio.as_ref().map(AudioMetadata::from),
        }
    }
}

impl From<&PackagedAudio> for AudioMetadata {
    fn from(audio: &PackagedAudio) -> Self {
        let properties = &audio.properties;
        Self {
            file: (&audio.file).into(),
            codec: properties.codec,
            sample_rate_hz: properties.sample_rate_hz,
            bits_per_sample: properties.bits_per_sample,
            channels: properties.channels,
            duration_ms: u64::try_from(properties.duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl From<&PackagedArtwork> for ArtworkMetadata {
    fn from(artwork: &PackagedArtwork) -> Self {
        Self {
            file: (&artwork.file).into(),
            format: artwork.format,
            width_px: artwork.width_px,
            height_px: artwork.height_px,
        }
    }
}
