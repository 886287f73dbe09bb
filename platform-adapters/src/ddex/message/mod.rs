//! The ERN 4.3 NewReleaseMessage: the full statement of a release for one platform, made from a
//! package. The same hand-over of the same package gives the same bytes.
//!
//! [`Plan`] decides what the message says; the files beside this one write it, section by section,
//! in the schema's order. Nothing here reads a clock, a file or the network.
//!
//! It follows DDEX's release profiles `Audio` and `SimpleAudioSingle` beyond what the schema
//! enforces: one track release per primary resource (none in `SimpleAudioSingle`), one front cover,
//! display artists in sequence, one contributor entry a party, a label for every territory, default
//! values marked as such.

mod credits;
mod deals;
mod header;
mod parties;
mod profile;
mod releases;
mod resources;
mod rights;
mod titles;
mod vocabulary;

use std::time::Duration;

pub(super) use resources::RESOURCES;

use chrono::NaiveDate;

use self::{
    credits::{Contributor, DisplayArtist},
    parties::Parties,
    profile::Profile,
};
use super::xml::Document;
use crate::{
    Code, Fault, Finding, Handover, Kind,
    package::{Package, PackagedFile, PackagedTrack},
    settings::{DdexSpecs, Platform},
};

/// The namespace of ERN 4.3.
pub const ERN_43: &str = "http://ddex.net/xml/ern/43";

/// A message, ready to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its `MessageId`.
    pub id: String,
    /// The release's id in folder and file names: the bar code in 13 digits, as in `ICPN`.
    pub release_id: String,
    /// The document.
    pub xml: Vec<u8>,
    /// The files it speaks of, each once: they go into `resources/` before the message. None for a
    /// takedown.
    pub files: Vec<PackagedFile>,
}

/// Builds the message of a hand-over.
///
/// # Errors
/// [`Code::SettingsInvalid`] for a DDEX version, profile or commercial model that is not supported;
/// [`Code::PackageInvalid`] for a release that may be sold nowhere or has no front cover;
/// [`Code::Unsupported`] for a release that the platform's profile cannot carry.
pub fn build(
    platform: &Platform,
    handover: &Handover,
    package: &Package,
) -> Result<Message, Fault> {
    let plan = Plan::new(platform, handover, package)?;
    let mut xml = Document::new();
    plan.write(&mut xml);
    let xml = xml.finish().map_err(|error| {
        Fault::new(
            Code::WorkerFault,
            format!(
                "the message about {} cannot be written: {error}",
                package.name()
            ),
        )
    })?;
    Ok(Message {
        id: handover.key(),
        release_id: plan.icpn.clone(),
        xml,
        files: plan.files(),
    })
}

/// Checks that the platform's DDEX settings are ones that this adapter speaks.
///
/// # Errors
/// [`Code::SettingsInvalid`], naming the setting.
pub fn check_settings(platform: &Platform) -> Result<&DdexSpecs, Fault> {
    let specs = specs(platform)?;
    Profile::by_settings(platform, specs)?;
    deals::models(platform, &specs.models)?;
    Ok(specs)
}

/// What a message says, decided before it is written.
struct Plan<'a> {
    platform: &'a Platform,
    specs: &'a DdexSpecs,
    handover: &'a Handover,
    package: &'a Package,
    profile: Profile,
    icpn: String,
    parties: Parties,
    label: String,
    artists: Vec<DisplayArtist>,
    recordings: Vec<Recording<'a>>,
    /// Empty for a takedown.
    models: Vec<&'static vocabulary::Model>,
}

/// A distinct recording: the same code and the same audio.
struct Recording<'a> {
    /// From 1: in `A1`, `T1` and `R1`.
    number: usize,
    /// The first track that has it.
    track: &'a PackagedTrack,
    artists: Vec<DisplayArtist>,
    contributors: Vec<Contributor>,
}

impl Recording<'_> {
    fn resource_reference(&self) -> String {
        format!("A{}", self.number)
    }

    fn release_reference(&self) -> String {
        format!("R{}", self.number)
    }
}

impl<'a> Plan<'a> {
    fn new(
        platform: &'a Platform,
        handover: &'a Handover,
        package: &'a Package,
    ) -> Result<Self, Fault> {
        let specs = specs(platform)?;
        let release = &package.release;
        let models = if handover.kind == Kind::Takedown {
            Vec::new()
        } else {
            deals::check_territories(package)?;
            check_cover(package)?;
            deals::models(platform, &specs.models)?
        };
        let mut parties = Parties::default();
        let artists =
            credits::display_artists(&release.display_artist, &release.credits, &mut parties);
        let label = parties.label(&release.label).ok_or_else(|| {
            missing(
                "label",
                "the release has no label",
                "Give the release a label.",
            )
        })?;
        let recordings = recordings(package, &mut parties);
        Ok(Self {
            profile: Profile::of(platform, specs, package, recordings.len())?,
            platform,
            specs,
            handover,
            package,
            icpn: package.upc.to_gtin13(),
            parties,
            label,
            artists,
            recordings,
            models,
        })
    }

    fn write(&self, xml: &mut Document) {
        let attributes = [
            ("xmlns:ern", ERN_43),
            ("AvsVersionId", vocabulary::AVS_VERSION),
            ("ReleaseProfileVersionId", self.profile.as_str()),
            ("LanguageAndScriptCode", self.language()),
        ];
        xml.element_with("ern:NewReleaseMessage", &attributes, |xml| {
            header::write(self, xml);
            self.parties.write(xml);
            resources::write(self, xml);
            releases::write(self, xml);
            deals::write(self, xml);
        });
    }

