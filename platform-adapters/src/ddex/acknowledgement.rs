//! The partner's word on a hand-over: `FtpAcknowledgementMessage` of the SFTP choreography 1.6, read
//! as untrusted input, and written as a partner writes it.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

use super::{
    untrusted::{Element, Refused, brief},
    xml::Document,
};
use crate::{Code, Fault, release::Dpid};

/// The namespace of the SFTP choreography 1.6.
pub const CHOREOGRAPHY_16: &str = "http://ddex.net/xml/ern-c-sftp/16";
/// The largest acknowledgement that is read. Real ones have a few kilobytes.
pub const MAX_ACKNOWLEDGEMENT_BYTES: usize = 256 * 1024;

macro_rules! statuses {
    ($($variant:ident, $word:literal;)*) => {
        /// `FileStatus`, by DDEX's allowed values. `UserDefined` is not among them: what it means is
        /// between sender and recipient, so it is a word that we do not know.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the variants are DDEX's own words")]
        pub enum FileStatus {
            $($variant,)*
        }

        impl FileStatus {
            /// Every status.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// DDEX's word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

statuses! {
    ArtistRoleUnknown, "ArtistRoleUnknown";
    CommercialReleaseDateInvalid, "CommercialReleaseDateInvalid";
    ConflictingAvailabilityPeriods, "ConflictingAvailabilityPeriods";
    DuplicatedPublisherNames, "DuplicatedPublisherNames";
    ErnMissing, "ErnMissing";
    FileOk, "FileOK";
    IdentifierInvalid, "IdentifierInvalid";
    IdentifierSyntaxInvalid, "IdentifierSyntaxInvalid";
    InternalError, "InternalError";
    MetadataMissing, "MetadataMissing";
    NewReleaseMessageInvalid, "NewReleaseMessageInvalid";
    NoDealForTrackRelease, "NoDealForTrackRelease";
    NoDealInNewReleaseMessage, "NoDealInNewReleaseMessage";
    OriginalReleaseDateLaterThanReleaseDate, "OriginalReleaseDateLaterThanReleaseDate";
    PrimaryArtistNameMissing, "PrimaryArtistNameMissing";
    ResourceCorrupt, "ResourceCorrupt";
    ResourceMissing, "ResourceMissing";
    ResourceNotMeetingSpecifications, "ResourceNotMeetingSpecifications";
    SignatureOrHashSumWrongOrMissing, "SignatureOrHashSumWrongOrMissing";
    UnsupportedUsage, "UnsupportedUsage";
}

impl fmt::Display for FileStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `ProposedActionType`, by DDEX's allowed values without `UserDefined`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are DDEX's own words")]
pub enum ProposedAction {
    ResendXmlOnly,
    ResendXmlAndResources,
}

impl ProposedAction {
    /// DDEX's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResendXmlOnly => "ResendXmlOnly",
            Self::ResendXmlAndResources => "ResendXmlAndResources",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::ResendXmlOnly, Self::ResendXmlAndResources]
            .into_iter()
            .find(|action| action.as_str() == word)
    }
}

/// An `FtpAcknowledgementMessage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The partner's DPID, as it stands there.
    pub sender: String,
    /// Our DPID, as it stands there.
    pub recipient: String,
    /// When the partner wrote it.
    pub created_at: DateTime<Utc>,
    /// The release's id, as in the folder's name.
    pub release_id: Option<String>,
    /// The day of the hand-over: `YYYY-MM-DD`.
    pub date: Option<String>,
    /// The partner's verdict.
    pub status: FileStatus,
    /// The partner's own words about it.
    pub error_text: Option<String>,
    /// What the partner would like us to do.
    pub proposed_action: Option<ProposedAction>,
    /// Somebody should look before anything is sent again.
    pub manual_check_required: bool,
    /// Codes of the recordings concerned.
    pub affected_isrcs: Vec<String>,
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

    /// Reads an acknowledgement.
    ///
    /// # Errors
    /// [`Refused`] when it is too large, not well-formed, not this message, incomplete, or says
    /// anything in a word that DDEX does not define.
    pub fn read(xml: &[u8]) -> Result<Self, Refused> {
        let root = Element::parse(xml, MAX_ACKNOWLEDGEMENT_BYTES)?;
        if root.name != "FtpAcknowledgementMessage" || root.namespace != CHOREOGRAPHY_16 {
            return Err(Refused::Unexpected(format!(
                "it is a {} in {:?}, not an FtpAcknowledgementMessage in {CHOREOGRAPHY_16}",
                brief(&root.name),
                brief(&root.namespace)
            )));
        }
        let header = required(&root, "MessageHeader")?;
        let acknowledged = required(&root, "AcknowledgedFile")?;
        let read = Self {
            sender: party(header, "MessageSender")?,
            recipient: party(header, "MessageRecipient")?,
            created_at: created_at(header)?,
            release_id: acknowledged.child_text("ReleaseId").map(str::to_owned),
            date: acknowledged.child_text("Date").map(str::to_owned),
            status: status(required(&root, "FileStatus")?)?,
            error_text: root.child_text("ErrorText").map(str::to_owned),
            proposed_action: root
                .child("ProposedActionType")
                .map(|element| {
                    ProposedAction::from_word(element.text.trim())
                        .ok_or_else(|| unknown("ProposedActionType", element))
                })
                .transpose()?,
            manual_check_required: match root.child_text("ManualCheckRequired") {
                None | Some("false" | "0") => false,
                Some("true" | "1") => true,
                Some(other) => {
                    return Err(Refused::Unexpected(format!(
                        "its ManualCheckRequired is {:?}, neither true nor false",
                        brief(other)
                    )));
                }
            },
            affected_isrcs: root
                .children
                .iter()
                .filter(|child| child.name == "AffectedResource")
                .filter_map(|resource| resource.child_text("ISRC"))
                .map(str::to_owned)
                .collect(),
        };
        read.check_contradictions()?;
        Ok(read)
    }

    /// An acceptance that asks for something is no acceptance that we can act on.
    fn check_contradictions(&self) -> Result<(), Refused> {
        let asks = self.proposed_action.is_some() || self.manual_check_required;
        if self.status == FileStatus::FileOk && asks {
            return Err(Refused::Unexpected(
                "it says FileOK and asks for a resend or a check".into(),
            ));
        }
        Ok(())
    }

    /// The verdict in one line, with the partner's words.
    #[must_use]
    pub fn reason(&self) -> String {
        let mut reason = self.status.to_string();
        if let Some(text) = &self.error_text {
            reason.push_str(&format!(": {}", brief(text)));
        }
        if !self.affected_isrcs.is_empty() {
            let codes: Vec<String> = self
                .affected_isrcs
                .iter()
                .take(20)
                .map(|code| brief(code))
                .collect();
            reason.push_str(&format!("; concerns {}", codes.join(", ")));
        }
        if let Some(action) = self.proposed_action {
            reason.push_str(&format!("; the partner proposes {}", action.as_str()));
        }
        if self.manual_check_required {
            reason.push_str("; the partner asks that somebody look first");
        }
        reason
    }

    /// The message as a partner sends it.
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
            xml.text("FileStatus", self.status.as_str());
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
                format!("the acknowledgement cannot be written: {error}"),
            )
        })
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

fn optional(xml: &mut Document, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        xml.text(name, text);
    }
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

fn status(element: &Element) -> Result<FileStatus, Refused> {
    let word = element.text.trim();
    FileStatus::ALL
        .iter()
        .copied()
        .find(|status| status.as_str() == word)
        .ok_or_else(|| unknown("FileStatus", element))
}

fn unknown(name: &str, element: &Element) -> Refused {
    let own = element.attribute("UserDefinedValue").map_or_else(
        || brief(&element.text),
        |value| format!("{} ({})", brief(&element.text), brief(value)),
    );
    Refused::Unexpected(format!(
        "its {name} {own:?} is no word of DDEX's that we know"
    ))
}
