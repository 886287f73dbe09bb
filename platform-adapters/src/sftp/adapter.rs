//! The delivery method `sftp`: media, documents and completion marker in a folder at the partner,
//! acknowledgements in another.

use async_trait::async_trait;

use super::{
    acknowledgement::{self, ACKNOWLEDGEMENT_MAX_BYTES},
    layout::Layout,
    remote::{Marker, Remote},
};
use crate::{
    Adapter, Code, Evidence, Fault, Handover, Located, Receipt, Status,
    package::{AssetStore, Package, PackagedFile},
    settings::{Confirmation, LayoutSpecs, Platform},
};

/// A marker is one line.
const MARKER_MAX_BYTES: usize = 1024;

/// Metadata and manifest of the largest releases are a few hundred kilobytes.
const DOCUMENT_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Delivers packages to an SFTP server in the layout that [`Layout`] names.
pub struct SftpAdapter {
    remote: Remote,
    assets: AssetStore,
    confirmation: Confirmation,
    layout: LayoutSpecs,
}

impl SftpAdapter {
    /// Reads the platform's settings; connects only when something is asked.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the settings cannot be used for SFTP.
    pub fn new(platform: &Platform, assets: AssetStore) -> Result<Self, Fault> {
        let confirmation = platform.folder_confirmation()?;
        Ok(Self {
            remote: Remote::new(platform)?,
            assets,
            confirmation,
            layout: platform.format_specs.sftp.layout.clone(),
        })
    }

    /// The receipt of a hand-over that the partner has whole. One that the partner has taken away
    /// already is known by its acknowledgement.
    async fn find_complete(
        &self,
        handover: &Handover,
        package: &Package,
    ) -> Result<Option<Receipt>, Fault> {
        let layout = Layout::new(&self.layout, handover, &package.upc);
        if let Some(marker) = self
            .remote
            .read_small(&layout.marker, MARKER_MAX_BYTES)
            .await?
        {
            let evidence = self.read_documents(&layout, &marker).await?;
            let words = "completion marker and manifest found at the partner";
            return Ok(Some(self.receipt(
                handover,
                &layout,
                words.into(),
                evidence,
            )));
        }
        let is_acknowledged = self.confirmation == Confirmation::Folder
            && self.remote.stat(&layout.acknowledgement).await?.is_some();
        if is_acknowledged {
            let evidence = layout.documents(handover, package)?.to_vec();
            let words = format!("acknowledgement {} found", layout.acknowledgement);
            return Ok(Some(self.receipt(handover, &layout, words, evidence)));
        }
        Ok(None)
    }

    /// The documents that lie beside a completion marker, which are those that were sent.
    async fn read_documents(&self, layout: &Layout, marker: &[u8]) -> Result<Vec<Evidence>, Fault> {
        let read = async |path: &str| self.remote.read_small(path, DOCUMENT_MAX_BYTES).await;
        let manifest = read(&layout.manifest).await?.unwrap_or_default();
        if marker != layout.marker_of(&manifest).as_bytes() {
            return Err(Fault::new(
                Code::PartnerError,
                format!(
                    "the completion marker {} does not name the manifest that lies beside it; \
                     somebody else has changed the folder",
                    self.remote.full_path(&layout.marker)
                ),
            )
            .with_remedy("Ask the partner what became of the folder, then redeliver."));
        }
        let metadata = read(&layout.metadata).await?.unwrap_or_default();
        Ok(vec![
            layout.metadata_document(metadata),
            layout.manifest_document(manifest),
        ])
    }

    fn receipt(
        &self,
        handover: &Handover,
        layout: &Layout,
        confirmed: String,
        evidence: Vec<Evidence>,
    ) -> Receipt {
        Receipt {
            message_id: Some(handover.key()),
            remote_path: Some(self.remote.full_path(&layout.folder)),
            confirmed,
            is_final: self.confirmation == Confirmation::None,
            evidence,
            ..Receipt::default()
        }
    }
}

#[async_trait]
impl Adapter for SftpAdapter {
    async fn deliver(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault> {
        if let Some(receipt) = self.find_complete(handover, package).await? {
            return Ok(receipt);
        }
        let layout = Layout::new(&self.layout, handover, &package.upc);
        let files: Vec<&PackagedFile> = package.files().collect();
        if !files.is_empty() {
            self.remote
                .put_files(
                    &self.assets,
                    &layout.resources,
                    &files,
                    &layout.beside_resources(),
                )
                .await?;
        }
        let [metadata, manifest] = layout.documents(handover, package)?;
        self.remote
            .put_document(&layout.metadata, &metadata.body)
            .await?;
        self.remote
            .put_document(&layout.manifest, &manifest.body)
            .await?;
        let marker = layout.marker_of(&manifest.body);
        let found = self
            .remote
            .put_marker(&layout.marker, marker.as_bytes())
            .await?;
        if found == Marker::AlreadyThere {
            // Another worker finished the same hand-over meanwhile; what it sent counts.
            let found = self.find_complete(handover, package).await?;
            return found.ok_or_else(|| {
                Fault::new(
                    Code::OutcomeUnknown,
                    format!(
                        "the completion marker {} was there and is gone again",
                        self.remote.full_path(&layout.marker)
                    ),
                )
            });
        }
        let words = format!("completion marker and {} files verified", files.len());
        Ok(self.receipt(handover, &layout, words, vec![metadata, manifest]))
    }

    async fn locate(&self, handover: &Handover, package: &Package) -> Result<Located, Fault> {
        Ok(match self.find_complete(handover, package).await? {
            Some(receipt) => Located::Complete(Box::new(receipt)),
            None => Located::Absent,
        })
    }

    async fn status(&self, handover: &Handover, receipt: &Receipt) -> Result<Status, Fault> {
        if self.confirmation == Confirmation::None {
            return Ok(Status::Accepted(Box::new(receipt.clone())));
        }
        let path = Layout::acknowledgement(&self.layout, handover);
        let read = self.remote.read_small(&path, ACKNOWLEDGEMENT_MAX_BYTES);
        match read.await? {
            Some(body) => {
                let path = self.remote.full_path(&path);
                acknowledgement::read(body, &path, handover, receipt)
            }
            None => Ok(Status::Pending("no acknowledgement yet".into())),
        }
    }

    async fn check(&self) -> Result<Vec<String>, Fault> {
        self.remote
            .check(&format!(".delivery-check-{}", std::process::id()))
            .await
    }
}
