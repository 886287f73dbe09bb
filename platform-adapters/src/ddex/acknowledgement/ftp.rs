//! `FtpAcknowledgementMessage` of version 1.6: one file, one verdict on one message.

use chrono::SecondsFormat;

use super::{
    Acknowledgement, Element, FileStatus, ProposedAction, Refused, brief, created_at, flag, party,
    required, word,
};
use crate::{Code, Fault, ddex::xml::Document};

/// The namespace of the SFTP choreography 1.6.
pub const CHOREOGRAPHY_16: &str = "http://ddex.net/xml/ern-c-sftp/16";
/// The name of the message.
pub(super) const MESSAGE: &str = "FtpAcknowledgementMessage";

pub(super) fn read(root: &Element) -> Result<Acknowledgement, Refused> {
    let header = required(root, "MessageHeader")?;
    let acknowledged = required(root, "AcknowledgedFile")?;
    Ok(Acknowledgement {
        sender: party(header, "MessageSender")?,
        recipient: party(header, "MessageRecipient")?,
        created_at: created_at(header)?,
        message_id: None,
        release_id: acknowledged.child_text("ReleaseId").map(str::to_owned),
        date: acknowledged.child_text("Date").map(str::to_owned),
        status: Some(word(required(root, "FileStatus")?, FileStatus::from_word)?),
        supply_chain: None,
        error_text: root.child_text("ErrorText").map(str::to_owned),
        proposed_action: root
            .child("ProposedActionType")
            .map(|element| word(element, ProposedAction::from_word))
            .transpose()?,
        manual_check_required: flag(root, "ManualCheckRequired")?,
        affected_isrcs: super::affected(root),
    })
}

impl Acknowledgement {
    /// The message as a partner sends it in version 1.6.
    ///
    /// # Errors
    /// [`Code::WorkerFault`] when it cannot be written.
    pub fn to_xml(&self) -> Result<Vec<u8>, Fault> {
        let mut xml = Document::new();
        let attributes = [("xmlns:c", CHOREOGRAPHY_16), ("MessageVersionId", "1.6")];
        xml.element_with("c:FtpAcknowledgementMessage", &attributes, |xml| {
            xml.element("MessageHeader", |xml| {
                xml.element("MessageSender", |xml| xml.text("PartyId", &self.sender));
                xml.element("MessageRecipient", |xml| {
                    xml.text("PartyId", &self.recipient);
                });
                let created_at = self.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
                xml.text("MessageCreatedDateTime", &created_at);
            });
            xml.element("AcknowledgedFile", |xml| {
                optional(xml, "ReleaseId", self.release_id.as_deref());
                optional(xml, "Date", self.date.as_deref());
            });
            optional(xml, "FileStatus", self.status.map(FileStatus::as_str));
            optional(xml, "ErrorText", self.error_text.as_deref());
            let action = self.proposed_action.map(ProposedAction::as_str);
            optional(xml, "ProposedActionType", action);
            if self.manual_check_required {
                xml.text("ManualCheckRequired", "true");
            }
            for isrc in &self.affected_isrcs {
                xml.element("AffectedResource", |xml| xml.text("ISRC", isrc));
            }
        });
        xml.finish().map_err(|error| {
            Fault::new(
                Code::WorkerFault,
                format!(
                    "the acknowledgement cannot be written: {}",
                    brief(&error.to_string())
                ),
            )
        })
    }
}

fn optional(xml: &mut Document, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        xml.text(name, text);
    }
}
