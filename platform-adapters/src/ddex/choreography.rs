//! Names and places of the choreography release by release: a folder a hand-over,
//! `N_{ReleaseId}_{YYYYMMDDhhmmssnnn}/`, with the files in `resources/` and the message
//! `{ReleaseId}.xml` beside it. The message is the completion marker: it arrives last, whole and
//! once.
//!
//! Acknowledgements, `ACK_{MessageId}_{YYYYMMDDhhmmssnnn}.xml`, lie in the hand-over's folder in
//! version 1.6 of the choreography; from 1.7 on in a folder `acknowledgements/`, which partners put
//! into that folder or beside it. They are looked for in all three places.
//!
//! All deliveries are of priority `N`: a partner that prefers `P` to `N` would take a takedown before
//! the release it takes down.

use super::{acknowledgement::file_name_prefix, message::RESOURCES};
use crate::{Handover, sftp::Entry};

/// Where acknowledgements lie from version 1.7 of the choreography on.
pub(super) const ACKNOWLEDGEMENTS: &str = "acknowledgements";

/// The folder of a hand-over, relative to the endpoint's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    name: String,
    release_id: String,
}

impl Folder {
    pub(super) fn new(handover: &Handover, release_id: &str) -> Self {
        Self {
            name: format!("N_{release_id}_{}", handover.timestamp()),
            release_id: release_id.to_owned(),
        }
    }

    /// The folder that a receipt names by its path on the server.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let name = path.trim_end_matches('/').rsplit('/').next()?;
        let (release_id, _) = name.strip_prefix("N_")?.rsplit_once('_')?;
        Some(Self {
            name: name.to_owned(),
            release_id: release_id.to_owned(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn resources(&self) -> String {
        format!("{}/{RESOURCES}", self.name)
    }

    /// The message's file name.
    pub(super) fn message_name(&self) -> String {
        format!("{}.xml", self.release_id)
    }

    pub(super) fn message(&self) -> String {
        format!("{}/{}", self.name, self.message_name())
    }

    /// Where acknowledgements of this hand-over can lie.
    pub(super) fn acknowledgement_places(&self) -> [String; 3] {
        [
            self.name.clone(),
            format!("{}/{ACKNOWLEDGEMENTS}", self.name),
            ACKNOWLEDGEMENTS.to_owned(),
        ]
    }

    /// Whether a partner's release id is this one's. Bar codes are written with 12, 13 and 14
    /// digits.
    pub(super) fn is_release(&self, release_id: &str) -> bool {
        release_id.trim().trim_start_matches('0') == self.release_id.trim_start_matches('0')
    }
}

/// The message id and the time in the name of an acknowledgement of any message.
pub(super) fn named(entry: &Entry) -> Option<(String, String)> {
    let (message_id, _) = entry.name.strip_prefix("ACK_")?.rsplit_once('_')?;
    let time = acknowledged_at(entry, message_id)?;
    Some((message_id.to_owned(), time))
}

/// The time in an acknowledgement's name, if it is one of this message: digits that sort by time.
pub(super) fn acknowledged_at(entry: &Entry, message_id: &str) -> Option<String> {
    let time = entry
        .name
        .strip_prefix(&file_name_prefix(message_id))?
        .strip_suffix(".xml")?;
    let good = (14..=17).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit());
    (good && !entry.is_directory).then(|| format!("{time:0<17}"))
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use uuid::Uuid;

    use super::*;
    use crate::Kind;

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.into(),
            size: 1,
            is_directory: false,
        }
    }

    #[test]
    fn a_receipts_path_leads_back_to_the_folder() {
        let handover = Handover {
            delivery: Uuid::from_u128(7),
            kind: Kind::Insert,
            revision: 1,
            transmission: 1,
            partner_release_id: None,
            started_at: Utc.timestamp_millis_opt(1_764_000_000_042).unwrap(),
            last_stated: None,
            resend_of: None,
        };
        let folder = Folder::new(&handover, "0036000291452");
        assert_eq!(
            folder.message(),
            "N_0036000291452_20251124160000042/0036000291452.xml"
        );
        assert_eq!(
            Folder::of_path("/incoming/N_0036000291452_20251124160000042").as_ref(),
            Some(&folder)
        );
        assert!(folder.is_release("036000291452"));
        assert!(!folder.is_release("036000291453"));
        assert_eq!(Folder::of_path("/incoming/elsewhere"), None);
    }

    #[test]
    fn only_this_messages_acknowledgements_count() {
        let at = |name: &str| acknowledged_at(&entry(name), "abc-r1-t1");
        assert_eq!(
            at("ACK_abc-r1-t1_20251124160000042.xml").as_deref(),
            Some("20251124160000042")
        );
        assert!(at("ACK_abc-r1-t1_20251124160001.xml") > at("ACK_abc-r1-t1_20251124160000999.xml"));
        for other in [
            "ACK_abc-r1-t11_20251124160000042.xml",
            "ACK_abc-r1-t1_20251124160000042.xml.part",
            "ACK_abc-r1-t1_now.xml",
            "abc-r1-t1.xml",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
    }
}
