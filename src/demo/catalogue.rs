//! The demo's catalogue: accounts, releases and tracks, read from `catalogue.toml`. What makes their
//! files is in `media`, what puts them into the database in `load`.

use anyhow::Context;
use platform_adapters::release::Upc;
use serde::Deserialize;
use serde_json::{Value, json};

/// The demo's catalogue, as `catalogue.toml` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalogue {
    /// Owners of releases; a parent stands before its sub-labels.
    #[serde(rename = "account")]
    pub(crate) accounts: Vec<Account>,
    /// The releases, each with its tracks.
    #[serde(rename = "release")]
    pub(crate) releases: Vec<Release>,
}

/// A user of the web application who owns releases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    /// The natural key of `users`.
    pub(crate) username: String,
    pub(crate) full_name: String,
    /// A label of `user_role`.
    pub(crate) role: String,
    /// The username of the parent label.
    pub(crate) parent: Option<String>,
}

/// A release with its tracks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Release {
    /// A username.
    pub(crate) owner: String,
    pub(crate) title: String,
    /// A label of `content_type`.
    #[serde(rename = "type")]
    pub(crate) release_type: String,
    /// The bar code; the natural key of `releases`.
    #[serde(deserialize_with = "upc_from_body")]
    pub(crate) upc: Upc,
    pub(crate) artist_names: String,
    pub(crate) genre: String,
    /// A label of `language`.
    pub(crate) language: String,
    /// The street date, in days after the load.
    pub(crate) days_ahead: u32,
    #[serde(default)]
    pub(crate) is_explicit: bool,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Value,
    pub(crate) credits: Value,
    /// Rows of `rights_management`.
    #[serde(default)]
    pub(crate) rights: Vec<Right>,
    #[serde(rename = "track")]
    pub(crate) tracks: Vec<Track>,
}

/// A row of `rights_management` for a whole release.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Right {
    /// A label of `ownership_type`.
    pub(crate) ownership: String,
    /// `verification_status`.
    pub(crate) verification: String,
    /// ISO 3166-1 codes; none: everywhere.
    pub(crate) territories: Option<Vec<String>>,
    /// When the right ends, in days after the load.
    pub(crate) expires_in_days: Option<u32>,
}

/// A track and how its audio is to sound and to be coded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Track {
    pub(crate) title: String,
    pub(crate) artist: String,
    /// The natural key of `tracks`.
    pub(crate) isrc: String,
    /// Position on its disc.
    pub(crate) number: i32,
    #[serde(default)]
    pub(crate) is_explicit: bool,
    pub(crate) genre: Option<String>,
    pub(crate) language: String,
    pub(crate) bpm: u16,
    pub(crate) key: String,
    pub(crate) seconds: u16,
    pub(crate) audio: AudioFormat,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
    pub(crate) credits: Value,
}

/// How a track's audio is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AudioFormat {
    /// WAV, 16 bit, 44.1 kHz.
    Wav16,
    /// WAV, 24 bit, 48 kHz.
    Wav24,
    /// FLAC, 16 bit, 44.1 kHz.
    Flac16,
    /// FLAC, 24 bit, 48 kHz.
    Flac24,
}

impl AudioFormat {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Wav16 | Self::Wav24 => "wav",
            Self::Flac16 | Self::Flac24 => "flac",
        }
    }

    pub(crate) fn bits_per_sample(self) -> u16 {
        match self {
            Self::Wav16 | Self::Flac16 => 16,
            Self::Wav24 | Self::Flac24 => 24,
        }
    }

    pub(crate) fn sample_rate_hz(self) -> u32 {
        match self {
            Self::Wav16 | Self::Flac16 => 44_100,
            Self::Wav24 | Self::Flac24 => 48_000,
        }
    }
}

impl Catalogue {
    /// Reads the catalogue that is part of the program.
    pub(crate) fn embedded() -> anyhow::Result<Self> {
        toml::from_str(include_str!("catalogue.toml")).context("the demo's catalogue is damaged")
    }

    pub(crate) fn track_count(&self) -> usize {
        self.releases
            .iter()
            .map(|release| release.tracks.len())
            .sum()
    }
}

impl Release {
    /// Where the front cover lies in the asset store.
    pub(crate) fn artwork_path(&self) -> String {
        format!("{}/cover.jpg", self.upc)
    }

    /// Where a track's audio lies in the asset store.
    pub(crate) fn audio_path(&self, track: &Track) -> String {
        format!(
            "{}/{}-{:02}.{}",
            self.upc,
            track.disc(),
            track.number,
            track.audio.extension()
        )
    }
}

impl Track {
    pub(crate) fn disc(&self) -> u64 {
        self.metadata
            .get("disc_number")
            .and_then(Value::as_u64)
            .unwrap_or(1)
    }

    pub(crate) fn metadata(&self) -> Value {
        json!(self.metadata)
    }
}

fn upc_from_body<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Upc, D::Error> {
    Upc::from_body(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use platform_adapters::release::Isrc;

    use super::*;

    #[test]
    fn the_catalogue_is_as_varied_as_a_label_s() {
        let catalogue = Catalogue::embedded().unwrap();
        assert!(catalogue.releases.len() >= 12);
        let types: HashSet<&str> = catalogue
            .releases
            .iter()
            .map(|release| release.release_type.as_str())
            .collect();
        let every = ["single", "ep", "album", "compilation", "remix", "live"];
        assert_eq!(types, HashSet::from(every));
        let tracks = || catalogue.releases.iter().flat_map(|r| &r.tracks);
        assert!(tracks().any(|track| track.disc() == 2));
        assert!(tracks().any(|track| track.is_explicit));
        for format in [
            AudioFormat::Wav16,
            AudioFormat::Wav24,
            AudioFormat::Flac16,
            AudioFormat::Flac24,
        ] {
            assert!(tracks().any(|track| track.audio == format), "{format:?}");
        }
    }

    #[test]
    fn keys_are_valid_and_used_once() {
        let catalogue = Catalogue::embedded().unwrap();
        let (mut upcs, mut isrcs, mut known) = (HashSet::new(), HashSet::new(), HashSet::new());
        for account in &catalogue.accounts {
            assert!(account.parent.as_ref().is_none_or(|p| known.contains(p)));
            assert!(known.insert(account.username.clone()));
        }
        for release in &catalogue.releases {
            assert!(known.contains(&release.owner), "{}", release.title);
            assert!(upcs.insert(release.upc.clone()), "{}", release.title);
            assert_eq!(
                release.is_explicit,
                release.tracks.iter().any(|track| track.is_explicit)
            );
            for track in &release.tracks {
                assert!(isrcs.insert(track.isrc.parse::<Isrc>().unwrap()));
            }
        }
    }
}
