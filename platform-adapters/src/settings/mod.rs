//! A platform's settings: its row in `distribution_platforms`, read and checked. What is wrong in a
//! row is a fault that names the platform, the column and the path in it.

mod api;
mod credentials;
mod ddex;
mod file_names;
mod limits;
mod sftp;
mod store;
mod template;

use chrono::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

pub use api::{
    ApiSpecs, BodyKind, FileSpecs, PartNames, Ranges, ReceiptPointers, RequestLine,
    SignatureEncoding, StateWords, TimeoutSpecs, WebhookSpecs,
};
pub use credentials::{
    ClientAuthentication, Credentials, HashAlgorithm, Hmac, OAuth2, OneOrMore, SecretReference,
    SecretSource, TimestampForm,
};
pub use ddex::{
    BatchSpecs, Choreography, DdexSpecs, GenreWords, TakedownForm, UpdateMedia, WithdrawalForm,
};
pub use file_names::FileNameSpecs;
pub use limits::{Limits, Window, Windows};
pub use sftp::{AlgorithmKind, LayoutSpecs, OldAlgorithm, SftpSpecs};
pub use store::StoreSpecs;
pub use template::Template;

use crate::{Code, Fault};

/// The columns of a row in `distribution_platforms` that the worker reads, as they stand there.
#[derive(Clone, Debug, Default)]
pub struct PlatformRow {
    /// `id`.
    pub id: i32,
    /// `name`.
    pub name: String,
    /// `api_endpoint`.
    pub api_endpoint: Option<String>,
    /// `api_credentials`. Holds secrets in old databases: never logged.
    pub api_credentials: Option<Secretive>,
    /// `delivery_method`.
    pub delivery_method: String,
    /// `requirements`.
    pub requirements: Option<Value>,
    /// `format_specs`.
    pub format_specs: Option<Value>,
    /// `supported_content`.
    pub supported_content: Option<Vec<String>>,
    /// `territory_restrictions`.
    pub territory_restrictions: Option<Vec<String>>,
    /// `processing_time`.
    pub processing_time: Option<String>,
}

/// A JSON value that may hold secrets: its `Debug` shows nothing.
#[derive(Clone)]
pub struct Secretive(pub Value);

impl std::fmt::Debug for Secretive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A platform whose settings are in order.
#[derive(Clone, Debug)]
pub struct Platform {
    /// `distribution_platforms.id`.
    pub id: i32,
    /// `distribution_platforms.name`.
    pub name: String,
    /// `delivery_method`.
    pub method: Method,
    /// `api_endpoint`: `https://host/path`, `sftp://host:port/directory`, `s3://bucket/prefix` or
    /// `file:///directory`.
    pub endpoint: Url,
    /// `api_credentials`.
    pub credentials: Credentials,
    /// `requirements`.
    pub requirements: Requirements,
    /// `format_specs`.
    pub format_specs: FormatSpecs,
    /// `supported_content`; empty: all.
    pub supported_content: Vec<String>,
    /// `territory_restrictions`, upper case; empty: none.
    pub territory_restrictions: Vec<String>,
    /// `processing_time`: its upper bound; `None` where it says nothing that can be read.
    pub processing_time: Option<Duration>,
}

/// How a platform is delivered to; `delivery_method` in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// HTTP: JSON metadata and the files.
    Api,
    /// A folder with metadata, files and manifest on an SFTP server.
    Sftp,
    /// DDEX ERN messages with their choreography on an SFTP server or in an object store.
    Ddex,
}

impl Method {
    /// The word in `delivery_method`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Sftp => "sftp",
            Self::Ddex => "ddex",
        }
    }
}

/// What a platform asks of a release (`requirements`). Keys it does not know are left alone.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Requirements {
    /// What the front cover must be.
    pub artwork: ArtworkRequirements,
    /// What each track's audio must be.
    pub audio: AudioRequirements,
    /// How many days before its street date the partner wants a new release.
    pub lead_days: u16,
}

/// What each track's audio must be (`requirements.audio`); the codings that are taken stand in
/// `format_specs.audio`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AudioRequirements {
    /// The lowest sample rate taken, in hertz.
    pub min_rate_hz: u32,
    /// The highest sample rate taken, in hertz.
    pub max_rate_hz: u32,
    /// Bits per sample that are taken; MP3 and AAC have none.
    pub bits: Vec<u8>,
    /// Numbers of channels that are taken: 1 mono, 2 stereo.
    pub channels: Vec<u8>,
}

impl Default for AudioRequirements {
    fn default() -> Self {
        Self {
            min_rate_hz: 44_100,
            max_rate_hz: 192_000,
            bits: vec![16, 24],
            channels: vec![1, 2],
        }
    }
}

