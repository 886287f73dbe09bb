//! The adapter: media first, then the message, at most once; afterwards the partner's
//! acknowledgement.

use async_trait::async_trait;

use super::{
    Acknowledgement, ERN_43, FileStatus, MAX_ACKNOWLEDGEMENT_BYTES, MAX_MESSAGE_BYTES, Message,
    Schemas, build, check_settings,
    choreography::{Folder, acknowledged_at},
    read_message,
};
use crate::{
    Adapter, Code, Evidence, Fault, Handover, Located, Receipt, Status,
    package::{AssetStore, Package},
    settings::{Confirmation, DdexSpecs, Platform},
    sftp::{Marker, Remote},
};

/// Delivers by DDEX to one platform.
pub struct DdexAdapter {
    platform: Platform,
    specs: DdexSpecs,
    confirmation: Confirmation,
    assets: AssetStore,
    remote: Remote,
    schemas: Option<Schemas>,
}

impl DdexAdapter {
    /// Checks the platform's settings; connects only when something is asked. With `schemas` every
    /// message is validated before it is sent.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`], naming the setting.
    pub fn new(
        platform: Platform,
        assets: AssetStore,
        schemas: Option<Schemas>,
    ) -> Result<Self, Fault> {
        let specs = check_settings(&platform)?.clone();
        let confirmation = platform.folder_confirmation()?;
        Ok(Self {
            remote: Remote::new(&platform)?,
            platform,
            specs,
            confirmation,
            assets,
            schemas,
        })
    }

    fn receipt(&self, folder: &Folder, message: &Message, xml: Vec<u8>) -> Receipt {
        let name = folder.message_name();
        Receipt {
            message_id: Some(message.id.clone()),
            remote_path: Some(self.remote.full_path(folder.name())),
            confirmed: match message.files.len() {
                0 => format!("message {name} verified"),
                1 => format!("message {name} and 1 file verified"),
                files => format!("message {name} and {files} files verified"),
            },
            is_final: self.confirmation == Confirmation::None,
            evidence: vec![document(name, xml)],
            ..Receipt::default()
        }
    }

    /// The receipt of a hand-over that the partner has whole. One that the partner has cleared away
    /// already is known by its acknowledgement.
    async fn find_complete(
        &self,
        folder: &Folder,
        message: &Message,
    ) -> Result<Option<Receipt>, Fault> {
        if let Some(receipt) = self.find_message(folder, message).await? {
            return Ok(Some(receipt));
        }
        if self.confirmation != Confirmation::Folder {
            return Ok(None);
        }
        let Some((path, _)) = self.acknowledgement(folder, &message.id).await? else {
            return Ok(None);
        };
        Ok(Some(Receipt {
            confirmed: format!("the partner answered in {path}"),
            ..self.receipt(folder, message, message.xml.clone())
        }))
    }

    /// The receipt of a hand-over whose message lies at the partner.
    async fn find_message(
        &self,
        folder: &Folder,
        message: &Message,
    ) -> Result<Option<Receipt>, Fault> {
        let path = folder.message();
        let Some(xml) = self.remote.read_small(&path, MAX_MESSAGE_BYTES).await? else {
            return Ok(None);
        };
        match read_message(&xml) {
            Ok(found) if found.message_id == message.id => {
                Ok(Some(self.receipt(folder, message, xml)))
            }
            found => {
                let what = match found {
                    Ok(other) => format!("holds the message {:?}", other.message_id),
                    Err(refused) => format!("cannot be read: {refused}"),
                };
                let full = self.remote.full_path(&path);
                Err(Fault::new(
                    Code::OutcomeUnknown,
                    format!(
                        "at {} {full} is there, but {what}, not our {}",
                        self.platform.name, message.id
                    ),
                )
                .with_remedy("Ask the partner what it holds under this name.")
                .with_evidence(document(folder.message_name(), xml)))
            }
        }
    }

    /// The newest acknowledgement of a message: its path and bytes.
    async fn acknowledgement(
        &self,
        folder: &Folder,
        message_id: &str,
    ) -> Result<Option<(String, Vec<u8>)>, Fault> {
        let mut newest: Option<(String, String)> = None;
        for place in folder.acknowledgement_places() {
            for entry in self.remote.list(&place).await? {
                if let Some(at) = acknowledged_at(&entry, message_id)
                    && newest.as_ref().is_none_or(|(known, _)| at > *known)
                {
                    newest = Some((at, format!("{place}/{}", entry.name)));
                }
            }
        }
        let Some((_, path)) = newest else {
            return Ok(None);
        };
        let body = self
            .remote
            .read_small(&path, MAX_ACKNOWLEDGEMENT_BYTES)
            .await?;
        Ok(body.map(|body| (path, body)))
    }

