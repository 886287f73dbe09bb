//! DDEX's release profiles: which one a release is sent by.

use super::super::version::Version;
use crate::{
    Code, Fault,
    package::Package,
    release::ReleaseType,
    settings::{DdexSpecs, Platform},
};

/// A release profile of DDEX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    Audio,
    SimpleAudioSingle,
    AudioAlbumMusicOnly,
    AudioSingle,
}

impl Profile {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "Audio",
            Self::SimpleAudioSingle => "SimpleAudioSingle",
            Self::AudioAlbumMusicOnly => "AudioAlbumMusicOnly",
            Self::AudioSingle => "AudioSingle",
        }
    }

    /// The profiles of a version: for any release, and for a single of one recording.
    fn of_version(version: Version) -> [Self; 2] {
        match version {
            Version::Ern382 => [Self::AudioAlbumMusicOnly, Self::AudioSingle],
            Version::Ern43 | Version::Ern432 => [Self::Audio, Self::SimpleAudioSingle],
        }
    }

    /// The profile that the platform insists on, if it does.
    pub(super) fn by_settings(
        platform: &Platform,
        specs: &DdexSpecs,
        version: Version,
    ) -> Result<Option<Self>, Fault> {
        let Some(word) = specs.profile.as_deref() else {
            return Ok(None);
        };
        let known = Self::of_version(version);
        let found = known.into_iter().find(|profile| profile.as_str() == word);
        let problem = match found {
            Some(Self::SimpleAudioSingle) if specs.lyrics => {
                format!("{word} has no place for lyrics; set lyrics to false, or leave profile out")
            }
            Some(profile) => return Ok(Some(profile)),
            None => format!(
                "{word:?} is not one of {}, the profiles of ERN {version}",
                known.map(Self::as_str).join(", ")
            ),
        };
        Err(Fault::new(
            Code::SettingsInvalid,
            format!(
                "format_specs.ddex.profile of platform {} ({:?}): {problem}",
                platform.id, platform.name
            ),
        ))
    }

    /// The profile of a release: a single of one recording goes by the profile for these, unless
    /// the platform wants the other for everything. A SimpleAudioSingle has a recording and a cover
    /// and nothing else; where lyrics go along, a single is an Audio release like the others.
    pub(super) fn of(
        platform: &Platform,
        specs: &DdexSpecs,
        version: Version,
        package: &Package,
        recordings: usize,
    ) -> Result<Self, Fault> {
        let one = recordings == 1 && package.tracks.len() == 1;
        let [any, single] = Self::of_version(version);
        match Self::by_settings(platform, specs, version)? {
            Some(profile) if profile == single && !one => Err(Fault::new(
                Code::Unsupported,
                format!(
                    "platform {:?} takes the DDEX profile {} only, and {} has {} tracks",
                    platform.name,
                    profile.as_str(),
                    package.name(),
                    package.tracks.len()
                ),
            )
            .with_remedy(
                "Leave format_specs.ddex.profile out if the platform takes other releases too, or \
                 take it off the release's schedule.",
            )),
            Some(profile) => Ok(profile),
            None if single == Self::SimpleAudioSingle && specs.lyrics => Ok(any),
            None if one && package.release.release_type == ReleaseType::Single => Ok(single),
            None => Ok(any),
        }
    }
}
