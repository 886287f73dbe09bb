//! The adapter: media first, then the message, at most once; afterwards the partner's
//! acknowledgement. What is done with batches stands in `batches`.

use async_trait::async_trait;

use super::{
    Acknowledgement, MAX_ACKNOWLEDGEMENT_BYTES, MAX_MESSAGE_BYTES, Message, Schemas, Verdict,
    Version, build, check_settings,
    choreography::{ACKNOWLEDGEMENTS, Folder, acknowledged_at, named},
    read_message,
    target::Target,
    untrusted::brief,
    verify,
};
use crate::{
    Adapter, Batch, BatchFound, BatchReceipt, Code, Evidence, Fault, Handover, Located, Receipt,
    Said, Status, WordFile,
    package::{AssetStore, Package},
    settings::{Confirmation, DdexSpecs, Platform},
    sftp::{Entry, Marker},
};

/// Delivers by DDEX to one platform.
pub struct DdexAdapter {
    pub(super) platform: Platform,
    pub(super) specs: DdexSpecs,
    pub(super) confirmation: Confirmation,
    assets: AssetStore,
    pub(super) remote: Target,
    pub(super) schemas: Option<Schemas>,
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
            remote: Target::new(&platform)?,
            platform,
            specs,
            confirmation,
            assets,
            schemas,
        })
    }

    fn receipt(&self, folder: &Folder, message: &Message, xml: Vec<u8>) -> Receipt {
        let name = folder.message_name();
        let mut confirmed = match message.files.len() {
            0 => format!("message {name} verified"),
            1 => format!("message {name} and 1 file verified"),
            files => format!("message {name} and {files} files verified"),
        };
        for withdrawal in &message.withdrawals {
            confirmed.push_str(&format!("; {withdrawal}"));
        }
        Receipt {
            message_id: Some(message.id.clone()),
            remote_path: Some(self.remote.full_path(folder.path())),
            confirmed,
            // A batch has to be complete first.
            is_final: self.confirmation == Confirmation::None && folder.batch().is_none(),
            // It always serialises; were it not so, the next message would end nothing.
            stated: serde_json::to_value(&message.statement).ok(),
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

    /// The newest acknowledgement that speaks of a message: its path and bytes.
    async fn acknowledgement(
        &self,
        folder: &Folder,
        message_id: &str,
    ) -> Result<Option<(String, Vec<u8>)>, Fault> {
        let mut found: Vec<(String, String, bool)> = Vec::new();
        for place in folder.acknowledgement_places() {
            for entry in self.remote.list(&place).await? {
                let of_message = acknowledged_at(&entry, message_id);
                let is_of_message = of_message.is_some();
                let at = of_message.or_else(|| acknowledged_at(&entry, folder.batch()?));
                if let Some(at) = at {
                    found.push((at, format!("{place}/{}", entry.name), is_of_message));
                }
            }
        }
        found.sort();
        for (_, path, is_of_message) in found.into_iter().rev() {
            let body = self
                .remote
                .read_small(&path, MAX_ACKNOWLEDGEMENT_BYTES)
                .await?;
            if let Some(body) = body
                && (is_of_message || concerns(&body, folder, message_id))
            {
                return Ok(Some((path, body)));
            }
        }
        Ok(None)
    }

    /// What an acknowledgement says of the delivery.
    fn verdict(
        &self,
        folder: &Folder,
        message_id: &str,
        receipt: &Receipt,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Status, Fault> {
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        let all = Acknowledgement::read(&body)
            .map_err(|refused| self.raised(&name, &body, &format!("cannot be read: {refused}")))?;
        let said = about(&all, folder, message_id)
            .map_err(|problem| self.raised(&name, &body, &problem))?;
        self.check_addressee(&name, &body, said)?;
        Ok(status(said, &name, &body, receipt))
    }

    fn check_addressee(
        &self,
        name: &str,
        body: &[u8],
        said: &Acknowledgement,
    ) -> Result<(), Fault> {
        if said.is_for(&self.specs.sender_dpid) {
            return Ok(());
        }
        let problem = format!(
            "is addressed to {:?}, not to our {}",
            brief(&said.recipient),
            self.specs.sender_dpid
        );
        Err(self.raised(name, body, &problem))
    }

    /// An acknowledgement that is not understood.
    fn raised(&self, name: &str, body: &[u8], problem: &str) -> Fault {
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
        .with_evidence(document(name.to_owned(), body.to_vec()))
    }
}

/// Whether words on a batch say anything of one of its messages. Those that cannot be read do: they are
/// to be raised.
fn concerns(body: &[u8], folder: &Folder, message_id: &str) -> bool {
    Acknowledgement::read(body).map_or(true, |all| about(&all, folder, message_id).is_ok())
}

/// What an acknowledgement says of its delivery; `receipt` is what is known already.
fn status(said: &Acknowledgement, name: &str, body: &[u8], receipt: &Receipt) -> Status {
    let evidence = vec![document(name.to_owned(), body.to_vec())];
    let reason = said.reason();
    match said.verdict() {
        Verdict::Pending => Status::Pending(format!("{reason} in {name}")),
        Verdict::Rejected => Status::Rejected { reason, evidence },
        Verdict::Resend => Status::Resend {
            wanted: said.wanted(),
            reason,
            evidence,
        },
        Verdict::Accepted => Status::Accepted(Box::new(Receipt {
            confirmed: format!("{reason} in {name}"),
            evidence,
            ..receipt.clone()
        })),
    }
}

/// What a file of acknowledgements says of one message; or why it says nothing of it.
fn about<'a>(
    all: &'a [Acknowledgement],
    folder: &Folder,
    message_id: &str,
) -> Result<&'a Acknowledgement, String> {
    let by_message = |said: &&Acknowledgement| said.message_id.as_deref() == Some(message_id);
    let by_release = |said: &&Acknowledgement| {
        let release_id = said.release_id.as_deref();
        said.message_id.is_none() && release_id.is_none_or(|id| folder.is_release(id))
    };
    let mut said = all.iter();
    if let Some(found) = said
        .find(by_message)
        .or_else(|| all.iter().find(by_release))
    {
        return Ok(found);
    }
    let others: Vec<String> = all
        .iter()
        .take(3)
        .filter_map(|said| {
            let id = said.message_id.as_ref().or(said.release_id.as_ref())?;
            Some(format!("{:?}", brief(id)))
        })
        .collect();
    Err(format!("is about {}", others.join(", ")))
}

