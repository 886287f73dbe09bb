//! What a partner of the sandbox received, as the partner saw it: one JSON file for each hand-over
//! under the partner's root, so that it survives the partner and can be read beside it.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What an HTTP partner refused, a line of JSON each.
const REFUSED: &str = "refused.jsonl";

/// One hand-over, as the partner saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedHandover {
    /// The idempotency key, or the message id: [`crate::Handover::key`].
    pub key: String,
    /// The partner's own name.
    pub partner: String,
    /// `insert`, `update` or `takedown`, as the hand-over says.
    pub kind: String,
    /// The release's bar code, as the hand-over says.
    pub upc: String,
    /// The partner's own id of the release.
    pub partner_release_id: String,
    /// When it was complete.
    pub received_at: DateTime<Utc>,
    /// Where its documents lie, below the partner's root.
    pub folder: PathBuf,
    /// Where audio and artwork lie, below the partner's root.
    pub media_folder: PathBuf,
    /// The documents that came with it, by name in `folder`: metadata, manifest, message.
    pub documents: Vec<String>,
    /// Audio and artwork, by what arrived.
    pub files: Vec<ReceivedFile>,
    /// What the partner makes of it.
    pub verdict: Verdict,
    /// All that a strict partner complains of; empty for a good hand-over.
    pub violations: Vec<String>,
    /// How often it was completed: more than once is the sender's repetition.
    pub completed: u32,
    /// How often its state was asked for.
    #[serde(default)]
    pub asked: u32,
    /// The folders in which it was completed, each with what tells that completion marker from
    /// another of the same name.
    #[serde(default)]
    pub markers: BTreeMap<String, String>,
    /// The hash sum of everything in it, by which a repetition is told from something else.
    pub fingerprint: String,
}

/// A file as it arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReceivedFile {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in lower-case hex, computed by the partner from what arrived.
    pub sha256: String,
}

/// What the partner makes of a hand-over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It takes the release.
    Accepted,
    /// It does not, for this reason.
    Rejected(String),
}

/// A request that an HTTP partner answered with a no, or with nothing of use because it was asked
/// to misbehave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When it was answered.
    pub at: DateTime<Utc>,
    /// What was asked for: `POST /releases`.
    pub request: String,
    /// The idempotency key, if it had one.
    pub key: Option<String>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Why: all that a strict partner complains of.
    pub reasons: Vec<String>,
}

/// Reads and keeps a partner's hand-overs.
#[derive(Clone, Debug)]
pub struct Ledger {
    root: PathBuf,
}

impl Ledger {
    /// The ledger of the partner with this root, running or not.
    ///
    /// # Errors
    /// When the root cannot be made.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("ledger"))?;
        Ok(Self { root: root.into() })
    }

    /// All hand-overs, in the order in which they were completed.
    ///
    /// # Errors
    /// When a file cannot be read or is not of the ledger.
    pub fn handovers(&self) -> io::Result<Vec<ReceivedHandover>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.root.join("ledger"))? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                found.push(serde_json::from_slice::<ReceivedHandover>(&fs::read(
                    path,
                )?)?);
            }
        }
        found.sort_by(|one, other| {
            (one.received_at, &one.key).cmp(&(other.received_at, &other.key))
        });
        Ok(found)
    }

    /// The hand-overs of a bar code or a key.
    ///
    /// # Errors
    /// As [`Ledger::handovers`].
    pub fn received(&self, upc_or_key: &str) -> io::Result<Vec<ReceivedHandover>> {
        let mut found = self.handovers()?;
        found.retain(|handover| handover.upc == upc_or_key || handover.key == upc_or_key);
        Ok(found)
    }

    /// All that an HTTP partner refused, in the order in which it answered.
    ///
    /// # Errors
    /// When the file cannot be read or is not of the ledger.
    pub fn refused(&self) -> io::Result<Vec<Refused>> {
        match fs::read_to_string(self.root.join(REFUSED)) {
            // A line that has no end yet is being written.
            Ok(text) => text
                .split_inclusive('\n')
                .filter_map(|line| line.strip_suffix('\n'))
                .map(|line| serde_json::from_str(line).map_err(io::Error::from))
                .collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Where a document of a hand-over lies.
    #[must_use]
    pub fn document(&self, handover: &ReceivedHandover, name: &str) -> PathBuf {
        self.root.join(&handover.folder).join(name)
    }

    /// Where an audio file or the artwork of a hand-over lies.
    #[must_use]
    pub fn media(&self, handover: &ReceivedHandover, name: &str) -> PathBuf {
        self.root.join(&handover.media_folder).join(name)
    }

    /// Keeps a refusal. One write, so that lines do not mix.
    pub(super) fn refuse(&self, refused: &Refused) -> io::Result<()> {
        let mut line = serde_json::to_vec(refused)?;
        line.push(b'\n');
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.root.join(REFUSED))?
            .write_all(&line)
    }

    /// Keeps a hand-over, all of it or nothing.
    pub(super) fn keep(&self, handover: &ReceivedHandover) -> io::Result<()> {
        write_whole(
            &self
                .root
                .join("ledger")
                .join(format!("{}.json", handover.key)),
            &serde_json::to_vec_pretty(handover)?,
        )
    }
}

/// Writes a file beside its place and renames it there, so that nobody sees half of it.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    let part = path.with_file_name(name);
    fs::write(&part, bytes)?;
    fs::rename(part, path)
}

/// Whether a text can be a file's name: no folders, nothing hidden, nothing odd.
pub(super) fn is_file_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && !text.starts_with('.')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// The partner's id of a release that came with this key: the same after any time.
pub(super) fn release_id(key: &str) -> String {
    let digest = hex::encode(Sha256::digest(key));
    format!("rel-{}", digest.get(..16).unwrap_or_default())
}
