//! The one trait that every delivery method implements, and what it answers with.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Batch, BatchFound, BatchReceipt, Fault, Handover, batch::no_batches, package::Package,
};

/// Speaks one delivery method to one platform.
///
/// An adapter may keep connections open between calls; it is shared by all deliveries to its
/// platform. Every method may be called again for the same [`Handover`] without harm: whatever
/// names the hand-over at the partner is derived from it.
#[async_trait]
pub trait Adapter: Send + Sync {
    /// Hands the package over: media first, then the message, the completion marker last.
    ///
    /// Called again after a fault it goes on where the last attempt stopped and never writes a
    /// completion marker twice.
    ///
    /// # Errors
    /// A [`Fault`] whose class says whether a retry can help. A fault while the marker is being
    /// written is [`crate::FaultClass::Unknown`].
    async fn deliver(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault>;

    /// Looks at the partner whether the hand-over is already there, without sending anything.
    ///
    /// # Errors
    /// A [`Fault`] if the partner cannot be asked.
    async fn locate(&self, handover: &Handover, package: &Package) -> Result<Located, Fault>;

    /// Asks what the partner says of a hand-over that was sent. `receipt` is what
    /// [`Adapter::deliver`] gave.
    ///
    /// # Errors
    /// A [`Fault`] if the partner cannot be asked or its answer cannot be understood: a word we do
    /// not know is never taken for success.
    async fn status(&self, handover: &Handover, receipt: &Receipt) -> Result<Status, Fault>;

    /// Looks what of a batch lies at the partner, and takes away what lies among it and does not belong
    /// to it.
    ///
    /// # Errors
    /// A [`Fault`] if the partner cannot be asked, or if what says that the batch is complete is there
    /// and is not ours.
    async fn survey_batch(&self, _batch: &Batch) -> Result<BatchFound, Fault> {
        Err(no_batches())
    }

    /// Says to the partner that a batch is complete, in the words of [`BatchFound::Ready`]. It is
    /// never said twice.
    ///
    /// # Errors
    /// A [`Fault`]; [`crate::FaultClass::Unknown`] where it may have been said: look again first.
    async fn complete_batch(
        &self,
        _batch: &Batch,
        _manifest: Evidence,
    ) -> Result<BatchReceipt, Fault> {
        Err(no_batches())
    }

    /// The files of words that lie where the partner puts all of a platform's, oldest first, whatever
    /// hand-overs they are about. None for a method that knows no such place.
    ///
    /// # Errors
    /// A [`Fault`] if the partner cannot be asked.
    async fn word_files(&self) -> Result<Vec<WordFile>, Fault> {
        Ok(Vec::new())
    }

    /// Reads one of [`Adapter::word_files`].
    ///
    /// # Errors
    /// [`crate::Code::PartnerError`] if it cannot be understood, as a file that is still being
    /// written; another [`Fault`] if the partner cannot be asked.
    async fn read_words(&self, file: &WordFile) -> Result<Vec<Said>, Fault> {
        Err(Fault::new(
            crate::Code::WorkerFault,
            format!("there is no file {:?} to read", file.name),
        ))
    }

    /// Checks the connection without delivering: name resolution, host key or certificate,
    /// credentials, write access. Answers with one sentence for each thing that was found in order.
    ///
    /// # Errors
    /// The first [`Fault`] met.
    async fn check(&self) -> Result<Vec<String>, Fault>;
}

/// What the partner gave back for a hand-over. Kept in `worker.deliveries.receipt`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The partner's own id of the release, if it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner_release_id: Option<String>,
    /// Where the release can be seen, if the partner named a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The id of the message we sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The remote folder that holds the hand-over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_path: Option<String>,
    /// What was verified at the partner, in words for a person:
    /// `201 Created`, `completion marker and 14 files verified`.
    pub confirmed: String,
    /// The partner itself has taken the release already; no later word is to be waited for.
    /// Set by a method whose answer is final (`confirmation` `none`).
    #[serde(default)]
    pub is_final: bool,
    /// What was stated of the release, in the method's own form; handed to the next hand-over of
    /// the release to this platform as [`Handover::last_stated`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<serde_json::Value>,
    /// What was sent, to be kept as evidence. Stored apart from the receipt.
    #[serde(skip)]
    pub evidence: Vec<Evidence>,
}

/// A document that went to the partner or came from it, kept as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What it is called: the file's name at the partner.
    pub name: String,
    /// Its media type: `application/xml`, `application/json`.
    pub media_type: String,
    /// The bytes, as sent or received. Messages and manifests only, never media.
    pub body: Vec<u8>,
}

/// What [`Adapter::locate`] found at the partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    /// Nothing, or an incomplete hand-over without its completion marker: sending is safe.
    Absent,
    /// The partner offers no way to look, and takes the same hand-over once however often it is sent.
    /// Sending is safe; but a no to what is sent says nothing of what was sent before.
    Repeatable,
    /// The complete hand-over: there is nothing left to send.
    Complete(Box<Receipt>),
    /// The partner offers no way to look, and sending again might give it the release twice.
    CannotTell,
}

/// A file in which a partner says something of hand-overs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordFile {
    /// Its name; among those about one hand-over in order of time.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// What a partner says of one hand-over in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// [`Handover::key`], as the partner repeats it; or [`Batch::name`] where it speaks of a batch.
    pub key: String,
    /// The release of the batch that it speaks of, by its bar code; `None`: all of them.
    pub release_id: Option<String>,
    /// What it says. A receipt holds only what is new.
    pub status: Status,
}

/// What a partner says of a hand-over it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not decided yet. The words are the partner's own, or ours for "no answer yet".
    Pending(String),
    /// The partner has taken it. What it added (id, URL, acknowledgement) is in the receipt.
    Accepted(Box<Receipt>),
    /// The partner's no, with its reason and what came with it.
    Rejected {
        /// The partner's reason, as it gave it.
        reason: String,
        /// The acknowledgement as received.
        evidence: Vec<Evidence>,
    },
    /// The partner's no, with the request to send the same once more.
    Resend {
        /// How much of it.
        wanted: Wanted,
        /// The partner's reason, as it gave it.
        reason: String,
        /// The acknowledgement as received.
        evidence: Vec<Evidence>,
    },
}

/// How much of a hand-over a partner wants once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Message and files.
    Everything,
    /// The message: it has the files.
    MessageAlone,
}
