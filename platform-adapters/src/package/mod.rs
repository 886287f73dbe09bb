//! What one attempt hands over: the release with checked identifiers, and its files with sizes and
//! hash sums.

mod artwork;
mod assemble;
mod assets;
mod audio;
mod findings;
mod hash;
mod inspect;
mod lyrics;
mod manifest;
mod metadata;
mod metadata_checks;
mod numbering;
mod reader;
mod remote;
mod territories;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use assemble::assemble;
pub use assets::AssetStore;
pub use inspect::{Flaw, Inspection, KeptInspections};
pub use manifest::{FileEntry, HandoverEntry, Manifest};
pub use metadata::{ArtworkMetadata, AudioMetadata, Metadata, ReleaseMetadata, TrackMetadata};

pub(crate) use territories::ALL as ALL_TERRITORIES;
pub use territories::is_known as is_territory;

use crate::release::{Isrc, Release, Territories, Track, Upc};

/// A release that passed the package check for one platform, ready to be handed over.
#[derive(Clone, Debug)]
pub struct Package {
    /// The release, as the catalogue has it.
    pub release: Release,
    /// The release's bar code.
    pub upc: Upc,
    /// In playing order; never empty.
    pub tracks: Vec<PackagedTrack>,
    /// The front cover. Absent in a takedown, which needs no files, and only there.
    pub artwork: Option<PackagedArtwork>,
    /// Where this platform may sell it: the release's territories without the platform's
    /// restrictions.
    pub territories: Territories,
}

/// A track with its recording's code and its file.
#[derive(Clone, Debug)]
pub struct PackagedTrack {
    /// The track, as the catalogue has it.
    pub track: Track,
    /// Its position on its disc, from 1, without gaps.
    pub number: u32,
    /// Its recording's code.
    pub isrc: Isrc,
    /// Its audio. Absent in a takedown, which needs no files, and only there.
    pub audio: Option<PackagedAudio>,
    /// Its lyrics as a text file, where it has any and the platform takes them.
    pub lyrics: Option<PackagedFile>,
}

/// A track's audio.
#[derive(Clone, Debug)]
pub struct PackagedAudio {
    /// The audio file.
    pub file: PackagedFile,
    /// What the file holds.
    pub properties: AudioProperties,
}

/// The front cover.
#[derive(Clone, Debug)]
pub struct PackagedArtwork {
    /// The image file.
    pub file: PackagedFile,
    /// `JPEG`, `PNG` or `TIFF`, by content.
    pub format: ImageFormat,
    /// Pixels.
    pub width_px: u32,
    /// Pixels.
    pub height_px: u32,
}

/// A file of the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackagedFile {
    /// Its name at the partner: `0036000291452_01_001.flac`.
    pub name: String,
    /// Where it lies in the asset store; of a text of the catalogue its place there.
    #[serde(serialize_with = "as_text")]
    pub path: object_store::path::Path,
    /// All of it, where it is a text of the catalogue and lies in no asset store.
    #[serde(skip)]
    pub text: Option<Bytes>,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in lower-case hex.
    pub sha256: String,
    /// MD5 in lower-case hex, which many partners still ask for.
    pub md5: String,
    /// `audio/flac`, `audio/wav`, `image/jpeg`, `text/plain`.
    pub media_type: &'static str,
}

/// What an audio file holds, read from the file itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AudioProperties {
    /// How it is coded.
    pub codec: AudioCodec,
    /// Hertz.
    pub sample_rate_hz: u32,
    /// 16 or 24 as a rule; 0 where the coding has none (MP3, AAC).
    pub bits_per_sample: u8,
    /// 1 mono, 2 stereo.
    pub channels: u8,
    /// Playing time.
    pub duration: Duration,
}

/// Codings of audio that a package can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioCodec {
    /// Uncompressed samples in a WAV file.
    Pcm,
    /// Free Lossless Audio Codec.
    Flac,
    /// Uncompressed samples in an AIFF file.
    Aiff,
    /// MPEG audio, layer III.
    Mp3,
    /// Advanced Audio Coding in an MP4 file.
    Aac,
}

impl AudioCodec {
    /// The word in `format_specs.audio`, and the ending of a file's name, but for AAC's `m4a`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pcm => "wav",
            Self::Flac => "flac",
            Self::Aiff => "aiff",
            Self::Mp3 => "mp3",
            Self::Aac => "aac",
        }
    }

    /// Whether something of the original is lost in it.
    #[must_use]
    pub fn is_lossy(self) -> bool {
        matches!(self, Self::Mp3 | Self::Aac)
    }

    /// The ending of a file's name and the media type.
    pub(crate) fn file_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Pcm => ("wav", "audio/wav"),
            Self::Flac => ("flac", "audio/flac"),
            Self::Aiff => ("aiff", "audio/aiff"),
            Self::Mp3 => ("mp3", "audio/mpeg"),
            Self::Aac => ("m4a", "audio/mp4"),
        }
    }
}

/// Formats of artwork that a package can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the formats' own names")]
pub enum ImageFormat {
    Jpeg,
    Png,
    Tiff,
}

impl ImageFormat {
    /// The ending of a file's name and the media type.
    pub(crate) fn file_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Jpeg => ("jpg", "image/jpeg"),
            Self::Png => ("png", "image/png"),
            Self::Tiff => ("tif", "image/tiff"),
        }
    }
}

impl Package {
    /// All files: the tracks' audio in playing order, the artwork, the tracks' lyrics. None in a
    /// takedown.
    pub fn files(&self) -> impl Iterator<Item = &PackagedFile> {
        let audio = self.tracks.iter().filter_map(|track| track.audio.as_ref());
        let lyrics = self.tracks.iter().filter_map(|track| track.lyrics.as_ref());
        audio
            .map(|audio| &audio.file)
            .chain(self.artwork.iter().map(|artwork| &artwork.file))
            .chain(lyrics)
    }

    /// SHA-256 in hex over everything that goes into the package: when it is the same, there is
    /// nothing new to send.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |part: &[u8]| {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        };
        // A release always serialises; were it not so, its files still count.
        add(&serde_json::to_vec(&(&self.release, &self.territories)).unwrap_or_default());
        for file in self.files() {
            add(file.name.as_bytes());
            add(file.sha256.as_bytes());
        }
        hex::encode(hasher.finalize())
    }

    /// Title and UPC, as sentences for people name a release.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{:?} (UPC {})", self.release.title, self.upc)
    }
}

fn as_text<S: serde::Serializer>(
    path: &object_store::path::Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(path.as_ref())
}
