//! What identifies a hand-over outside: derived from delivery, revision and transmission, so that
//! a retry uses the same names and a resend does not.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a delivery does with the release at the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The release is new to the platform.
    Insert,
    /// The platform has the release; this is its full new state.
    Update,
    /// The release leaves the platform.
    Takedown,
}

impl Kind {
    /// The word used in the database, in messages and on pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Takedown => "takedown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One hand-over of a delivery to its platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The delivery, `worker.deliveries.id`.
    pub delivery: Uuid,
    /// What the delivery does.
    pub kind: Kind,
    /// A takedown that is said by asking the partner to forget the release
    /// ([`crate::settings::Platform::takes_purges`]).
    pub purges: bool,
    /// Version of the release at this platform; starts at 1.
    pub revision: u32,
    /// Rises only when the partner asks for a resend or an operator redelivers; starts at 1.
    pub transmission: u32,
    /// The partner's own id of the release, where an earlier hand-over gave it: what is updated or
    /// taken down.
    pub partner_release_id: Option<String>,
    /// When the first attempt of this transmission began. Fixed then, so that names and messages
    /// made from it are the same at every retry.
    pub started_at: DateTime<Utc>,
    /// The batch that it goes into ([`crate::Batch::name`]), where the platform takes batches.
    pub batch: Option<String>,
    /// What was stated of the release at the last hand-over to this platform that the partner has
    /// ([`crate::Receipt::stated`]); `None` where there was none, or the method keeps none.
    pub last_stated: Option<serde_json::Value>,
    /// What the transmission before stated, where the partner has its files and wants the message
    /// alone once more ([`crate::Wanted::MessageAlone`]).
    pub resend_of: Option<serde_json::Value>,
}

impl Handover {
    /// The key by which a partner recognises a repeated request; also the DDEX message id.
    #[must_use]
    pub fn key(&self) -> String {
        format!(
            "{}-r{}-t{}",
            self.delivery.simple(),
            self.revision,
            self.transmission
        )
    }

    /// `YYYYMMDDhhmmssnnn` in UTC, as remote folders carry it (DDEX choreography).
    #[must_use]
    pub fn timestamp(&self) -> String {
        self.started_at.format("%Y%m%d%H%M%S%3f").to_string()
    }
}

/// Delivery, revision and transmission of a [`Handover::key`].
#[must_use]
pub fn read_key(key: &str) -> Option<(Uuid, u32, u32)> {
    let (rest, transmission) = key.rsplit_once("-t")?;
    let (delivery, revision) = rest.rsplit_once("-r")?;
    Some((
        Uuid::try_parse(delivery).ok()?,
        revision.parse().ok()?,
        transmission.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn names_depend_on_transmission_and_not_on_the_attempt() {
        let first = Handover {
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
        assert_eq!(first.key(), "00000000000000000000000000000007-r1-t1");
        assert_eq!(first.timestamp(), "20251124160000042");
        let resend = Handover {
            transmission: 2,
            ..first.clone()
        };
        assert_ne!(first.key(), resend.key());
        assert_eq!(read_key(&resend.key()), Some((resend.delivery, 1, 2)));
        assert_eq!(read_key("ours"), None);
    }
}
