//! The SFTP partner's word on a hand-over, written where the adapters look for it, whole or not at
//! all.

use std::{fs, io, path::Path};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    inspection::{Violation, What},
    ledger::{ReceivedHandover, Verdict, write_whole},
};
use crate::ddex::{Acknowledgement, FileStatus};

/// The folder of acknowledgements, beside the hand-overs.
pub(super) const ACKNOWLEDGEMENTS: &str = "acknowledgements";

/// Writes the acknowledgement of the method `sftp`, unless it is there.
pub(super) fn by_json(incoming: &Path, handover: &ReceivedHandover) -> io::Result<()> {
    let id = &handover.partner_release_id;
    let mut body = match &handover.verdict {
        Verdict::Accepted => json!({
            "status": "accepted",
            "release_id": id,
            "url": format!("https://sandbox.example/releases/{id}"),
        }),
        Verdict::Rejected(reason) => json!({"status": "rejected", "reason": reason}),
    };
    if let Some(members) = body.as_object_mut() {
        members.insert("delivery".into(), handover.key.clone().into());
    }
    let name = format!("ACK_{}.json", handover.key);
    put(incoming, &name, &serde_json::to_vec_pretty(&body)?)
}

/// Writes DDEX's acknowledgement, unless it is there. `parties` are the message's sender and
/// recipient, who change places here.
pub(super) fn by_ddex(
    incoming: &Path,
    handover: &ReceivedHandover,
    parties: &(String, String),
    violations: &[Violation],
) -> io::Result<()> {
    let (status, error_text) = match &handover.verdict {
        Verdict::Accepted => (FileStatus::FileOk, None),
        Verdict::Rejected(reason) => {
            let status = match violations.first().map(|violation| violation.what) {
                Some(What::Missing) => FileStatus::ResourceMissing,
                Some(What::Corrupt) => FileStatus::SignatureOrHashSumWrongOrMissing,
                Some(What::Document) => FileStatus::NewReleaseMessageInvalid,
                Some(What::Other) => FileStatus::InternalError,
                None => FileStatus::ResourceNotMeetingSpecifications,
            };
            (status, Some(reason.clone()))
        }
    };
    let acknowledgement = Acknowledgement {
        release_id: Some(handover.upc.clone()).filter(|upc| !upc.is_empty()),
        status: Some(status),
        error_text,
        ..blank(parties, handover.received_at)
    };
    put_word(incoming, &acknowledgement, &handover.key)
}

/// Writes DDEX's acknowledgement of a whole batch that is in order, unless it is there.
pub(super) fn by_ddex_of_batch(
    incoming: &Path,
    batch: &str,
    parties: &(String, String),
    received_at: DateTime<Utc>,
) -> io::Result<()> {
    let acknowledgement = Acknowledgement {
        status: Some(FileStatus::FileOk),
        ..blank(parties, received_at)
    };
    put_word(incoming, &acknowledgement, batch)
}

/// An acknowledgement that says nothing yet.
fn blank((sender, recipient): &(String, String), received_at: DateTime<Utc>) -> Acknowledgement {
    Acknowledgement {
        sender: recipient.clone(),
        recipient: sender.clone(),
        created_at: received_at,
        release_id: None,
        date: Some(received_at.format("%Y-%m-%d").to_string()),
        status: None,
        message_id: None,
        supply_chain: None,
        error_text: None,
        proposed_action: None,
        manual_check_required: false,
        affected_isrcs: Vec::new(),
    }
}

fn put_word(incoming: &Path, acknowledgement: &Acknowledgement, id: &str) -> io::Result<()> {
    let xml = acknowledgement.to_xml().map_err(io::Error::other)?;
    put(incoming, &acknowledgement.file_name(id), &xml)
}

fn put(incoming: &Path, name: &str, body: &[u8]) -> io::Result<()> {
    let folder = incoming.join(ACKNOWLEDGEMENTS);
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    if path.exists() {
        return Ok(());
    }
    write_whole(&path, body)
}
