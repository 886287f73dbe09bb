//! `manifest.json`: the list of all that a hand-over consists of, by which the partner checks that
//! everything arrived whole. One definition for those who write it and those who verify it.
//!
//! ```json
//! {
//!   "format": "tunemantra-manifest/1",
//!   "handover": {"key": "…-r1-t1", "delivery": "…", "kind": "insert", "revision": 1,
//!                "transmission": 1, "started_at": "2025-11-24T16:00:00.042Z"},
//!   "upc": "036000291452",
//!   "title": "Über den Wellen",
//!   "documents": [{"name": "metadata.json", "media_type": "application/json", "size": 2048,
//!                  "sha256": "…", "md5": "…"}],
//!   "files": [{"name": "036000291452_01_001.flac", "media_type": "audio/flac", "size": 23482212,
//!              "sha256": "…", "md5": "…"}]
//! }
//! ```
//!
//! Names are relative to the hand-over's folder, hash sums are lower-case hex. `documents` are what
//! describes the release, `files` the media; a takedown has no files.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::hash;
use crate::{
    Code, Evidence, Fault, Handover, Kind,
    package::{Package, PackagedFile},
    release::Upc,
};

/// The list of all that a hand-over consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`Manifest::FORMAT`]; the number rises when a reader must be changed.
    pub format: String,
    /// Which hand-over it is.
    pub handover: HandoverEntry,
    /// The release's bar code.
    pub upc: Upc,
    /// The release's title, for people.
    pub title: String,
    /// What describes the release: the metadata document or the message.
    pub documents: Vec<FileEntry>,
    /// Audio in playing order, the artwork, lyrics where the platform takes them.
    pub files: Vec<FileEntry>,
}

/// Which hand-over a document belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverEntry {
    /// The same at every retry: a partner that knows it has the hand-over already.
    pub key: String,
    /// The same for all hand-overs of one delivery.
    pub delivery: Uuid,
    /// What is to be done with the release.
    pub kind: Kind,
    /// Version of the release at this partner.
    pub revision: u32,
    /// Rises when the partner asked to have the same once more.
    pub transmission: u32,
    /// When the first attempt began.
    #[serde(serialize_with = "to_milliseconds")]
    pub started_at: DateTime<Utc>,
}

/// One file of a hand-over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the hand-over's folder.
    pub name: String,
    /// `audio/flac`, `image/jpeg`, `application/json`.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// Lower-case hex.
    pub md5: String,
}

impl Manifest {
    /// The value of `format`.
    pub const FORMAT: &'static str = "tunemantra-manifest/1";
    /// What the file is called at the partner.
    pub const FILE_NAME: &'static str = "manifest.json";

    /// The manifest of a package with the documents that go with it, in the order given.
    #[must_use]
    pub fn for_handover(handover: &Handover, package: &Package, documents: &[Evidence]) -> Self {
        Self {
            format: Self::FORMAT.into(),
            handover: handover.into(),
            upc: package.upc.clone(),
            title: package.release.title.clone(),
            documents: documents.iter().map(FileEntry::from).collect(),
            files: package.files().map(FileEntry::from).collect(),
        }
    }

    /// The file's bytes: the same for the same manifest.
    ///
    /// # Errors
    /// None that is known; [`Code::WorkerFault`] if it cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        to_json(self)
    }
}

impl From<&Handover> for HandoverEntry {
    fn from(handover: &Handover) -> Self {
        Self {
            key: handover.key(),
            delivery: handover.delivery,
            kind: handover.kind,
            revision: handover.revision,
            transmission: handover.transmission,
            started_at: handover.started_at,
        }
    }
}

impl From<&PackagedFile> for FileEntry {
    fn from(file: &PackagedFile) -> Self {
        Self {
            name: file.name.clone(),
            media_type: file.media_type.into(),
            size: file.size,
            sha256: file.sha256.clone(),
            md5: file.md5.clone(),
        }
    }
}

impl From<&Evidence> for FileEntry {
    fn from(document: &Evidence) -> Self {
        let sums = hash::of_bytes(&document.body);
        Self {
            name: document.name.clone(),
            media_type: document.media_type.clone(),
            size: u64::try_from(document.body.len()).unwrap_or(u64::MAX),
            sha256: sums.sha256,
            md5: sums.md5,
        }
    }
}

/// JSON for files: in the order of the definition, indented, with a line's end.
pub(super) fn to_json(document: &impl Serialize) -> Result<Vec<u8>, Fault> {
    let mut bytes = serde_json::to_vec_pretty(document).map_err(|error| {
        Fault::new(
            Code::WorkerFault,
            format!("a document of the hand-over cannot be written: {error}"),
        )
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn to_milliseconds<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
