//! The acknowledgements of later versions of the choreography: `ErnAcknowledgementStatusMessage` of 1.7
//! and `AcknowledgementMessage` of 1.8. One file speaks of any number of releases and messages.

use super::{
    Acknowledgement, Element, FileStatus, ProposedAction, Refused, SupplyChainStatus, brief,
    created_at, flag, party, required, word,
};

/// What every namespace of the SFTP choreography begins with; its version follows.
pub(super) const CHOREOGRAPHIES: &str = "http://ddex.net/xml/ern-c-sftp/";
/// The names that the message has had.
pub(super) const MESSAGES: [&str; 2] =
    ["ErnAcknowledgementStatusMessage", "AcknowledgementMessage"];
/// Releases that one file speaks of.
const MAX_RELEASES: usize = 10_000;

pub(super) fn read(root: &Element) -> Result<Vec<Acknowledgement>, Refused> {
    let header = required(root, "MessageHeader")?;
    let blank = Acknowledgement {
        sender: party(header, "MessageSender")?,
        recipient: party(header, "MessageRecipient")?,
        created_at: created_at(header)?,
        message_id: None,
        release_id: None,
        date: None,
        status: None,
        supply_chain: None,
        error_text: None,
        proposed_action: None,
        manual_check_required: false,
        affected_isrcs: Vec::new(),
    };
    let mut said = Vec::new();
    for release in root.children_named("ReleaseStatus") {
        let of_release = of_release(&blank, release)?;
        let before = said.len();
        for message in release.children_named("Acknowledgement") {
            said.push(of_message(&of_release, message)?);
        }
        if said.len() == before {
            said.push(of_release);
        }
        if said.len() > MAX_RELEASES {
            return Err(Refused::TooMany);
        }
    }
    for message in root.children_named("Acknowledgement") {
        said.push(of_message(&blank, message)?);
    }
    if said.is_empty() {
        return Err(Refused::Unexpected(format!(
            "its {} speaks of no release and no message",
            brief(&root.name)
        )));
    }
    Ok(said)
}

fn of_release(blank: &Acknowledgement, release: &Element) -> Result<Acknowledgement, Refused> {
    let ids = ["ICPN", "GRid", "ProprietaryId"];
    let id = release.child("ReleaseId");
    let status = required(release, "ReleaseStatus")?;
    Ok(Acknowledgement {
        release_id: id
            .and_then(|id| ids.iter().find_map(|name| id.child_text(name)))
            .map(str::to_owned),
        supply_chain: Some(word(status, SupplyChainStatus::from_word)?),
        error_text: release.child_text("ErrorText").map(str::to_owned),
        proposed_action: release
            .child("ProposedActionType")
            .map(|element| word(element, ProposedAction::from_word))
            .transpose()?,
        manual_check_required: flag(release, "ManualCheckRequired")?,
        affected_isrcs: super::affected(release),
        ..blank.clone()
    })
}

/// What is said of a message; of several statuses the first that is no success.
fn of_message(of_release: &Acknowledgement, message: &Element) -> Result<Acknowledgement, Refused> {
    let mut said = Acknowledgement {
        message_id: message.child_text("MessageId").map(str::to_owned),
        ..of_release.clone()
    };
    for status in message.children_named("MessageStatus") {
        let found = word(required(status, "Status")?, FileStatus::from_word)?;
        if said.status.is_none_or(|known| known == FileStatus::FileOk) {
            said.status = Some(found);
        }
        let words = ["Information", "StatusMessage", "ErrorText"];
        let text = words.iter().find_map(|name| status.child_text(name));
        if said.error_text.is_none() {
            said.error_text = text.map(str::to_owned);
        }
    }
    if said.status.is_none() && said.supply_chain.is_none() {
        return Err(Refused::Unexpected(
            "its Acknowledgement holds no MessageStatus".into(),
        ));
    }
    Ok(said)
}
