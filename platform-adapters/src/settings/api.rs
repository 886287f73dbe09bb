//! `format_specs.api`: how an HTTP partner wants to be spoken to. Paths, methods, the body's form,
//! where files go, and where in an answer things are found. A partner of the usual kind needs no
//! code, only these.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

/// Paths, forms and field names of an HTTP partner (`format_specs.api`).
///
/// A request is written as its path below `api_endpoint`, with a method in front where it is not
/// the usual one: `/releases`, `PUT /releases/{id}`. Paths, queries and header values may hold
/// `{id}` (the partner's id of the release), `{key}` (the idempotency key), `{upc}`, `{delivery}`,
/// `{kind}`, `{revision}` and `{transmission}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ApiSpecs {
    /// Where a release is handed over; `POST` unless it says otherwise.
    pub create: RequestLine,
    /// Where a release that the partner has is handed over anew; `PUT` unless it says otherwise.
    /// Where it is absent, updates go where new releases go.
    pub update: Option<RequestLine>,
    /// What takes a release down; `DELETE` unless it says otherwise. Another method carries the
    /// document. Where it is absent, the partner takes no takedowns over its API.
    pub takedown: Option<RequestLine>,
    /// Where a release's state is asked (`GET`); `{id}` is the partner's id of the release.
    pub status: String,
    /// Where a hand-over is found by its idempotency key, `{key}` (`GET`). Where it is absent, the
    /// partner offers no such thing, and what it has cannot be looked up.
    pub lookup: Option<String>,
    /// The partner honours the idempotency key: the same request sent again is taken once. Without
    /// it, and without `lookup`, a hand-over whose outcome is unknown waits for an operator.
    pub idempotent: bool,
    /// How document and files travel.
    pub body: BodyKind,
    /// The document that is sent, where it is not our own `metadata.json`: any JSON value, in which
    /// `"{/pointer}"` stands for what is there in ours.
    pub document: Option<Value>,
    /// The names of the parts of a `multipart` body.
    pub parts: PartNames,
    /// Where files go when the body is `json`. Absent: they are not sent.
    pub files: Option<FileSpecs>,
    /// The request that says that all files are there; `POST` unless it says otherwise.
    pub complete: Option<RequestLine>,
    /// Headers that every request to the partner carries.
    pub headers: BTreeMap<String, String>,
    /// The header that carries the idempotency key.
    pub idempotency_header: String,
    /// JSON pointers into the partner's answers.
    pub receipt: ReceiptPointers,
    /// The partner's words for states, beside the usual ones.
    pub states: StateWords,
    /// How long the parts of a request may take.
    pub timeouts: TimeoutSpecs,
    /// How the partner signs what it sends to us. Absent: it sends nothing.
    pub webhook: Option<WebhookSpecs>,
}

impl Default for ApiSpecs {
    fn default() -> Self {
        Self {
            create: RequestLine::path("/releases"),
            update: None,
            takedown: None,
            status: "/releases/{id}".into(),
            lookup: None,
            idempotent: true,
            body: BodyKind::default(),
            document: None,
            parts: PartNames::default(),
            files: None,
            complete: None,
            headers: BTreeMap::new(),
            idempotency_header: "Idempotency-Key".into(),
            receipt: ReceiptPointers::default(),
            states: StateWords::default(),
            timeouts: TimeoutSpecs::default(),
            webhook: None,
        }
    }
}

/// A path, with a method in front where it is not the usual one: `PUT /releases/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct RequestLine {
    /// `POST`, `PUT`, `PATCH` or `DELETE`; `None`: the usual one.
    pub method: Option<String>,
    /// Path and query below `api_endpoint`.
    pub path: String,
}

impl RequestLine {
    /// Methods that a request line may name.
    const METHODS: [&'static str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

    fn path(path: &str) -> Self {
        Self {
            method: None,
            path: path.into(),
        }
    }
}

impl<'de> Deserialize<'de> for RequestLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Some((method, path)) = text.trim().split_once(' ') else {
            return Ok(Self::path(text.trim()));
        };
        if !Self::METHODS.contains(&method) {
            return Err(D::Error::custom(format!(
                "{text:?} begins with none of {}",
                Self::METHODS.join(", ")
            )));
        }
        Ok(Self {
            method: Some(method.into()),
            path: path.trim().into(),
        })
    }
}

/// How document and files travel (`format_specs.api.body`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyKind {
    /// Document and files are the parts of one `multipart/form-data` request.
    #[default]
    Multipart,
    /// The document is a request of its own; the files follow as `files` says.
    Json,
}

/// The names of the parts of a `multipart` body (`format_specs.api.parts`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PartNames {
    /// The document's.
    pub document: String,
    /// Each file's.
    pub file: String,
}

impl Default for PartNames {
    fn default() -> Self {
        Self {
            document: "metadata".into(),
            file: "file".into(),
        }
    }
}