/// What the front cover must be (`requirements.artwork`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ArtworkRequirements {
    /// The shortest side allowed, in pixels.
    pub min_px: u32,
    /// The longest side allowed, in pixels.
    pub max_px: u32,
    /// Formats taken, in lower case: `jpeg`, `png`, `tiff`.
    pub formats: Vec<String>,
    /// Colours taken: `rgb`, `grey`, `cmyk`.
    pub colours: Vec<String>,
    /// The largest file taken, in bytes.
    pub max_bytes: u64,
}

impl Default for ArtworkRequirements {
    fn default() -> Self {
        Self {
            min_px: 3000,
            max_px: 20_000,
            formats: vec!["jpeg".into(), "png".into()],
            colours: vec!["rgb".into()],
            max_bytes: 20_000_000,
        }
    }
}

/// How a platform takes deliveries (`format_specs`). Keys it does not know are left alone.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FormatSpecs {
    /// Audio codings taken: `flac`, `wav`, `aiff`, `mp3`, `aac`.
    pub audio: Vec<String>,
    /// What turns `sent` into `accepted`.
    pub confirmation: Option<Confirmation>,
    /// How the files of a release are named there.
    pub file_names: FileNameSpecs,
    /// How hard the partner may be used.
    pub limits: Limits,
    /// Clocks of this platform's deliveries, where they differ from the configuration's.
    pub retry: RetrySpecs,
    /// Paths and field names of an HTTP partner.
    pub api: ApiSpecs,
    /// Version, profile and parties of a DDEX partner.
    pub ddex: Option<DdexSpecs>,
    /// Connections, algorithms and names of an SFTP partner.
    pub sftp: SftpSpecs,
    /// How a partner's object store is reached.
    pub store: StoreSpecs,
    /// Private and loopback addresses are allowed as endpoint.
    pub allow_private_addresses: bool,
}

impl Default for FormatSpecs {
    fn default() -> Self {
        Self {
            audio: vec!["flac".into(), "wav".into()],
            confirmation: None,
            file_names: FileNameSpecs::default(),
            limits: Limits::default(),
            retry: RetrySpecs::default(),
            api: ApiSpecs::default(),
            ddex: None,
            sftp: SftpSpecs::default(),
            store: StoreSpecs::default(),
            allow_private_addresses: false,
        }
    }
}

/// What turns `sent` into `accepted` (`format_specs.confirmation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confirmation {
    /// The partner's answer, or the verified completion marker, is enough.
    None,
    /// We ask the partner's status endpoint.
    Status,
    /// The partner puts acknowledgement files into a folder.
    Folder,
}

/// Clocks of a platform's deliveries (`format_specs.retry`); what is absent is the configuration's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RetrySpecs {
    /// Seconds: the longest wait after the first fault.
    pub base_s: Option<u64>,
    /// Seconds: the longest wait between two attempts.
    pub max_s: Option<u64>,
    /// Seconds from the first attempt on after which a delivery is given up.
    pub give_up_after_s: Option<u64>,
    /// Seconds from the first attempt on after which a delivery that still fails is told to
    /// operators.
    pub notify_after_s: Option<u64>,
}

impl Platform {
    /// Reads and checks a platform's row.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`], naming the column and what is wrong in it.
    pub fn from_row(row: &PlatformRow) -> Result<Self, Fault> {
        let wrong = |column: &str, problem: String| {
            Fault::new(
                Code::SettingsInvalid,
                format!(
                    "{} of platform {} ({:?}): {problem}",
                    column, row.id, row.name
                ),
            )
        };
        let method = match row.delivery_method.trim().to_ascii_lowercase().as_str() {
            "api" => Method::Api,
            "sftp" => Method::Sftp,
            "ddex" => Method::Ddex,
            other => {
                return Err(wrong(
                    "delivery_method",
                    format!("{other:?} is not one of api, sftp, ddex"),
                ));
            }
        };
        let endpoint = endpoint(method, row.api_endpoint.as_deref())
            .map_err(|problem| wrong("api_endpoint", problem))?;
        let credentials = Credentials::read(row.api_credentials.as_ref().map(|held| &held.0))
            .map_err(|problem| wrong("api_credentials", problem))?;
        let requirements = read(row.requirements.as_ref(), "requirements")
            .map_err(|problem| wrong("requirements", problem))?;
        let format_specs: FormatSpecs = read(row.format_specs.as_ref(), "format_specs")
            .map_err(|problem| wrong("format_specs", problem))?;
        if method == Method::Ddex && format_specs.ddex.is_none() {
            return Err(wrong(
                "format_specs",
                "ddex is missing; it names sender_dpid and recipient_dpid".into(),
            ));
        }
        Ok(Self {
            id: row.id,
            name: row.name.clone(),
            method,
            endpoint,
            credentials,
            requirements,
            format_specs,
            supported_content: row.supported_content.clone().unwrap_or_default(),
            territory_restrictions: row
                .territory_restrictions
                .iter()
                .flatten()
                .map(|code| code.trim().to_ascii_uppercase())
                .collect(),
            processing_time: row.processing_time.as_deref().and_then(processing_time),
        })
    }

