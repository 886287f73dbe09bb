//! The partner's word on a hand-over, read as untrusted input: the acknowledgements of the SFTP
//! choreography, 1.6 and the newer ones, told apart by their namespace.

mod ftp;
mod status;
mod words;

use chrono::{DateTime, Utc};

use super::untrusted::{Element, Refused, brief};
use crate::{Wanted, release::Dpid};
pub use ftp::CHOREOGRAPHY_16;
pub use words::{FileStatus, Meaning, ProposedAction, SupplyChainStatus};

/// The largest acknowledgement that is read. Real ones have a few kilobytes.
pub const MAX_ACKNOWLEDGEMENT_BYTES: usize = 256 * 1024;
/// Recordings that a sentence names.
const NAMED_ISRCS: usize = 20;

/// What a partner says of one message or release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The partner's DPID, as it stands there.
    pub sender: String,
    /// Our DPID, as it stands there.
    pub recipient: String,
    /// When the partner wrote it.
    pub created_at: DateTime<Utc>,
    /// The message it is about, where it names one; in 1.6 the file's name does.
    pub message_id: Option<String>,
    /// The release's id; in 1.6 as in the folder's name.
    pub release_id: Option<String>,
    /// The day of the hand-over: `YYYY-MM-DD`.
    pub date: Option<String>,
    /// What became of the message and its files; always there in 1.6.
    pub status: Option<FileStatus>,
    /// How far the release has come; not in 1.6.
    pub supply_chain: Option<SupplyChainStatus>,
    /// The partner's own words about it.
    pub error_text: Option<String>,
    /// What the partner would like us to do.
    pub proposed_action: Option<ProposedAction>,
    /// Somebody should look before anything is sent again.
    pub manual_check_required: bool,
    /// Codes of the recordings concerned.
    pub affected_isrcs: Vec<String>,
}

/// What follows from an acknowledgement for its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A later word is to be waited for.
    Pending,
    /// Taken.
    Accepted,
    /// Refused; somebody must look.
    Rejected,
    /// Refused, and to be sent again as it is.
    Resend,
}

impl Acknowledgement {
    /// Its file name at the partner: `ACK_{MessageId}_{YYYYMMDDhhmmssnnn}.xml`.
    #[must_use]
    pub fn file_name(&self, message_id: &str) -> String {
        format!(
            "{}{}.xml",
            file_name_prefix(message_id),
            self.created_at.format("%Y%m%d%H%M%S%3f")
        )
    }

    /// Reads a file of acknowledgements: one of version 1.6, any number of later versions.
    ///
    /// # Errors
    /// [`Refused`] when it is too large, not well-formed, no acknowledgement, incomplete, contradicts
    /// itself, or says anything in a word that DDEX does not define.
    pub fn read(xml: &[u8]) -> Result<Vec<Self>, Refused> {
        let root = Element::parse(xml, MAX_ACKNOWLEDGEMENT_BYTES)?;
        let is_of_choreography = root.namespace.starts_with(status::CHOREOGRAPHIES);
        let read = if root.name == ftp::MESSAGE && &*root.namespace == CHOREOGRAPHY_16 {
            vec![ftp::read(&root)?]
        } else if is_of_choreography && status::MESSAGES.contains(&root.name.as_str()) {
            status::read(&root)?
        } else {
            return Err(Refused::Unexpected(format!(
                "it is a {} in {:?}, no acknowledgement of DDEX's SFTP choreography that we know",
                brief(&root.name),
                brief(&root.namespace)
            )));
        };
        for said in &read {
            said.check_contradictions()?;
        }
        Ok(read)
    }

    /// An acceptance that asks for something is no acceptance that we can act on; nor is one that is
    /// a refusal in another place.
    fn check_contradictions(&self) -> Result<(), Refused> {
        let asks = self.proposed_action.is_some() || self.manual_check_required;
        if self.meaning() == Meaning::Accepted && asks {
            return Err(Refused::Unexpected(format!(
                "it says {} and asks for a resend or a check",
                self.words()
            )));
        }
        let file = self.status.map(FileStatus::meaning);
        let chain = self.supply_chain.map(SupplyChainStatus::meaning);
        // Not the other way round: a file can be fine and the release still be refused.
        if (file, chain) == (Some(Meaning::Rejected), Some(Meaning::Accepted)) {
            return Err(Refused::Unexpected(format!(
                "it says {} of one message",
                self.words()
            )));
        }
        Ok(())
    }

