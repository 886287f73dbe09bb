//! The keys of `releases.metadata` and `tracks.metadata` that messages need. Other keys are left
//! alone.

use chrono::NaiveDate;
use platform_adapters::release::{ReleaseAvailability, RightsLine, TrackAvailability};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound = "A: Default + DeserializeOwned")]
pub(super) struct Metadata<A> {
    pub(super) label: Option<String>,
    pub(super) p_line: Option<RightsLine>,
    pub(super) c_line: Option<RightsLine>,
    pub(super) original_release_date: Option<NaiveDate>,
    pub(super) subtitle: Option<String>,
    pub(super) version: Option<String>,
    pub(super) disc_number: Option<u32>,
    pub(super) language_of_performance: Option<String>,
    pub(super) iswc: Option<String>,
    pub(super) sub_genre: Option<String>,
    /// Of a release or of a track.
    pub(super) availability: A,
}

/// What is read of `releases.metadata`.
pub(super) type OfRelease = Metadata<ReleaseAvailability>;

/// What is read of `tracks.metadata`.
pub(super) type OfTrack = Metadata<TrackAvailability>;

impl<A: Default + DeserializeOwned> Metadata<A> {
    /// Reads the column; the error names the key that cannot be read.
    pub(super) fn read(value: Option<&Value>) -> Result<Self, String> {
        match value {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Object(keys)) => {
                Self::deserialize(Value::Object(keys.clone())).map_err(|error| {
                    let key = keys
                        .iter()
                        .find(|(key, member)| {
                            Self::deserialize(Value::from_iter([(
                                (*key).clone(),
                                (*member).clone(),
                            )]))
                            .is_err()
                        })
                        .map_or("", |(key, _)| key.as_str());
                    format!("metadata.{key} cannot be read: {error}")
                })
            }
            Some(_) => Err("metadata is not a JSON object".into()),
        }
    }

    /// What stands behind the title: the subtitle, or the version.
    pub(super) fn version_title(&self) -> Option<String> {
        self.subtitle
            .clone()
            .or_else(|| self.version.clone())
            .filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_wrong_key_is_named() {
        let error = OfRelease::read(Some(
            &json!({"label": "x", "p_line": {"year": "soon"}, "mood": 3}),
        ))
        .unwrap_err();
        assert!(
            error.starts_with("metadata.p_line cannot be read"),
            "{error}"
        );
        assert!(OfTrack::read(Some(&json!({"mood": 3}))).is_ok());
        assert!(OfTrack::read(Some(&json!(null))).is_ok());
    }
}