    /// What an acknowledgement says of the delivery.
    fn verdict(
        &self,
        folder: &Folder,
        receipt: &Receipt,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Status, Fault> {
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        let raised = |problem: String| {
            Fault::new(
                Code::PartnerError,
                format!(
                    "the acknowledgement {name} of {} {problem}",
                    self.platform.name
                ),
            )
            .with_remedy(
                "The worker reads it again by itself. If it lasts, ask the partner what it means; \
                 the acknowledgement is kept with the delivery.",
            )
            .with_evidence(document(name.clone(), body.clone()))
        };
        let said = Acknowledgement::read(&body)
            .map_err(|refused| raised(format!("cannot be read: {refused}")))?;
        if !said.is_for(&self.specs.sender_dpid) {
            return Err(raised(format!(
                "is addressed to {:?}, not to our {}",
                said.recipient, self.specs.sender_dpid
            )));
        }
        if let Some(other) = said
            .release_id
            .as_deref()
            .filter(|id| !folder.is_release(id))
        {
            return Err(raised(format!("is about the release {other:?}")));
        }
        let evidence = vec![document(name.clone(), body.clone())];
        if said.status != FileStatus::FileOk {
            return Ok(Status::Rejected {
                reason: said.reason(),
                evidence,
            });
        }
        Ok(Status::Accepted(Box::new(Receipt {
            confirmed: format!("{} in {name}", said.reason()),
            evidence,
            ..receipt.clone()
        })))
    }
}

#[async_trait]
impl Adapter for DdexAdapter {
    async fn deliver(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault> {
        let message = build(&self.platform, handover, package)?;
        let folder = Folder::new(handover, &message.release_id);
        if let Some(schemas) = &self.schemas {
            schemas
                .validate(ERN_43, &folder.message_name(), &message.xml)
                .await?;
        }
        // Files that a message at the partner speaks of are not touched again.
        if let Some(receipt) = self.find_complete(&folder, &message).await? {
            return Ok(receipt);
        }
        if !message.files.is_empty() {
            let files: Vec<_> = message.files.iter().collect();
            self.remote
                .put_files(&self.assets, &folder.resources(), &files, &[])
                .await?;
        }
        match self
            .remote
            .put_marker(&folder.message(), &message.xml)
            .await?
        {
            Marker::Written => Ok(self.receipt(&folder, &message, message.xml.clone())),
            Marker::AlreadyThere => self.find_message(&folder, &message).await?.ok_or_else(|| {
                Fault::new(
                    Code::OutcomeUnknown,
                    format!(
                        "at {} the message {} was there and is gone",
                        self.platform.name,
                        self.remote.full_path(&folder.message())
                    ),
                )
            }),
        }
    }

    async fn locate(&self, handover: &Handover, package: &Package) -> Result<Located, Fault> {
        let message = build(&self.platform, handover, package)?;
        let folder = Folder::new(handover, &message.release_id);
        let found = self.find_complete(&folder, &message).await?;
        Ok(found.map_or(Located::Absent, |receipt| {
            Located::Complete(Box::new(receipt))
        }))
    }

    async fn status(&self, handover: &Handover, receipt: &Receipt) -> Result<Status, Fault> {
        if self.confirmation == Confirmation::None {
            return Ok(Status::Accepted(Box::new(receipt.clone())));
        }
        let path = receipt.remote_path.as_deref().unwrap_or_default();
        let folder = Folder::of_path(path).ok_or_else(|| {
            Fault::new(
                Code::WorkerFault,
                format!("the receipt names no folder of a DDEX hand-over: {path:?}"),
            )
        })?;
        match self.acknowledgement(&folder, &handover.key()).await? {
            Some((path, body)) => self.verdict(&folder, receipt, &path, body),
            None => Ok(Status::Pending("no acknowledgement yet".into())),
        }
    }

    async fn check(&self) -> Result<Vec<String>, Fault> {
        let probe = format!(".check-{}", self.specs.sender_dpid);
        let mut sentences = self.remote.check(&probe).await?;
        sentences.push(match &self.schemas {
            Some(schemas) if schemas.namespaces().any(|known| known == ERN_43) => {
                "messages are validated against DDEX's schema".into()
            }
            Some(_) => {
                return Err(Fault::new(
                    Code::SettingsInvalid,
                    "the directory of DDEX's schemas holds none for ERN 4.3",
                )
                .with_remedy("Complete the directory of DDEX's schemas in the configuration."));
            }
            None => "DDEX's schemas are not configured: messages are not validated".into(),
        });
        Ok(sentences)
    }
}

fn document(name: String, body: Vec<u8>) -> Evidence {
    Evidence {
        name,
        media_type: "application/xml".into(),
        body,
    }
}