    /// What it says, all parts together: what is known of the release counts more than what became
    /// of the files, but for a refusal.
    fn meaning(&self) -> Meaning {
        let file = self.status.map(FileStatus::meaning);
        let chain = self.supply_chain.map(SupplyChainStatus::meaning);
        match (file, chain) {
            (Some(Meaning::Rejected), _) | (_, Some(Meaning::Rejected)) => Meaning::Rejected,
            (_, Some(chain)) => chain,
            (Some(file), None) => file,
            // Reading sees to it that one of them is there.
            (None, None) => Meaning::Pending,
        }
    }

    /// What follows for the delivery.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.meaning() {
            Meaning::Pending => Verdict::Pending,
            Meaning::Accepted => Verdict::Accepted,
            Meaning::Rejected => {
                let resend = self.proposed_action.is_some_and(ProposedAction::is_resend);
                if resend && !self.manual_check_required {
                    Verdict::Resend
                } else {
                    Verdict::Rejected
                }
            }
        }
    }

    /// How much is to be sent again, where the verdict is [`Verdict::Resend`].
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        match self.proposed_action {
            Some(ProposedAction::ResendXmlOnly) => Wanted::MessageAlone,
            _ => Wanted::Everything,
        }
    }

    fn words(&self) -> String {
        let words: Vec<&str> = [
            self.status.map(FileStatus::as_str),
            self.supply_chain.map(SupplyChainStatus::as_str),
        ]
        .into_iter()
        .flatten()
        .collect();
        words.join(" and ")
    }

    /// The verdict in one line, with the partner's words.
    #[must_use]
    pub fn reason(&self) -> String {
        let mut reason = self.words();
        if let Some(text) = &self.error_text {
            reason.push_str(&format!(": {}", brief(text)));
        }
        if !self.affected_isrcs.is_empty() {
            let codes: Vec<String> = self
                .affected_isrcs
                .iter()
                .take(NAMED_ISRCS)
                .map(|code| brief(code))
                .collect();
            reason.push_str(&format!("; concerns {}", codes.join(", ")));
        }
        if let Some(action) = self.proposed_action {
            reason.push_str(&format!("; the partner proposes {action}"));
        }
        if self.manual_check_required {
            reason.push_str("; the partner asks that somebody look first");
        }
        reason
    }

    /// Whether it is addressed to this party. Hyphens and case do not count.
    #[must_use]
    pub fn is_for(&self, recipient: &Dpid) -> bool {
        self.recipient
            .parse::<Dpid>()
            .is_ok_and(|said| said == *recipient)
    }
}

/// What the name of every acknowledgement of a message begins with.
pub(super) fn file_name_prefix(message_id: &str) -> String {
    format!("ACK_{message_id}_")
}

fn required<'a>(parent: &'a Element, name: &str) -> Result<&'a Element, Refused> {
    parent
        .child(name)
        .ok_or_else(|| Refused::Unexpected(format!("its {} holds no {name}", brief(&parent.name))))
}

fn party(header: &Element, name: &str) -> Result<String, Refused> {
    required(header, name)?
        .child_text("PartyId")
        .map(str::to_owned)
        .ok_or_else(|| Refused::Unexpected(format!("its {name} holds no PartyId")))
}

fn created_at(header: &Element) -> Result<DateTime<Utc>, Refused> {
    let text = required(header, "MessageCreatedDateTime")?.text.trim();
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.with_timezone(&Utc))
        .map_err(|error| {
            Refused::Unexpected(format!(
                "its MessageCreatedDateTime {:?} is no date and time: {error}",
                brief(text)
            ))
        })
}

fn flag(parent: &Element, name: &str) -> Result<bool, Refused> {
    match parent.child_text(name) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(other) => Err(Refused::Unexpected(format!(
            "its {name} is {:?}, neither true nor false",
            brief(other)
        ))),
    }
}

fn affected(parent: &Element) -> Vec<String> {
    parent
        .children_named("AffectedResource")
        .filter_map(|resource| resource.child_text("ISRC"))
        .map(str::to_owned)
        .collect()
}

/// One of DDEX's words.
fn word<T>(element: &Element, known: impl Fn(&str) -> Option<T>) -> Result<T, Refused> {
    known(element.text.trim()).ok_or_else(|| {
        let own = element.attribute("UserDefinedValue").map_or_else(
            || brief(&element.text),
            |value| format!("{} ({})", brief(&element.text), brief(value)),
        );
        Refused::Unexpected(format!(
            "its {} {own:?} is no word of DDEX's that we know",
            brief(&element.name)
        ))
    })
}
