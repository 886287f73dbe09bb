//! The choreography in batches: what lies in a batch's folder, and what says that it is complete.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use md5::{Digest as _, Md5};

use super::{
    DdexAdapter, MAX_MANIFEST_BYTES, MAX_MESSAGE_BYTES,
    acknowledgement::CHOREOGRAPHY_16,
    adapter::document,
    choreography::{ACKNOWLEDGEMENTS, Folder, batch_complete, batch_folder},
    manifest::{self, Lying},
    read_manifest, read_message,
};
use crate::{
    Batch, BatchEntry, BatchFound, BatchReceipt, Code, Evidence, Fault, settings::Confirmation,
    sftp::Marker,
};

/// Messages that are read back at a time.
const READ_AT_ONCE: usize = 4;

impl DdexAdapter {
    /// See [`crate::Adapter::survey_batch`].
    pub(super) async fn survey(&self, batch: &Batch) -> Result<BatchFound, Fault> {
        if let Some(receipt) = self.find_manifest(batch).await? {
            return Ok(BatchFound::Complete(Box::new(receipt)));
        }
        let looks: Vec<_> = batch
            .entries
            .iter()
            .map(|entry| self.lying(entry))
            .collect();
        let found: Vec<Option<Lying<'_>>> = stream::iter(looks)
            .buffered(READ_AT_ONCE)
            .try_collect()
            .await?;
        let lacking: Vec<String> = batch
            .entries
            .iter()
            .zip(&found)
            .filter(|(_, lying)| lying.is_none())
            .map(|(entry, _)| entry.key.clone())
            .collect();
        if lacking.len() == batch.entries.len() {
            let confirmed = format!("the partner has taken batch {} away", batch.name);
            return Ok(BatchFound::Gone(Box::new(
                self.batch_receipt(confirmed, None),
            )));
        }
        if !lacking.is_empty() {
            return Ok(BatchFound::Lacking(lacking));
        }
        let messages: Vec<Lying<'_>> = found.into_iter().flatten().collect();
        self.clear_out(batch, &messages).await?;
        let xml = manifest::write(&self.platform, &self.specs, batch, &messages)?;
        let name = batch_complete(&batch.name);
        if let Some(schemas) = &self.schemas
            && schemas.namespaces().any(|known| known == CHOREOGRAPHY_16)
        {
            schemas.validate(CHOREOGRAPHY_16, &name, &xml).await?;
        }
        Ok(BatchFound::Ready(document(name, xml)))
    }

    /// See [`crate::Adapter::complete_batch`].
    pub(super) async fn complete(
        &self,
        batch: &Batch,
        manifest: Evidence,
    ) -> Result<BatchReceipt, Fault> {
        let path = manifest_path(batch);
        match self.remote.put_marker(&path, &manifest.body).await? {
            Marker::Written => Ok(self.batch_receipt(self.completed(batch), Some(manifest))),
            Marker::AlreadyThere => self.find_manifest(batch).await?.ok_or_else(|| {
                Fault::new(
                    Code::OutcomeUnknown,
                    format!(
                        "at {} {} was there and is gone",
                        self.platform.name,
                        self.remote.full_path(&path)
                    ),
                )
            }),
        }
    }

    /// What says that the batch is complete, if it is there and is ours.
    async fn find_manifest(&self, batch: &Batch) -> Result<Option<BatchReceipt>, Fault> {
        let path = manifest_path(batch);
        let Some(xml) = self.remote.read_small(&path, MAX_MANIFEST_BYTES).await? else {
            return Ok(None);
        };
        let ours: BTreeSet<&str> = batch.entries.iter().map(|one| one.key.as_str()).collect();
        let problem = match read_manifest(&xml) {
            Ok(found) => {
                let named = found.messages.iter().map(|one| one.message_id.as_str());
                (named.collect::<BTreeSet<&str>>() != ours)
                    .then(|| "names other messages than ours".to_owned())
            }
            Err(refused) => Some(format!("cannot be read: {refused}")),
        };
        let manifest = document(batch_complete(&batch.name), xml);
        match problem {
            None => Ok(Some(
                self.batch_receipt(self.completed(batch), Some(manifest)),
            )),
            Some(problem) => Err(Fault::new(
                Code::OutcomeUnknown,
                format!(
                    "at {} {} is there, but {problem}",
                    self.platform.name,
                    self.remote.full_path(&path)
                ),
            )
            .with_remedy("Ask the partner what it holds under this name.")
            .with_evidence(manifest)),
        }
    }

    /// A message of the batch as it lies there; `None` where it does not.
    async fn lying<'a>(&self, entry: &'a BatchEntry) -> Result<Option<Lying<'a>>, Fault> {
        let folder = self.folder_of(&entry.receipt)?;
        let path = folder.message();
        let Some(xml) = self.remote.read_small(&path, MAX_MESSAGE_BYTES).await? else {
            return Ok(None);
        };
        let is_ours = read_message(&xml).is_ok_and(|found| found.message_id == entry.key);
        Ok(is_ours.then(|| Lying {
            entry,
            release_id: folder.release_id().to_owned(),
            md5: hex::encode(Md5::digest(&xml)),
        }))
    }

    /// What was called off, or never came to its end, is no part of the batch.
    async fn clear_out(&self, batch: &Batch, messages: &[Lying<'_>]) -> Result<(), Fault> {
        let folder = batch_folder(&batch.name);
        for entry in self.remote.list(&folder).await? {
            let belongs = entry.name == ACKNOWLEDGEMENTS
                || messages.iter().any(|one| one.release_id == entry.name);
            if belongs || !entry.is_directory {
                continue;
            }
            let path = format!("{folder}/{}", entry.name);
            match self.remote.remove_folder(&path).await {
                // A folder that takes files only. The manifest does not name it.
                Err(fault) if fault.code == Code::AccessDenied => {
                    tracing::warn!(platform.id = self.platform.id, path, "left there: {fault}");
                }
                removed => removed?,
            }
        }
        Ok(())
    }

    /// The folder that a receipt of ours names.
    pub(super) fn folder_of(&self, receipt: &crate::Receipt) -> Result<Folder, Fault> {
        let path = receipt.remote_path.as_deref().unwrap_or_default();
        Folder::of_path(path).ok_or_else(|| {
            Fault::new(
                Code::WorkerFault,
                format!("the receipt names no folder of a DDEX hand-over: {path:?}"),
            )
        })
    }

    fn completed(&self, batch: &Batch) -> String {
        let releases = match batch.entries.len() {
            1 => "1 release".to_owned(),
            many => format!("{many} releases"),
        };
        format!(
            "batch {} of {releases} complete with {}",
            batch.name,
            batch_complete(&batch.name)
        )
    }

    fn batch_receipt(&self, confirmed: String, manifest: Option<Evidence>) -> BatchReceipt {
        BatchReceipt {
            confirmed,
            is_final: self.confirmation == Confirmation::None,
            manifest,
        }
    }
}

fn manifest_path(batch: &Batch) -> String {
    format!(
        "{}/{}",
        batch_folder(&batch.name),
        batch_complete(&batch.name)
    )
}