    /// When batches are closed, where the platform takes its deliveries in batches.
    #[must_use]
    pub fn batches(&self) -> Option<BatchSpecs> {
        let specs = self.format_specs.ddex.as_ref()?;
        let takes_batches =
            self.method == Method::Ddex && specs.choreography == Choreography::Batch;
        takes_batches.then_some(specs.batch)
    }

    /// Whether lyrics go along with a release (`format_specs.ddex.lyrics`).
    #[must_use]
    pub fn takes_lyrics(&self) -> bool {
        let specs = self.format_specs.ddex.as_ref();
        self.method == Method::Ddex && specs.is_some_and(|specs| specs.lyrics)
    }

    /// Whether a release may be purged here: `format_specs.ddex.purge`, or every takedown is one.
    #[must_use]
    pub fn takes_purges(&self) -> bool {
        let allows = |specs: &DdexSpecs| specs.purge || specs.takedown == TakedownForm::Purge;
        let specs = self.format_specs.ddex.as_ref();
        self.method == Method::Ddex && specs.is_some_and(allows)
    }

    /// What confirms a delivery into a folder: nothing but the marker, or acknowledgement files.
    /// There is nobody to ask for a status.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the settings say `status`.
    pub fn folder_confirmation(&self) -> Result<Confirmation, Fault> {
        match self.format_specs.confirmation.unwrap_or(Confirmation::None) {
            Confirmation::Status => Err(Fault::new(
                Code::SettingsInvalid,
                format!(
                    "format_specs.confirmation of platform {} ({:?}) is \"status\", and by {} \
                     there is no status to ask for",
                    self.id,
                    self.name,
                    self.method.as_str()
                ),
            )
            .with_remedy("Set confirmation to \"folder\" or \"none\".")),
            confirmation => Ok(confirmation),
        }
    }
}

/// The JSON Schema of `api_credentials`.
#[must_use]
pub fn schema_of_credentials() -> Value {
    schemars::schema_for!(Credentials).to_value()
}

/// The JSON Schema of `requirements`.
#[must_use]
pub fn schema_of_requirements() -> Value {
    schemars::schema_for!(Requirements).to_value()
}

/// The JSON Schema of `format_specs`.
#[must_use]
pub fn schema_of_format_specs() -> Value {
    schemars::schema_for!(FormatSpecs).to_value()
}

fn endpoint(method: Method, text: Option<&str>) -> Result<Url, String> {
    let text = text
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .ok_or("is empty")?;
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    let schemes: &[&str] = match method {
        Method::Api => &["https", "http"],
        Method::Sftp => &["sftp"],
        Method::Ddex => &["sftp", "s3", "file"],
    };
    if !schemes.contains(&url.scheme()) {
        return Err(format!(
            "{text:?} must begin with {}://",
            schemes.join(":// or ")
        ));
    }
    if url.scheme() != "file" && url.host_str().is_none_or(str::is_empty) {
        return Err(format!("{text:?} names no host"));
    }
    if url.password().is_some() {
        return Err("must not hold a password; put it into api_credentials".into());
    }
    Ok(url)
}

/// Decodes a JSON column; NULL means the defaults.
fn read<T: DeserializeOwned>(value: Option<&Value>, column: &str) -> Result<T, String> {
    let empty = Value::Object(serde_json::Map::new());
    let value = match value {
        None | Some(Value::Null) => &empty,
        Some(value) => value,
    };
    if !value.is_object() {
        return Err(format!("{column} is not a JSON object"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let place = match error.path().to_string() {
            root if root == "." => column.to_owned(),
            path => format!("{column}.{path}"),
        };
        format!("{place}: {}", error.into_inner())
    })
}

/// The upper bound of `48 hours`, `2-5 days`.
fn processing_time(text: &str) -> Option<Duration> {
    let (range, unit) = text.trim().split_once(' ')?;
    let upper: i64 = range.rsplit('-').next()?.trim().parse().ok()?;
    match unit.trim().trim_end_matches('s') {
        "minute" => Duration::try_minutes(upper),
        "hour" => Duration::try_hours(upper),
        "day" => Duration::try_days(upper),
        "week" => Duration::try_weeks(upper),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
