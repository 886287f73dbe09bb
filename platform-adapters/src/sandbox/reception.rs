//! Takes one HTTP hand-over in: the parts of the body go to disk while they are hashed, and are held
//! against what the metadata announces. Nothing here trusts the sender's own hash sums.

use std::{
    io,
    path::{Path, PathBuf},
};

use axum::extract::{Multipart, multipart::Field};
use sha2::{Digest, Sha256};
use tokio::{fs::File, io::AsyncWriteExt};

use super::{
    announced::Announced,
    ledger::{ReceivedFile, is_file_name},
};

/// No metadata is longer.
const LARGEST_METADATA_BYTES: usize = 4 << 20;

/// Why a hand-over was not taken in.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The request is not of the right form, or ended early.
    Malformed(String),
    /// It is, but what it holds is wrong: everything that is.
    Wrong(Vec<String>),
    /// It is right, but the partner has something like it already.
    Conflict(String),
    /// The partner cut the connection itself, as it was asked to.
    Cut,
    /// The partner's own disk fails.
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A hand-over that is complete and is what it says.
#[derive(Debug)]
pub(super) struct Reception {
    pub(super) announced: Announced,
    pub(super) files: Vec<ReceivedFile>,
    /// The hash sum of metadata and files.
    pub(super) fingerprint: String,
}

/// Takes the parts of a body in, into a folder of their own.
pub(super) async fn receive(
    parts: &mut Multipart,
    key: &str,
    folder: PathBuf,
    cut_after: Option<u64>,
) -> Result<Reception, Refusal> {
    let mut receiving = Receiving {
        folder,
        passed: 0,
        cut_after,
    };
    let first = next(parts)
        .await?
        .ok_or_else(|| Refusal::Malformed("the body has no parts".into()))?;
    if first.name() != Some("metadata") || first.content_type() != Some("application/json") {
        return Err(Refusal::Malformed(
            "the first part is not metadata in application/json".into(),
        ));
    }
    let metadata = receiving.metadata(first).await?;
    let announced =
        Announced::from_metadata(&metadata).map_err(|problem| Refusal::Wrong(vec![problem]))?;
    if announced.key != key {
        return Err(Refusal::Wrong(vec![format!(
            "the idempotency key is {key}, the metadata's key {}",
            announced.key
        )]));
    }
    let mut files: Vec<ReceivedFile> = Vec::new();
    while let Some(part) = next(parts).await? {
        let name = part.file_name().unwrap_or_default().to_owned();
        if part.name() != Some("file") || !is_file_name(&name) {
            return Err(Refusal::Wrong(vec![format!(
                "a part {:?} with the file name {name:?} is not a file of a release",
                part.name()
            )]));
        }
        if files.iter().any(|file| file.name == name) {
            return Err(Refusal::Wrong(vec![format!("{name} came twice")]));
        }
        let Some(expected) = announced.files.iter().find(|file| file.name == name) else {
            return Err(Refusal::Wrong(vec![format!(
                "{name} is not in the metadata"
            )]));
        };
        files.push(receiving.file(part, name, expected.size).await?);
    }
    files.sort();
    let violations = announced.compare(&files);
    if !violations.is_empty() {
        return Err(Refusal::Wrong(violations));
    }
    let mut hasher = Sha256::new();
    hasher.update(&metadata);
    for file in &files {
        hasher.update(format!("\n{} {} {}", file.name, file.size, file.sha256));
    }
    Ok(Reception {
        announced,
        files,
        fingerprint: hex::encode(hasher.finalize()),
    })
}

async fn next(parts: &mut Multipart) -> Result<Option<Field<'_>>, Refusal> {
    parts
        .next_field()
        .await
        .map_err(|error| Refusal::Malformed(error.body_text()))
}

struct Receiving {
    folder: PathBuf,
    passed: u64,
    cut_after: Option<u64>,
}

impl Receiving {
    async fn metadata(&mut self, mut part: Field<'_>) -> Result<Vec<u8>, Refusal> {
        let mut metadata = Vec::new();
        while let Some(chunk) = self.chunk(&mut part).await? {
            if metadata.len() + chunk.len() > LARGEST_METADATA_BYTES {
                return Err(Refusal::Malformed("the metadata is too long".into()));
            }
            metadata.extend_from_slice(&chunk);
        }
        tokio::fs::write(self.folder.join("metadata.json"), &metadata).await?;
        Ok(metadata)
    }

    async fn file(
        &mut self,
        mut part: Field<'_>,
        name: String,
        announced: u64,
    ) -> Result<ReceivedFile, Refusal> {
        let mut file = File::create(self.folder.join(&name)).await?;
        let mut hasher = Sha256::new();
        let mut size = 0;
        while let Some(chunk) = self.chunk(&mut part).await? {
            size += chunk.len() as u64;
            if size > announced {
                return Err(Refusal::Wrong(vec![format!(
                    "{name} is longer than the {announced} bytes announced"
                )]));
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(ReceivedFile {
            name,
            size,
            sha256: hex::encode(hasher.finalize()),
        })
    }

    async fn chunk(&mut self, part: &mut Field<'_>) -> Result<Option<bytes::Bytes>, Refusal> {
        let chunk = part
            .chunk()
            .await
            .map_err(|error| Refusal::Malformed(error.body_text()))?;
        self.passed += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if self.cut_after.is_some_and(|bytes| self.passed >= bytes) {
            return Err(Refusal::Cut);
        }
        Ok(chunk)
    }
}

/// An empty folder for one hand-over that is coming in.
pub(super) fn fresh_folder(incoming: &Path) -> io::Result<PathBuf> {
    let folder = incoming.join(uuid::Uuid::now_v7().simple().to_string());
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