/// Where files go when the document is a request of its own (`format_specs.api.files`): to a path
/// of the partner, or to URLs that its answer names.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FileSpecs {
    /// A path below `api_endpoint` for each file, `PUT` unless it says otherwise; `{name}` is the
    /// file's name, `{sha256}` and `{md5}` its hash sums. Absent: the partner's answer names URLs.
    pub to: Option<RequestLine>,
    /// Where in the answer the URLs are: a list of objects, or an object that holds each URL under
    /// the file's name.
    pub urls: String,
    /// Where in an object of the list the file's name is.
    pub name: String,
    /// Where in an object of the list the URL is.
    pub url: String,
    /// Where in an object of the list the headers are that the file must be sent with.
    pub headers: String,
    /// Whether a file may be sent in pieces, and goes on where it stopped.
    pub ranges: Ranges,
    /// The size of a piece in bytes.
    pub piece_bytes: u64,
}

impl Default for FileSpecs {
    fn default() -> Self {
        Self {
            to: None,
            urls: "/uploads".into(),
            name: "/name".into(),
            url: "/url".into(),
            headers: "/headers".into(),
            ranges: Ranges::default(),
            piece_bytes: 64 << 20,
        }
    }
}

/// Whether a file may be sent in pieces (`format_specs.api.files.ranges`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ranges {
    /// Each file is one request.
    #[default]
    None,
    /// `Content-Range: bytes 0-99/1000` with each piece. The partner answers 308 with
    /// `Range: bytes=0-99` while something is missing, also to a request without a body and
    /// `Content-Range: bytes */1000`, which asks how much it has.
    ContentRange,
}

/// JSON pointers (RFC 6901) into the partner's answers (`format_specs.api.receipt`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReceiptPointers {
    /// The partner's id of the release.
    pub id: String,
    /// Where the release can be seen.
    pub url: String,
    /// The state, in the answers to `status` and `lookup`.
    pub status: String,
    /// The reason of a refusal.
    pub reason: String,
}

impl Default for ReceiptPointers {
    fn default() -> Self {
        Self {
            id: "/id".into(),
            url: "/url".into(),
            status: "/status".into(),
            reason: "/reason".into(),
        }
    }
}

/// The partner's words for states (`format_specs.api.states`), in any case, beside those that are
/// known anyway.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StateWords {
    /// The partner has taken the release.
    pub accepted: Vec<String>,
    /// The partner's no.
    pub rejected: Vec<String>,
    /// Not decided yet.
    pub pending: Vec<String>,
    /// Begun, and files are missing: a hand-over found in this state is sent again.
    pub incomplete: Vec<String>,
}

/// How long the parts of a request may take (`format_specs.api.timeouts`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TimeoutSpecs {
    /// Seconds until there is a connection, TLS included.
    pub connect_s: u64,
    /// Seconds from the end of a request to the first byte of its answer.
    pub answer_s: u64,
    /// Seconds without a byte moving.
    pub stall_s: u64,
    /// Bytes a second: the whole of a request may take the seconds above and the time that its
    /// bytes take at this rate.
    pub slowest_bytes_per_s: u64,
}

impl Default for TimeoutSpecs {
    fn default() -> Self {
        Self {
            connect_s: 15,
            answer_s: 300,
            stall_s: 60,
            slowest_bytes_per_s: 64 * 1024,
        }
    }
}

/// How the partner signs what it sends to us (`format_specs.api.webhook`). The secret is
/// `api_credentials.webhook_secret`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WebhookSpecs {
    /// The header that carries the signature. It may hold several, separated by commas or spaces,
    /// while the partner changes its secret.
    pub signature_header: String,
    /// What stands before each signature in that header: `sha256=`, `v1=`.
    pub signature_prefix: String,
    /// How the signature is written.
    pub encoding: SignatureEncoding,
    /// The signed text: `{body}`, `{timestamp}` and `{id}` stand for the body and the two headers
    /// below.
    pub message: String,
    /// The header with the time of sending, as seconds since 1970 or by RFC 3339; or `t=` in the
    /// signature's header. Without a time that is signed, nothing is taken.
    pub timestamp_header: String,
    /// The header that names the notice, by which a repetition is known; absent: its signature.
    pub id_header: Option<String>,
    /// Seconds that the time of sending may be away from ours.
    pub tolerance_s: u64,
    /// JSON pointer to our idempotency key in the body, where the partner repeats it.
    pub key: String,
}

impl Default for WebhookSpecs {
    fn default() -> Self {
        Self {
            signature_header: "X-Signature".into(),
            signature_prefix: String::new(),
            encoding: SignatureEncoding::Hex,
            message: "{timestamp}.{body}".into(),
            timestamp_header: "X-Timestamp".into(),
            id_header: None,
            tolerance_s: 300,
            key: "/idempotency_key".into(),
        }
    }
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncoding {
    /// Lower-case hex.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

impl SignatureEncoding {
    /// Writes bytes so.
    #[must_use]
    pub fn encode(self, bytes: &[u8]) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}
