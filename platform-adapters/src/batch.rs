//! Hand-overs that a partner takes together: it looks at none of them before the batch is complete.

use chrono::{DateTime, Utc};

use crate::{Code, Evidence, Fault, Kind, Receipt};

/// A batch of which it is settled what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id at the partner, `YYYYMMDDhhmmssnnn`: no two batches of ours have the same, and those that
    /// were opened later have a greater one.
    pub name: String,
    /// When it was settled what is in it: what is made from it is the same at every retry.
    pub sealed_at: DateTime<Utc>,
    /// What is in it, in the order in which it came.
    pub entries: Vec<BatchEntry>,
}

/// A hand-over in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEntry {
    /// [`crate::Handover::key`].
    pub key: String,
    /// What it does with the release.
    pub kind: Kind,
    /// [`crate::Handover::transmission`].
    pub transmission: u32,
    /// What [`crate::Adapter::deliver`] gave for it.
    pub receipt: Receipt,
}

/// What of a batch lies at the partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchFound {
    /// All of it, and what says that it is complete.
    Complete(Box<BatchReceipt>),
    /// All of it, but what says that it is complete: this is to be written.
    Ready(Evidence),
    /// Not these hand-overs, by [`BatchEntry::key`], and nothing says that it is complete.
    Lacking(Vec<String>),
    /// Nothing. If what says that it is complete was written before, the partner has taken the batch
    /// away: then this is what is known of it.
    Gone(Box<BatchReceipt>),
}

/// What the partner has of a complete batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchReceipt {
    /// What was verified, in words for a person.
    pub confirmed: String,
    /// No later word is to be waited for.
    pub is_final: bool,
    /// The document that says that the batch is complete, where it is known.
    pub manifest: Option<Evidence>,
}

/// The fault of a method that knows no batches.
pub(crate) fn no_batches() -> Fault {
    Fault::new(
        Code::SettingsInvalid,
        "the platform's settings know batches no more, and one of them is still open",
    )
    .with_remedy(
        "Set format_specs.ddex.choreography to \"batch\" again until its batches are closed.",
    )
}
