//! The NewReleaseMessage of ERN: the full statement of a release for one platform, made from a
//! package; and the PurgeReleaseMessage that ends it, where a partner wants that. The same hand-over
//! of the same package gives the same bytes.
//!
//! `plan` decides what the message says, in every version of ERN; the files beside this one write
//! it, section by section, in the schemas' order: 4.3 and 4.3.2, which differ in a few elements, and
//! in `ern3` 3.8.2. Nothing here reads a clock, a file or the network.
//!
//! It follows DDEX's release profiles (`Audio` and `SimpleAudioSingle`, in 3.8.2
//! `AudioAlbumMusicOnly` and `AudioSingle`) beyond what the schema enforces: one track release per
//! primary resource (none in `SimpleAudioSingle`), one front cover, display artists in sequence, one
//! contributor entry a party, a label for every territory, default values marked as such. Lyrics are
//! secondary resources, each linked to its recording, after the cover.

mod credits;
mod deals;
mod ern3;
mod genre;
mod header;
mod language;
mod offers;
mod parties;
mod plan;
mod profile;
mod purge;
mod releases;
mod resources;
mod rights;
mod titles;
mod vocabulary;

use std::time::Duration;

pub use offers::{Offer, Statement};
pub(super) use resources::RESOURCES;

use chrono::NaiveDate;

use self::{
    plan::{Plan, Recording},
    profile::Profile,
};
use super::{version::Version, xml::Document};
use crate::{
    Code, Fault, Handover,
    package::{Package, PackagedFile, PackagedTrack},
    settings::{DdexSpecs, Platform},
};

/// A message, ready to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its `MessageId`.
    pub id: String,
    /// The release's id in folder and file names: the bar code in 13 digits, as in `ICPN`.
    pub release_id: String,
    /// The version of ERN that it is written in.
    pub version: Version,
    /// The document.
    pub xml: Vec<u8>,
    /// The files that go with it, each once: they go into `resources/` before the message. None for
    /// a takedown, and for an update that needs none.
    pub files: Vec<PackagedFile>,
    /// What it says is offered, to be held against the next message about the release.
    pub statement: Statement,
    /// What the partner was offered and is not any more, in words.
    pub withdrawals: Vec<String>,
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
    write(&plan, &mut xml);
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
        version: plan.version,
        xml,
        files: plan.files(),
        statement: plan.statement,
        withdrawals: plan.withdrawals,
    })
}

/// Checks that the platform's DDEX settings are ones that this adapter speaks.
///
/// # Errors
/// [`Code::SettingsInvalid`], naming the setting.
pub fn check_settings(platform: &Platform) -> Result<&DdexSpecs, Fault> {
    let (specs, version) = plan::specs(platform)?;
    Profile::by_settings(platform, specs, version)?;
    deals::models(platform, specs)?;
    Ok(specs)
}

fn write(plan: &Plan<'_>, xml: &mut Document) {
    if plan.is_purge() {
        return purge::write(plan, xml);
    }
    if plan.version == Version::Ern382 {
        return ern3::write(plan, xml);
    }
    let language = plan.language();
    let attributes = [
        ("xmlns:ern", plan.version.namespace()),
        ("AvsVersionId", vocabulary::AVS_VERSION),
        ("ReleaseProfileVersionId", plan.profile.as_str()),
        ("LanguageAndScriptCode", &language),
    ];
    xml.element_with("ern:NewReleaseMessage", &attributes, |xml| {
        header::write(plan, xml);
        plan.parties.write(xml);
        resources::write(plan, xml);
        releases::write(plan, xml);
        deals::write(plan, xml, deals::terms);
    });
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
