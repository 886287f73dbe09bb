//! DDEX's release profiles: which one a release is sent by.

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
}

impl Profile {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "Audio",
            Self::SimpleAudioSingle => "SimpleAudioSingle",
        }
    }

    /// The profile that the platform insists on, if it does.
    pub(super) fn by_settings(
        platform: &Platform,
        specs: &DdexSpecs,
    ) -> Result<Option<Self>, Fault> {
        match specs.profile.as_deref() {
            None => Ok(None),
            Some("Audio") => Ok(Some(Self::Audio)),
            Some("SimpleAudioSingle") => Ok(Some(Self::SimpleAudioSingle)),
            Some(other) => Err(Fault::new(
                Code::SettingsInvalid,
                format!(
                    "format_specs.ddex.profile of platform {} ({:?}): {other:?} is not one of \
                     Audio, SimpleAudioSingle",
                    platform.id, platform.name
                ),
            )),
        }
    }

    /// The profile of a release: a single of one recording is a `SimpleAudioSingle`, unless the
    /// platform wants `Audio` for everything.
    pub(super) fn of(
        platform: &Platform,
        specs: &DdexSpecs,
        package: &Package,
        recordings: usize,
    ) -> Result<Self, Fault> {
        let one = recordings == 1 && package.tracks.len() == 1;
        match Self::by_settings(platform, specs)? {
            Some(Self::SimpleAudioSingle) if !one => Err(Fault::new(
                Code::Unsupported,
                format!(
                    "platform {:?} takes the DDEX profile SimpleAudioSingle only, and {} has {} \
                     tracks",
                    platform.name,
                    package.name(),
                    package.tracks.len()
                ),
            )
            .with_remedy(
                "Leave format_specs.ddex.profile out if the platform takes other releases too, or \
                 take it off the release's schedule.",
            )),
            Some(profile) => Ok(profile),
            None if one && package.release.release_type == ReleaseType::Single => {
                Ok(Self::SimpleAudioSingle)
            }
            None => Ok(Self::Audio),
        }
    }
}
