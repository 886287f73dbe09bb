//! How a DDEX partner wants its messages (`format_specs.ddex`).

use std::{
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroU32, NonZeroU64},
};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::release::Dpid;

/// Version, profile and parties of a DDEX partner (`format_specs.ddex`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct DdexSpecs {
    /// Version of ERN: `4.3.2`, `4.3`, `3.8.2`.
    #[serde(default = "default_ern")]
    pub version: String,
    /// Release profile; chosen from the release's type where it is absent.
    #[serde(default)]
    pub profile: Option<String>,
    /// How messages and files are laid down.
    #[serde(default)]
    pub choreography: Choreography,
    /// When a batch is closed.
    #[serde(default)]
    pub batch: BatchSpecs,
    /// Our DPID.
    #[serde(deserialize_with = "dpid")]
    #[schemars(with = "String")]
    pub sender_dpid: Dpid,
    /// Our name, as the partner knows it.
    #[serde(default = "default_sender")]
    pub sender_name: String,
    /// The DPID of the party on whose behalf we send, where the partner wants it named.
    #[serde(default, deserialize_with = "optional_dpid")]
    #[schemars(with = "Option<String>")]
    pub on_behalf_of_dpid: Option<Dpid>,
    /// The name of the party on whose behalf we send.
    #[serde(default)]
    pub on_behalf_of_name: Option<String>,
    /// The partner's DPID.
    #[serde(deserialize_with = "dpid")]
    #[schemars(with = "String")]
    pub recipient_dpid: Dpid,
    /// The partner's name; the platform's name where it is absent.
    #[serde(default)]
    pub recipient_name: Option<String>,
    /// Commercial models: `subscription`, `ad-supported`, `download`, `user-generated`.
    #[serde(default = "default_models")]
    pub models: Vec<String>,
    /// `UseType`s by commercial model, where the partner wants others than ours.
    #[serde(default)]
    pub use_types: BTreeMap<String, Vec<String>>,
    /// The partner's genres by ours: by `genre/sub-genre`, else by `genre`, in any case.
    #[serde(default)]
    pub genres: BTreeMap<String, GenreWords>,
    /// Lyrics go along: a resource of type `LyricText` for each recording that has any.
    #[serde(default)]
    pub lyrics: bool,
    /// How a takedown is said.
    #[serde(default)]
    pub takedown: TakedownForm,
    /// An operator may have a release forgotten, by a PurgeReleaseMessage.
    #[serde(default)]
    pub purge: bool,
    /// How the end of a deal is said that the partner has and that holds no longer.
    #[serde(default)]
    pub withdrawal: WithdrawalForm,
    /// When an update carries the files.
    #[serde(default)]
    pub update_media: UpdateMedia,
    /// Messages are marked as tests.
    #[serde(default)]
    pub test_messages: bool,
}

/// How messages and files are laid down (`format_specs.ddex.choreography`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Choreography {
    /// A folder for each release; its message says that it is complete.
    #[default]
    ReleaseByRelease,
    /// A folder for several releases; a document beside them says that all of it is complete.
    Batch,
}

/// When a batch is closed (`format_specs.ddex.batch`): as soon as one of these is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BatchSpecs {
    /// Releases in a batch at the most.
    pub releases: NonZeroU16,
    /// Bytes of audio and artwork after which no further release is taken in.
    pub bytes: NonZeroU64,
    /// Seconds after which a batch is closed, however little is in it.
    pub age_s: NonZeroU32,
}

impl Default for BatchSpecs {
    fn default() -> Self {
        Self {
            // What a partner looks through in one go.
            releases: NonZeroU16::MIN.saturating_add(99),
            // About a hundred albums, or a night on a slow line.
            bytes: NonZeroU64::MIN.saturating_add(50_000_000_000 - 1),
            age_s: NonZeroU32::MIN.saturating_add(15 * 60 - 1),
        }
    }
}

/// A genre in a partner's words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct GenreWords {
    /// `GenreText`.
    pub genre: String,
    /// `SubGenre`.
    #[serde(default)]
    pub sub_genre: Option<String>,
}

/// How a takedown is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TakedownForm {
    /// By a message without deals.
    #[default]
    NoDeals,
    /// By the deals that were there, each with its end.
    EndDates,
    /// By a PurgeReleaseMessage: the release is to be forgotten, as if it had never been there. Only
    /// for a partner that asks for it; it is meant for what cannot be taken down in the normal way,
    /// and large partners refuse it.
    Purge,
}

/// How the end of a deal is said that the partner has and that holds no longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WithdrawalForm {
    /// The deal is repeated with its end.
    #[default]
    EndDates,
    /// The deal is left out.
    LeftOut,
}

/// When an update carries the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateMedia {
    /// Always.
    #[default]
    Always,
    /// When one of them is not what the partner has; then all of them.
    WhenChanged,
}

fn default_ern() -> String {
    "4.3".into()
}

fn default_sender() -> String {
    "TuneMantra".into()
}

fn default_models() -> Vec<String> {
    vec!["subscription".into(), "ad-supported".into()]
}

fn dpid<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Dpid, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

fn optional_dpid<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Dpid>, D::Error> {
    Option::<String>::deserialize(deserializer)?
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .transpose()
}
