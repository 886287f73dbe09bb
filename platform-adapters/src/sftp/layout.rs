//! What a hand-over by the method `sftp` looks like at the partner. All names come from the
//! hand-over alone, so that a retry finds what an earlier attempt left.
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
//! The completion marker is one line as `sha256sum` writes it, so that
//! `sha256sum -c delivery.complete` checks it.

use sha2::{Digest, Sha256};

use crate::{
    Evidence, Fault, Handover,
    package::{Manifest, Metadata, Package},
};

/// The folder of audio and artwork.
const RESOURCES: &str = "resources";

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
}

impl Layout {
    /// The names of a hand-over.
    #[must_use]
    pub fn new(handover: &Handover) -> Self {
        let key = handover.key();
        let folder = format!("{}_{key}", handover.timestamp());
        let within = |name: &str| format!("{folder}/{name}");
        Self {
            resources: within(RESOURCES),
            metadata: within(Metadata::FILE_NAME),
            manifest: within(Manifest::FILE_NAME),
            marker: within("delivery.complete"),
            acknowledgement: format!("acknowledgements/ACK_{key}.json"),
            folder,
        }
    }

    /// What the completion marker of a manifest holds.
    #[must_use]
    pub fn marker_of(manifest: &[u8]) -> String {
        format!(
            "{}  {}\n",
            hex::encode(Sha256::digest(manifest)),
            Manifest::FILE_NAME
        )
    }
}

/// The documents of a hand-over: metadata, then the manifest that lists it and the media. Media are
/// named with their folder, in both alike.
pub(super) fn documents(handover: &Handover, package: &Package) -> Result<[Evidence; 2], Fault> {
    let in_folder = |name: &mut String| *name = format!("{RESOURCES}/{name}");
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
    let metadata = json_document(Metadata::FILE_NAME, metadata.to_bytes()?);
    let mut manifest = Manifest::for_handover(handover, package, std::slice::from_ref(&metadata));
    for file in &mut manifest.files {
        in_folder(&mut file.name);
    }
    let manifest = json_document(Manifest::FILE_NAME, manifest.to_bytes()?);
    Ok([metadata, manifest])
}

/// A JSON document as evidence.
pub(super) fn json_document(name: &str, body: Vec<u8>) -> Evidence {
    Evidence {
        name: name.into(),
        media_type: "application/json".into(),
        body,
    }
}
