//! The release as messages need it: what the catalogue says, before anything is checked. Identifiers
//! are still text here; the package holds them checked.

mod availability;
mod identifiers;

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

pub use availability::{Moment, ReleaseAvailability, TrackAvailability};
pub use identifiers::{Dpid, Grid, Isni, Isrc, Iswc, Upc};

use crate::package::ALL_TERRITORIES;

/// A release with its tracks, as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// `releases.id`.
    pub id: i32,
    /// `releases.title`.
    pub title: String,
    /// `metadata.subtitle` or `metadata.version`: "Deluxe Edition".
    pub subtitle: Option<String>,
    /// `releases.type`.
    pub release_type: ReleaseType,
    /// `releases.upc`, as it stands there.
    pub upc: Option<String>,
    /// `releases.artist_names`: how the artists are shown.
    pub display_artist: String,
    /// `metadata.label`, else the owner's name.
    pub label: String,
    /// `metadata.p_line`: the right in the recordings.
    pub p_line: Option<RightsLine>,
    /// `metadata.c_line`: the right in artwork and text.
    pub c_line: Option<RightsLine>,
    /// `releases.genre`.
    pub genre: Option<String>,
    /// `metadata.sub_genre`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_genre: Option<String>,
    /// ISO 639-1 or -2 code made from `releases.language`; `zxx` for instrumental.
    pub language: String,
    /// `releases.is_explicit`.
    pub is_explicit: bool,
    /// `releases.release_date`, the street date (UTC).
    pub release_date: NaiveDate,
    /// `metadata.original_release_date`, if it was released before.
    pub original_release_date: Option<NaiveDate>,
    /// `metadata.availability`.
    #[serde(default, skip_serializing_if = "ReleaseAvailability::is_default")]
    pub availability: ReleaseAvailability,
    /// `releases.artwork`: the path in the asset store.
    pub artwork: Option<String>,
    /// `releases.credits`.
    pub credits: Credits,
    /// Where it may be sold.
    pub territories: Territories,
    /// In playing order: by disc, then by number.
    pub tracks: Vec<Track>,
}

/// Labels of the seed's `content_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the labels are the field's own words")]
pub enum ReleaseType {
    Single,
    Album,
    Ep,
    Compilation,
    Remix,
    Live,
}

impl ReleaseType {
    /// The label of `content_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Album => "album",
            Self::Ep => "ep",
            Self::Compilation => "compilation",
            Self::Remix => "remix",
            Self::Live => "live",
        }
    }
}

/// A track of a release, as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// `tracks.id`.
    pub id: i32,
    /// `tracks.title`.
    pub title: String,
    /// `metadata.version` or `metadata.subtitle`: "Radio Edit".
    pub subtitle: Option<String>,
    /// `tracks.artist`.
    pub display_artist: String,
    /// `metadata.disc_number`; 1 where there is none.
    pub disc: u32,
    /// `tracks.track_number`, as it stands there.
    pub number: Option<i32>,
    /// `tracks.isrc`, as it stands there.
    pub isrc: Option<String>,
    /// `metadata.iswc`, the code of the work.
    pub iswc: Option<String>,
    /// `tracks.duration` in seconds, as it stands there.
    pub duration_s: Option<i32>,
    /// `tracks.audio_file`: the path in the asset store.
    pub audio_file: Option<String>,
    /// `tracks.lyrics`, as they stand there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lyrics: Option<String>,
    /// `tracks.is_explicit`.
    pub is_explicit: bool,
    /// `tracks.genre`, else the release's.
    pub genre: Option<String>,
    /// `metadata.sub_genre`, else the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_genre: Option<String>,
    /// ISO 639 code of the language sung, as for the release.
    pub language: String,
    /// `metadata.p_line`, else the release's.
    pub p_line: Option<RightsLine>,
    /// `metadata.availability`.
    #[serde(default, skip_serializing_if = "TrackAvailability::is_default")]
    pub availability: TrackAvailability,
    /// `tracks.credits`.
    pub credits: Credits,
}

