//! Names and places of the two choreographies.
//!
//! Release by release: a folder a hand-over, `N_{ReleaseId}_{YYYYMMDDhhmmssnnn}/`, with the files in
//! `resources/` and the message `{ReleaseId}.xml` beside it. The message is the completion marker: it
//! arrives last, whole and once.
//!
//! In batches: a folder a batch, `N_{BatchId}/`, with a folder for each release in it, `{ReleaseId}/`,
//! which holds the same. The completion marker is `BatchComplete_{BatchId}.xml` in the batch's folder.
//!
//! Acknowledgements, `ACK_{MessageId}_{YYYYMMDDhhmmssnnn}.xml` or, of a batch,
//! `ACK_{BatchId}_{YYYYMMDDhhmmssnnn}.xml`, lie in the folder of what they are about in version 1.6 of
//! the choreography; from 1.7 on in a folder `acknowledgements/`, which partners put into that folder
//! or beside it. They are looked for in all these places.
//!
//! All deliveries are of priority `N`: a partner that prefers `P` to `N` would take a takedown before
//! the release it takes down.

use super::{acknowledgement::file_name_prefix, message::RESOURCES};
use crate::{Handover, sftp::Entry};

/// Where acknowledgements lie from version 1.7 of the choreography on.
pub(super) const ACKNOWLEDGEMENTS: &str = "acknowledgements";

/// What folders of hand-overs and of batches begin with.
const PRIORITY: &str = "N_";

/// The folder of a hand-over, relative to the endpoint's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    path: String,
    release_id: String,
    batch: Option<String>,
}

impl Folder {
    pub(super) fn new(handover: &Handover, release_id: &str) -> Self {
        let path = match &handover.batch {
            Some(batch) => format!("{}/{release_id}", batch_folder(batch)),
            None => format!("{PRIORITY}{release_id}_{}", handover.timestamp()),
        };
        Self {
            path,
            release_id: release_id.to_owned(),
            batch: handover.batch.clone(),
        }
    }

    /// The folder that a receipt names by its path on the server.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let mut names = path.trim_end_matches('/').rsplit('/');
        let name = names.next()?;
        if let Some(rest) = name.strip_prefix(PRIORITY) {
            let (release_id, _) = rest.rsplit_once('_')?;
            return Some(Self {
                path: name.to_owned(),
                release_id: release_id.to_owned(),
                batch: None,
            });
        }
        let batch = names.next()?.strip_prefix(PRIORITY)?;
        is_time(batch).then(|| Self {
            path: format!("{}/{name}", batch_folder(batch)),
            release_id: name.to_owned(),
            batch: Some(batch.to_owned()),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn release_id(&self) -> &str {
        &self.release_id
    }

    /// The id of the batch that it is in.
    pub(super) fn batch(&self) -> Option<&str> {
        self.batch.as_deref()
    }

    pub(super) fn resources(&self) -> String {
        format!("{}/{RESOURCES}", self.path)
    }

    /// The message's file name.
    pub(super) fn message_name(&self) -> String {
        format!("{}.xml", self.release_id)
    }

    pub(super) fn message(&self) -> String {
        format!("{}/{}", self.path, self.message_name())
    }

    /// Where acknowledgements of this hand-over can lie.
    pub(super) fn acknowledgement_places(&self) -> Vec<String> {
        let of_batch = self.batch().map(batch_folder);
        let mut places = Vec::new();
        for folder in [Some(self.path.clone()), of_batch].into_iter().flatten() {
            places.push(format!("{folder}/{ACKNOWLEDGEMENTS}"));
            places.push(folder);
        }
        places.push(ACKNOWLEDGEMENTS.to_owned());
        places
    }

    /// Whether a partner's release id is this one's. Bar codes are written with 12, 13 and 14
    /// digits.
    pub(super) fn is_release(&self, release_id: &str) -> bool {
        release_id.trim().trim_start_matches('0') == self.release_id.trim_start_matches('0')
    }
}

/// The folder of a batch, relative to the endpoint's directory.
pub(super) fn batch_folder(batch: &str) -> String {
    format!("{PRIORITY}{batch}")
}

/// The file name of a batch's completion marker.
pub(crate) fn batch_complete(batch: &str) -> String {
    format!("BatchComplete_{batch}.xml")
}

/// The message's path below the folder of its batch.
pub(crate) fn path_in_batch(release_id: &str) -> String {
    format!("{release_id}/{release_id}.xml")
}

/// `YYYYMMDDhhmmssnnn`.
pub(crate) fn is_time(text: &str) -> bool {
    text.len() == 17 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The id, of a message or a batch, and the time in the name of an acknowledgement.
pub(super) fn named(entry: &Entry) -> Option<(String, String)> {
    let (id, _) = entry.name.strip_prefix("ACK_")?.rsplit_once('_')?;
    let time = acknowledged_at(entry, id)?;
    Some((id.to_owned(), time))
}

/// The time in an acknowledgement's name, if it is one of this message or batch: digits that sort by
/// time.
pub(super) fn acknowledged_at(entry: &Entry, id: &str) -> Option<String> {
    let time = entry
        .name
        .strip_prefix(&file_name_prefix(id))?
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
            batch: None,
            last_stated: None,
            resend_of: None,
            purges: false,
        };
        let in_batch = Handover {
            batch: Some("20251124160000043".into()),
            ..handover.clone()
        };
        let folder = Folder::new(&in_batch, "0036000291452");
        assert_eq!(
            folder.message(),
            "N_20251124160000043/0036000291452/0036000291452.xml"
        );
        assert_eq!(
            Folder::of_path("/incoming/N_20251124160000043/0036000291452").as_ref(),
            Some(&folder)
        );
        assert_eq!(
            folder.acknowledgement_places(),
            [
                "N_20251124160000043/0036000291452/acknowledgements",
                "N_20251124160000043/0036000291452",
                "N_20251124160000043/acknowledgements",
                "N_20251124160000043",
                "acknowledgements",
            ]
        );
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
