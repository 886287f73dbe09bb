//! The SFTP partner's word on a hand-over, written where the adapters look for it, whole or not at
//! all, unless the partner was asked to do it badly.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    inspection::{Violation, What},
    ledger::{ReceivedHandover, Verdict, write_whole},
    misbehave::BadAcknowledgement,
};
use crate::ddex::{Acknowledgement, FileStatus};

/// The folder of acknowledgements, beside the hand-overs.
pub(super) const ACKNOWLEDGEMENTS: &str = "acknowledgements";

/// XML of a few hundred bytes that would be some gigabytes with its entities expanded.
const BOMB: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE bomb [<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">
<!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">
<!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;">
]>
<bomb>&f;</bomb>
"#;

/// An acknowledgement and where it goes.
pub(super) struct Letter {
    path: PathBuf,
    body: Vec<u8>,
}

impl Letter {
    fn to(incoming: &Path, name: &str, body: Vec<u8>) -> io::Result<Self> {
        let folder = incoming.join(ACKNOWLEDGEMENTS);
        fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        Ok(Self { path, body })
    }

    /// Writes it, unless it is there.
    pub(super) fn put_once(&self) -> io::Result<()> {
        if self.path.exists() {
            return Ok(());
        }
        self.put()
    }

    /// Writes it over what is there.
    pub(super) fn put(&self) -> io::Result<()> {
        write_whole(&self.path, &self.body)
    }

    /// Writes what is wrong in its place.
    pub(super) fn put_badly(&self, how: BadAcknowledgement) -> io::Result<()> {
        let half = self.body.len() / 2;
        match how {
            BadAcknowledgement::Late => Ok(()),
            BadAcknowledgement::Cut => {
                write_whole(&self.path, self.body.get(..half).unwrap_or_default())
            }
            BadAcknowledgement::Twice => self.put(),
            BadAcknowledgement::Bomb => write_whole(&self.path, BOMB.as_bytes()),
        }
    }
}

/// The acknowledgement of the method `sftp`.
pub(super) fn by_json(incoming: &Path, handover: &ReceivedHandover) -> io::Result<Letter> {
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
    Letter::to(incoming, &name, serde_json::to_vec_pretty(&body)?)
}

/// DDEX's acknowledgement. `parties` are the message's sender and recipient, who change places here.
pub(super) fn by_ddex(
    incoming: &Path,
    handover: &ReceivedHandover,
    parties: &(String, String),
    violations: &[Violation],
) -> io::Result<Letter> {
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
    letter(incoming, &acknowledgement, &handover.key)
}

/// DDEX's acknowledgement of a whole batch that is in order.
pub(super) fn by_ddex_of_batch(
    incoming: &Path,
    batch: &str,
    parties: &(String, String),
    received_at: DateTime<Utc>,
) -> io::Result<Letter> {
    let acknowledgement = Acknowledgement {
        status: Some(FileStatus::FileOk),
        ..blank(parties, received_at)
    };
    letter(incoming, &acknowledgement, batch)
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

fn letter(incoming: &Path, acknowledgement: &Acknowledgement, id: &str) -> io::Result<Letter> {
    let xml = acknowledgement.to_xml().map_err(io::Error::other)?;
    Letter::to(incoming, &acknowledgement.file_name(id), xml)
}