#[async_trait]
impl Adapter for DdexAdapter {
    async fn deliver(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault> {
        let message = build(&self.platform, handover, package)?;
        let folder = Folder::new(handover, &message.release_id);
        verify(self.schemas.as_ref(), &folder.message_name(), &message).await?;
        // Files that a message at the partner speaks of are not touched again, but in a batch, at which
        // the partner does not look before it is complete.
        let is_open = folder.batch().is_some();
        if !is_open && let Some(receipt) = self.find_complete(&folder, &message).await? {
            return Ok(receipt);
        }
        if !message.files.is_empty() {
            let files: Vec<_> = message.files.iter().collect();
            self.remote
                .put_files(&self.assets, &folder.resources(), &files)
                .await?;
        }
        if is_open {
            self.remote
                .put_document(&folder.message(), &message.xml)
                .await?;
            return Ok(self.receipt(&folder, &message, message.xml.clone()));
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
        let folder = self.folder_of(receipt)?;
        match self.acknowledgement(&folder, &handover.key()).await? {
            Some((path, body)) => self.verdict(&folder, &handover.key(), receipt, &path, body),
            None => Ok(Status::Pending("no acknowledgement yet".into())),
        }
    }

    async fn survey_batch(&self, batch: &Batch) -> Result<BatchFound, Fault> {
        self.survey(batch).await
    }

    async fn complete_batch(
        &self,
        batch: &Batch,
        manifest: Evidence,
    ) -> Result<BatchReceipt, Fault> {
        self.complete(batch, manifest).await
    }

    async fn word_files(&self) -> Result<Vec<WordFile>, Fault> {
        if self.confirmation != Confirmation::Folder {
            return Ok(Vec::new());
        }
        let mut files: Vec<(String, WordFile)> = self
            .remote
            .list(ACKNOWLEDGEMENTS)
            .await?
            .into_iter()
            .filter_map(|entry| {
                let (_, time) = named(&entry)?;
                let (name, size) = (entry.name, entry.size);
                Some((time, WordFile { name, size }))
            })
            .collect();
        files.sort_by(|one, other| (&one.0, &one.1.name).cmp(&(&other.0, &other.1.name)));
        Ok(files.into_iter().map(|(_, file)| file).collect())
    }

    async fn read_words(&self, file: &WordFile) -> Result<Vec<Said>, Fault> {
        let path = format!("{ACKNOWLEDGEMENTS}/{}", file.name);
        let body = self
            .remote
            .read_small(&path, MAX_ACKNOWLEDGEMENT_BYTES)
            .await?
            .unwrap_or_default();
        let name = &file.name;
        let all = Acknowledgement::read(&body)
            .map_err(|refused| self.raised(name, &body, &format!("cannot be read: {refused}")))?;
        let entry = Entry {
            name: name.clone(),
            size: file.size,
            is_directory: false,
        };
        let of_name = named(&entry).map(|(id, _)| id);
        let mut said = Vec::new();
        for one in &all {
            self.check_addressee(name, &body, one)?;
            // In 1.6 the file's name says which message or batch it is about.
            let Some(key) = one.message_id.clone().or_else(|| of_name.clone()) else {
                continue;
            };
            let status = status(one, name, &body, &Receipt::default());
            let release_id = one.release_id.clone();
            said.push(Said {
                key,
                release_id,
                status,
            });
        }
        Ok(said)
    }

    async fn check(&self) -> Result<Vec<String>, Fault> {
        let version = &self.specs.version;
        let namespace = Version::of_number(version).map_or("", Version::namespace);
        let probe = format!(".check-{}", self.specs.sender_dpid);
        let mut sentences = self.remote.check(&probe).await?;
        sentences.push(match &self.schemas {
            Some(schemas) if schemas.namespaces().any(|known| known == namespace) => {
                format!("messages of ERN {version} are validated against DDEX's schema")
            }
            Some(_) => {
                return Err(Fault::new(
                    Code::SettingsInvalid,
                    format!("the directory of DDEX's schemas holds none for ERN {version}"),
                )
                .with_remedy("Complete the directory of DDEX's schemas in the configuration."));
            }
            None => {
                "DDEX's schemas are not configured: messages are held against the worker's own \
                     rules only"
                    .into()
            }
        });
        Ok(sentences)
    }
}

pub(super) fn document(name: String, body: Vec<u8>) -> Evidence {
    Evidence {
        name,
        media_type: "application/xml".into(),
        body,
    }
}