    /// The language of the message's titles: the release's. A release without words says nothing of
    /// its titles' language, and a message must name one.
    fn language(&self) -> &str {
        language_tag(&self.package.release.language)
            .filter(|tag| *tag != "zxx")
            .unwrap_or("en")
    }

    /// The files, each once, in the message's order.
    fn files(&self) -> Vec<PackagedFile> {
        let audio = self.recordings.iter().filter_map(|recording| {
            let audio = recording.track.audio.as_ref()?;
            Some(&audio.file)
        });
        let cover = self.package.artwork.iter().map(|artwork| &artwork.file);
        audio.chain(cover).cloned().collect()
    }

    /// The recordings that have a track release of their own.
    fn track_releases(&self) -> &[Recording<'a>] {
        match self.profile {
            Profile::Audio => &self.recordings,
            Profile::SimpleAudioSingle => &[],
        }
    }

    /// The recording that a track of the package plays.
    fn recording_of(&self, track: &PackagedTrack) -> Option<&Recording<'a>> {
        self.recordings
            .iter()
            .find(|recording| same_recording(recording.track, track))
    }

    /// The cover's reference: the resource after the last recording.
    fn cover_number(&self) -> usize {
        self.recordings.len() + 1
    }

    fn is_explicit(&self) -> bool {
        let tracks = &self.package.tracks;
        self.package.release.is_explicit || tracks.iter().any(|track| track.track.is_explicit)
    }

    /// The release's playing time as the message's durations add up to it.
    fn playing_time(&self) -> Duration {
        self.package.tracks.iter().map(duration).sum()
    }
}

fn specs(platform: &Platform) -> Result<&DdexSpecs, Fault> {
    let wrong = |key: &str, problem: String| {
        Fault::new(
            Code::SettingsInvalid,
            format!(
                "format_specs.ddex{key} of platform {} ({:?}) {problem}",
                platform.id, platform.name
            ),
        )
    };
    let specs = platform.format_specs.ddex.as_ref().ok_or_else(|| {
        wrong(
            "",
            "is missing; it names sender_dpid and recipient_dpid".into(),
        )
    })?;
    if specs.version != "4.3" {
        return Err(wrong(
            ".version",
            format!("is {:?}; 4.3 is supported", specs.version),
        ));
    }
    if specs.choreography != "release-by-release" {
        return Err(wrong(
            ".choreography",
            format!(
                "is {:?}; release-by-release is supported",
                specs.choreography
            ),
        ));
    }
    Ok(specs)
}

fn recordings<'a>(package: &'a Package, parties: &mut Parties) -> Vec<Recording<'a>> {
    let mut recordings: Vec<Recording<'a>> = Vec::new();
    for track in &package.tracks {
        if recordings
            .iter()
            .any(|known| same_recording(known.track, track))
        {
            continue;
        }
        let held = credits::of_track(&track.track, &package.release);
        let artists = credits::display_artists(&track.track.display_artist, held, parties);
        let contributors = credits::contributors(held, parties);
        recordings.push(Recording {
            number: recordings.len() + 1,
            track,
            artists,
            contributors,
        });
    }
    recordings
}

/// An ISRC alone is no key: catalogues carry wrong ones. Without files there is nothing else.
fn same_recording(one: &PackagedTrack, other: &PackagedTrack) -> bool {
    let sum = |track: &PackagedTrack| track.audio.as_ref().map(|audio| audio.file.sha256.clone());
    one.isrc == other.isrc && sum(one) == sum(other)
}

fn check_cover(package: &Package) -> Result<(), Fault> {
    if package.artwork.is_none() {
        return Err(missing(
            "artwork",
            "the release has no front cover",
            "Give the release artwork.",
        ));
    }
    Ok(())
}

fn missing(field: &str, problem: &str, remedy: &str) -> Fault {
    Fault::package_invalid(vec![Finding {
        field: field.into(),
        problem: problem.into(),
        remedy: remedy.into(),
    }])
}

/// Playing time in whole seconds: the audio file's; the catalogue's where there is no file.
fn duration(track: &PackagedTrack) -> Duration {
    let exact = track.audio.as_ref().map_or_else(
        || {
            let catalogued = track.track.duration_s.unwrap_or_default();
            Duration::from_secs(u64::try_from(catalogued).unwrap_or_default())
        },
        |audio| audio.properties.duration,
    );
    Duration::from_secs(exact.as_secs() + u64::from(exact.subsec_millis() >= 500))
}

/// ISO 8601: `PT1H2M3S`.
fn iso_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::from("PT");
    if hours > 0 {
        text.push_str(&format!("{hours}H"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}M"));
    }
    if rest > 0 || seconds == 0 {
        text.push_str(&format!("{rest}S"));
    }
    text
}

/// `YYYY-MM-DD`.
fn date(date: NaiveDate) -> String {
    date.format("%Y-%m-%d").to_string()
}

/// The code, if it can be written as a language tag.
fn language_tag(code: &str) -> Option<&str> {
    let code = code.trim();
    let good = (2..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphabetic());
    good.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601() {
        let text = |seconds| iso_duration(Duration::from_secs(seconds));
        assert_eq!(text(0), "PT0S");
        assert_eq!(text(59), "PT59S");
        assert_eq!(text(60), "PT1M");
        assert_eq!(text(3723), "PT1H2M3S");
        assert_eq!(text(7200), "PT2H");
    }
}
