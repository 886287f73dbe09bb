//! What says that a batch is complete: the `ManifestMessage` of the SFTP choreography 1.6, written
//! last of all as `BatchComplete_{BatchId}.xml`. It names every message of the batch with its hash sum.

use chrono::SecondsFormat;

use super::{
    acknowledgement::CHOREOGRAPHY_16,
    choreography::{batch_folder, path_in_batch},
    untrusted::{Element, Refused, brief},
    xml::Document,
};
use crate::{
    Batch, BatchEntry, Code, Fault, Kind,
    release::Dpid,
    settings::{DdexSpecs, Platform},
};

/// The largest manifest that is read. One of a thousand messages has about half a megabyte.
pub const MAX_MANIFEST_BYTES: usize = 16 * 1024 * 1024;

/// The name of the message.
const MESSAGE: &str = "ManifestMessage";

/// A manifest as its recipient reads it. What it does not say is empty; whether it should say it is
/// its reader's to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedManifest {
    /// The sender's DPID, as it stands there.
    pub sender: String,
    /// The recipient's DPID, as it stands there.
    pub recipient: String,
    /// `RootDirectory`.
    pub root: String,
    /// `NumberOfMessages`, as it stands there.
    pub number: String,
    /// The messages, in its order.
    pub messages: Vec<ListedMessage>,
}

/// A message that a manifest names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedMessage {
    /// `MessageId`.
    pub message_id: String,
    /// Its path below the batch's folder.
    pub url: String,
    /// Its release's bar code.
    pub icpn: String,
    /// `NewReleaseDelivery`, `ReDelivery`, `TakeDown` and their like.
    pub delivery_type: String,
    /// `MD5` and its like.
    pub algorithm: String,
    /// Its hash sum.
    pub hash: String,
}

/// Reads a manifest of the SFTP choreography 1.6.
///
/// # Errors
/// [`Refused`] when it is too large, not well-formed or no manifest.
pub fn read_manifest(xml: &[u8]) -> Result<ReceivedManifest, Refused> {
    let root = Element::parse(xml, MAX_MANIFEST_BYTES)?;
    if root.name != MESSAGE || &*root.namespace != CHOREOGRAPHY_16 {
        return Err(Refused::Unexpected(format!(
            "it is a {} in {:?}, no manifest of DDEX's SFTP choreography 1.6",
            brief(&root.name),
            brief(&root.namespace)
        )));
    }
    let text = |path: &[&str]| root.text_at(path).unwrap_or_default().to_owned();
    Ok(ReceivedManifest {
        sender: text(&["MessageHeader", "MessageSender", "PartyId"]),
        recipient: text(&["MessageHeader", "MessageRecipient", "PartyId"]),
        root: text(&["RootDirectory"]),
        number: text(&["NumberOfMessages"]),
        messages: root.children_named("MessageInBatch").map(listed).collect(),
    })
}

fn listed(message: &Element) -> ListedMessage {
    let text = |path: &[&str]| message.text_at(path).unwrap_or_default().to_owned();
    ListedMessage {
        message_id: text(&["MessageId"]),
        url: text(&["URL"]),
        icpn: text(&["IncludedReleaseId", "ICPN"]),
        delivery_type: text(&["DeliveryType"]),
        algorithm: text(&["HashSum", "HashSumAlgorithmType"]),
        hash: text(&["HashSum", "HashSum"]),
    }
}

/// A message of a batch as it lies at the partner.
pub(super) struct Lying<'a> {
    pub(super) entry: &'a BatchEntry,
    pub(super) release_id: String,
    /// MD5 of the message, in hex.
    pub(super) md5: String,
}

/// Writes the manifest of a batch. The same batch gives the same bytes.
pub(super) fn write(
    platform: &Platform,
    specs: &DdexSpecs,
    batch: &Batch,
    messages: &[Lying<'_>],
) -> Result<Vec<u8>, Fault> {
    let mut xml = Document::new();
    let attributes = [("xmlns:c", CHOREOGRAPHY_16), ("MessageVersionId", "1.6")];
    let recipient_name = specs.recipient_name.as_deref().unwrap_or(&platform.name);
    xml.element_with("c:ManifestMessage", &attributes, |xml| {
        xml.element("MessageHeader", |xml| {
            xml.element("MessageSender", |xml| {
                party(xml, &specs.sender_dpid, &specs.sender_name);
            });
            xml.element("MessageRecipient", |xml| {
                party(xml, &specs.recipient_dpid, recipient_name);
            });
            let sealed_at = batch.sealed_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            xml.text("MessageCreatedDateTime", &sealed_at);
        });
        xml.text("IsTestFlag", &specs.test_messages.to_string());
        xml.text("RootDirectory", &format!("/{}", batch_folder(&batch.name)));
        xml.text("NumberOfMessages", &messages.len().to_string());
        for message in messages {
            xml.element("MessageInBatch", |xml| in_batch(xml, message));
        }
    });
    xml.finish().map_err(|error| {
        Fault::new(
            Code::WorkerFault,
            format!(
                "the manifest of batch {} cannot be written: {error}",
                batch.name
            ),
        )
    })
}

fn party(xml: &mut Document, dpid: &Dpid, name: &str) {
    xml.text("PartyId", dpid.as_str());
    xml.element("PartyName", |xml| xml.text("FullName", name));
}

fn in_batch(xml: &mut Document, message: &Lying<'_>) {
    xml.text("MessageType", "NewReleaseMessage");
    xml.text("MessageId", &message.entry.key);
    xml.text("URL", &path_in_batch(&message.release_id));
    xml.element("IncludedReleaseId", |xml| {
        xml.text("ICPN", &message.release_id);
    });
    xml.text("DeliveryType", delivery_type(message.entry));
    xml.text("ProductType", "AudioProduct");
    xml.element("HashSum", |xml| {
        xml.text("HashSum", &message.md5);
        xml.text("HashSumAlgorithmType", "MD5");
    });
}

/// DDEX has no word for an update: it is a further delivery of a release that the partner has.
fn delivery_type(entry: &BatchEntry) -> &'static str {
    match (entry.kind, entry.transmission) {
        (Kind::Takedown, _) => "TakeDown",
        (Kind::Insert, 1) => "NewReleaseDelivery",
        (Kind::Insert | Kind::Update, _) => "ReDelivery",
    }
}
