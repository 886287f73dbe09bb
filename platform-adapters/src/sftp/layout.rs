//! What a hand-over by the method `sftp` looks like at the partner, where the platform's settings
//! (`format_specs.sftp.layout`) say nothing else:
//!
//! ```text
//! {timestamp}_{key}/            one folder for each hand-over
//!   resources/                  audio and artwork; absent in a takedown
//!   metadata.json               the release
//!   manifest.json               every file above with size and hash sums
//!   delivery.complete           written last: the SHA-256 of manifest.json
//! acknowledgements/
//!   ACK_{key}.json              the partner's word, where it gives one
//! ```
//!
//! All names come from the hand-over and the bar code alone, so that a retry finds what an earlier
//! attempt left. The completion marker is one line as `sha256sum` writes it, so that
//! `sha256sum -c delivery.complete` checks it.

use sha2::{Digest, Sha256};

use crate::{
    Evidence, Fault, Handover,
    package::{Manifest, Metadata, Package},
    release::Upc,
    settings::{LayoutSpecs, Template},
};

/// The names of one hand-over, relative to the endpoint's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The hand-over's folder.
    pub folder: String,
    /// The folder of audio and artwork.
    pub resources: String,
    /// The document about the release.
    pub metadata: String,
    /// The list of files.
    pub manifest: String,
    /// The completion marker.
    pub marker: String,
    /// The partner's word on the hand-over.
    pub acknowledgement: String,
    /// What stands before a file's name in documents.
    resources_prefix: String,
    /// The list of files, as the marker names it.
    manifest_name: String,
}

impl Layout {
    /// The names of a hand-over of the release with this bar code.
    #[must_use]
    pub fn new(specs: &LayoutSpecs, handover: &Handover, upc: &Upc) -> Self {
        let upc = upc.to_string();
        let fill = |template: &Template, folder: &str| {
            fill(template, handover, &[("upc", &upc), ("folder", folder)])
        };
        let folder = fill(&specs.folder, "");
        let within = |name: &str| format!("{folder}/{name}");
        let resources = specs.resources.as_ref().map(|name| fill(name, &folder));
        let marker = fill(&specs.marker, &folder);
        let manifest_name = fill(&specs.manifest, &folder);
        Self {
            resources: resources
                .as_ref()
                .map_or_else(|| folder.clone(), |name| within(name)),
            resources_prefix: resources.map_or_else(String::new, |name| format!("{name}/")),
            metadata: within(&fill(&specs.metadata, &folder)),
            manifest: within(&manifest_name),
            marker: if specs.marker.names("folder") {
                marker
            } else {
                within(&marker)
            },
            acknowledgement: Self::acknowledgement(specs, handover),
            manifest_name,
            folder,
        }
    }

    /// Where the partner's word on a hand-over is looked for.
    #[must_use]
    pub fn acknowledgement(specs: &LayoutSpecs, handover: &Handover) -> String {
        fill(&specs.acknowledgement, handover, &[])
    }

    /// What the completion marker of a manifest holds.
    #[must_use]
    pub fn marker_of(&self, manifest: &[u8]) -> String {
        let sum = hex::encode(Sha256::digest(manifest));
        format!("{sum}  {}\n", self.manifest_name)
    }

    /// The names in the folder of audio and artwork that are not theirs.
    pub(super) fn beside_resources(&self) -> Vec<&str> {
        [&self.metadata, &self.manifest, &self.marker]
            .into_iter()
            .filter_map(|path| path.strip_prefix(&self.resources)?.strip_prefix('/'))
            .collect()
    }

    /// The documents of a hand-over: metadata, then the manifest that lists it and the media. Media
    /// are named with their folder, in both alike.
    pub(super) fn documents(
        &self,
        handover: &Handover,
        package: &Package,
    ) -> Result<[Evidence; 2], Fault> {
        let in_folder = |name: &mut String| *name = format!("{}{name}", self.resources_prefix);
        let mut metadata = Metadata::for_handover(handover, package);
        for audio in metadata
            .tracks
            .iter_mut()
            .filter_map(|track| track.audio.as_mut())
        {
            in_folder(&mut audio.file.name);
        }
        if let Some(artwork) = &mut metadata.artwork {
            in_folder(&mut artwork.file.name);
        }
        let metadata = self.metadata_document(metadata.to_bytes()?);
        let mut manifest =
            Manifest::for_handover(handover, package, std::slice::from_ref(&metadata));
        for file in &mut manifest.files {
            in_folder(&mut file.name);
        }
        let manifest = self.manifest_document(manifest.to_bytes()?);
        Ok([metadata, manifest])
    }

    /// The document about the release, as evidence.
    pub(super) fn metadata_document(&self, body: Vec<u8>) -> Evidence {
        json_document(self.in_folder(&self.metadata), body)
    }

    /// The list of files, as evidence.
    pub(super) fn manifest_document(&self, body: Vec<u8>) -> Evidence {
        json_document(&self.manifest_name, body)
    }

    fn in_folder<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(&self.folder)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(path)
    }
}

/// A name of a hand-over.
fn fill(template: &Template, handover: &Handover, more: &[(&str, &str)]) -> String {
    let key = handover.key();
    let delivery = handover.thread();
    let timestamp = handover.timestamp();
    let date = handover.started_at.format("%Y%m%d").to_string();
    let revision = handover.revision.to_string();
    let transmission = handover.transmission.to_string();
    let own = [
        ("key", key.as_str()),
        ("delivery", &delivery),
        ("timestamp", &timestamp),
        ("date", &date),
        ("kind", handover.kind.as_str()),
        ("revision", &revision),
        ("transmission", &transmission),
    ];
    template.fill(&[&own, more].concat())
}

/// A JSON document as evidence.
pub(super) fn json_document(name: &str, body: Vec<u8>) -> Evidence {
    Evidence {
        name: name.into(),
        media_type: "application/json".into(),
        body,
    }
}