/// A ℗ or © line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightsLine {
    /// The year of first publication.
    pub year: i32,
    /// Who holds the right: "Nordlicht Records".
    pub text: String,
}

/// The part of the seed's `Credits` that messages use. Other keys are left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the seed's Credits interface names them")]
pub struct Credits {
    pub primary_artist: Vec<String>,
    pub featured_artists: Vec<String>,
    pub composers: Vec<String>,
    pub lyricists: Vec<String>,
    pub producers: Vec<String>,
    pub mixing_engineers: Vec<String>,
    pub mastering_engineers: Vec<String>,
    pub musicians: Vec<Musician>,
    pub vocalists: Vec<Vocalist>,
}

/// A player, with instrument where it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the seed's Credits interface names them")]
pub struct Musician {
    pub name: String,
    #[serde(default)]
    pub role: String,
    #[serde(default)]
    pub instrument: Option<String>,
}

/// A singer: lead, backup, harmony.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the seed's Credits interface names them")]
pub struct Vocalist {
    pub name: String,
    #[serde(default)]
    pub role: String,
}

/// Where a release may be sold: ISO 3166-1 alpha-2 codes in upper case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Territories {
    /// Everywhere.
    Worldwide,
    /// Everywhere but here; never empty.
    WorldwideExcept(Vec<String>),
    /// Here only; may be empty, then nothing can be sold anywhere.
    Only(Vec<String>),
}

impl Territories {
    /// The codes that are meant.
    #[must_use]
    pub fn codes(&self) -> BTreeSet<&str> {
        let all = ALL_TERRITORIES.iter().copied();
        match self {
            Self::Worldwide => all.collect(),
            Self::WorldwideExcept(excluded) => all
                .filter(|code| !excluded.iter().any(|other| other == code))
                .collect(),
            Self::Only(included) => included.iter().map(String::as_str).collect(),
        }
    }

    /// These of `codes` that are among these territories; all of these where `codes` is empty.
    #[must_use]
    pub fn narrowed_to(&self, codes: &[String]) -> Self {
        if codes.is_empty() {
            return self.clone();
        }
        let own = self.codes();
        let wanted = codes.iter().map(|code| code.trim().to_ascii_uppercase());
        Self::Only(sorted(
            wanted.filter(|code| own.contains(code.as_str())).collect(),
        ))
    }

    /// These territories without `excluded`.
    #[must_use]
    pub fn without(&self, excluded: &[String]) -> Self {
        if excluded.is_empty() {
            return self.clone();
        }
        match self {
            Self::Worldwide => Self::WorldwideExcept(sorted(excluded.to_vec())),
            Self::WorldwideExcept(already) => {
                Self::WorldwideExcept(sorted([already.as_slice(), excluded].concat()))
            }
            Self::Only(included) => Self::Only(
                included
                    .iter()
                    .filter(|code| !excluded.contains(code))
                    .cloned()
                    .collect(),
            ),
        }
    }
}

fn sorted(mut codes: Vec<String>) -> Vec<String> {
    codes.sort();
    codes.dedup();
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restrictions_narrow_the_territories() {
        let codes = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(Territories::Worldwide.without(&[]), Territories::Worldwide);
        assert_eq!(
            Territories::Worldwide.without(&codes(&["KP", "CU", "KP"])),
            Territories::WorldwideExcept(codes(&["CU", "KP"]))
        );
        assert_eq!(
            Territories::Only(codes(&["DE", "FR"])).without(&codes(&["FR"])),
            Territories::Only(codes(&["DE"]))
        );
        assert_eq!(
            Territories::WorldwideExcept(codes(&["KP"])).narrowed_to(&codes(&["no", "KP", "DE"])),
            Territories::Only(codes(&["DE", "NO"]))
        );
        assert_eq!(Territories::Worldwide.codes().len(), 249);
    }
}
