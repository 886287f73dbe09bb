//! What a hand-over says of itself, read by the partner's own eyes: only what it needs to judge.

use serde::Deserialize;

use super::ledger::{ReceivedFile, is_file_name};

/// What a hand-over says it is: from `metadata.json` or `manifest.json`.
#[derive(Clone, Debug)]
pub(super) struct Announced {
    pub(super) key: String,
    pub(super) kind: String,
    pub(super) upc: String,
    /// The media.
    pub(super) files: Vec<ReceivedFile>,
    /// What describes them. Only a manifest lists those.
    pub(super) documents: Vec<ReceivedFile>,
}

#[derive(Deserialize)]
struct Metadata {
    format: String,
    handover: Head,
    release: Release,
    tracks: Vec<Track>,
    artwork: Option<ReceivedFile>,
}

#[derive(Deserialize)]
struct Head {
    key: String,
    kind: String,
}

#[derive(Deserialize)]
struct Release {
    upc: String,
    title: String,
}

#[derive(Deserialize)]
struct Track {
    isrc: String,
    audio: Option<ReceivedFile>,
}

#[derive(Deserialize)]
struct Manifest {
    format: String,
    handover: Head,
    upc: String,
    documents: Vec<ReceivedFile>,
    files: Vec<ReceivedFile>,
}

impl Announced {
    /// Reads a metadata document, which describes a release and names its files.
    pub(super) fn from_metadata(json: &[u8]) -> Result<Self, String> {
        let metadata: Metadata =
            serde_json::from_slice(json).map_err(|error| format!("metadata.json: {error}"))?;
        if metadata.format != "tunemantra-metadata/1" {
            return Err(format!(
                "metadata.json has the format {:?}",
                metadata.format
            ));
        }
        if metadata.release.title.trim().is_empty() {
            return Err("metadata.json gives no title".into());
        }
        let mut isrcs: Vec<_> = metadata.tracks.iter().map(|track| &track.isrc).collect();
        isrcs.sort();
        if let Some([isrc, _]) = isrcs.array_windows().find(|[one, next]| one == next) {
            return Err(format!("ISRC {isrc} stands at two tracks"));
        }
        let needs_files = metadata.handover.kind != "takedown";
        if needs_files && (metadata.tracks.is_empty() || metadata.artwork.is_none()) {
            return Err("metadata.json lacks tracks or artwork".into());
        }
        if needs_files && metadata.tracks.iter().any(|track| track.audio.is_none()) {
            return Err("metadata.json has a track without audio".into());
        }
        let audio = metadata.tracks.into_iter().filter_map(|track| track.audio);
        Self {
            key: metadata.handover.key,
            kind: metadata.handover.kind,
            upc: metadata.release.upc,
            files: audio.chain(metadata.artwork).collect(),
            documents: Vec::new(),
        }
        .checked()
    }

    /// Reads a manifest, which lists everything in a folder.
    pub(super) fn from_manifest(json: &[u8]) -> Result<Self, String> {
        let manifest: Manifest =
            serde_json::from_slice(json).map_err(|error| format!("manifest.json: {error}"))?;
        if manifest.format != "tunemantra-manifest/1" {
            return Err(format!(
                "manifest.json has the format {:?}",
                manifest.format
            ));
        }
        Self {
            key: manifest.handover.key,
            kind: manifest.handover.kind,
            upc: manifest.upc,
            files: manifest.files,
            documents: manifest.documents,
        }
        .checked()
    }

    fn checked(self) -> Result<Self, String> {
        if !is_file_name(&self.key) {
            return Err(format!("{:?} is no key", self.key));
        }
        if !matches!(self.kind.as_str(), "insert" | "update" | "takedown") {
            return Err(format!("{:?} is not done with releases", self.kind));
        }
        if !is_gtin(&self.upc) {
            return Err(format!("{:?} is no bar code", self.upc));
        }
        let mut names: Vec<_> = self.files.iter().map(|file| &file.name).collect();
        names.sort();
        if let Some([name, _]) = names.array_windows().find(|[one, next]| one == next) {
            return Err(format!("{name} is announced twice"));
        }
        for file in &self.files {
            let name = file.name.strip_prefix("resources/").unwrap_or(&file.name);
            if !is_file_name(name) {
                return Err(format!("{:?} is no file name", file.name));
            }
            if file.size == 0 {
                return Err(format!("{} is announced as empty", file.name));
            }
        }
        Ok(self)
    }

    /// All differences between what was announced and what came.
    pub(super) fn compare(&self, received: &[ReceivedFile]) -> Vec<String> {
        let mut violations = Vec::new();
        for expected in &self.files {
            let name = &expected.name;
            match received.iter().find(|file| file.name == *name) {
                None => violations.push(format!("{name} is missing")),
                Some(file) if file.size != expected.size => violations.push(format!(
                    "{name} has {} bytes, announced were {}",
                    file.size, expected.size
                )),
                Some(file) if file.sha256 != expected.sha256 => violations.push(format!(
                    "{name} has the SHA-256 {}, announced was {}",
                    file.sha256, expected.sha256
                )),
                Some(_) => {}
            }
        }
        for file in received {
            if !self.files.iter().any(|expected| expected.name == file.name) {
                violations.push(format!("{} was not announced", file.name));
            }
        }
        violations
    }
}

/// 12 or 13 digits whose weighted sum is a multiple of ten.
pub(super) fn is_gtin(text: &str) -> bool {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(10)).collect();
    digits.is_some_and(|digits| {
        let sum: u32 = digits
            .iter()
            .rev()
            .zip([1, 3].into_iter().cycle())
            .map(|(digit, weight)| digit * weight)
            .sum();
        (12..=13).contains(&digits.len()) && sum.is_multiple_of(10)
    })
}
