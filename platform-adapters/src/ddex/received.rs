//! A release notification as its recipient reads it, in every version that we write: who sent it,
//! which release it is about, what may be used where, and which files belong to it. The sandbox
//! partner verifies deliveries by it.

mod deal;
mod recording;

use super::{
    untrusted::{Element, Refused, brief},
    version::Version,
};
pub use deal::ReceivedDeal;
pub use recording::{ReceivedRecording, ReceivedResource};

/// The largest message that is read. An album of a hundred tracks has about half a megabyte.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// `PurgeReleaseMessage`.
pub(super) const PURGE: &str = "PurgeReleaseMessage";

/// What a recipient needs to know of a NewReleaseMessage or PurgeReleaseMessage. What the message does not say is empty or
/// absent; whether it should say it is its reader's to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// By its namespace.
    pub version: Version,
    /// `MessageId`.
    pub message_id: String,
    /// `MessageThreadId`.
    pub thread_id: String,
    /// The sender's DPID, as it stands there.
    pub sender: String,
    /// The recipient's DPID, as it stands there.
    pub recipient: String,
    /// It is a PurgeReleaseMessage: the release is to be forgotten. Such a one says of the release
    /// its bar code and title, and nothing else.
    pub is_purge: bool,
    /// `TestMessage`.
    pub is_test: bool,
    /// What concerns the main release.
    pub release: ReceivedRelease,
    /// The recordings, in the message's order.
    pub recordings: Vec<ReceivedRecording>,
    /// The deals, in the message's order.
    pub deals: Vec<ReceivedDeal>,
    /// There is a deal that has not ended. Without one the release is to be taken down.
    pub has_deals: bool,
    /// The files that the message speaks of, in its order.
    pub resources: Vec<ReceivedResource>,
}

/// The main release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedRelease {
    /// Its bar code.
    pub icpn: String,
    /// `ReleaseType`.
    pub release_type: String,
    /// Its title, without what stands behind it.
    pub title: String,
    /// What stands behind the title.
    pub subtitle: Option<String>,
    /// Its artist as shown.
    pub display_artist: String,
    /// Its label's name.
    pub label: String,
    /// Its genre.
    pub genre: String,
    /// Its sub-genre.
    pub sub_genre: Option<String>,
    /// Text of its ℗ line.
    pub p_line: Option<String>,
    /// Text of its © line.
    pub c_line: Option<String>,
    /// Its street date.
    pub release_date: Option<String>,
    /// When it was released first.
    pub original_release_date: Option<String>,
    /// `Explicit`, `NotExplicit` and their like.
    pub parental_warning: String,
    /// Its discs, each with the references of its recordings in playing order.
    pub discs: Vec<Vec<String>>,
}

/// Reads a NewReleaseMessage or PurgeReleaseMessage of ERN 4.3.2, 4.3 or 3.8.2.
///
/// # Errors
/// [`Refused`] when it is too large, not well-formed, no such message, without a release, or says the
/// size of a file in a way that cannot be read.
pub fn read_message(xml: &[u8]) -> Result<ReceivedMessage, Refused> {
    let root = Element::parse(xml, MAX_MESSAGE_BYTES)?;
    let version = Version::of_namespace(&root.namespace)
        .filter(|_| root.name == "NewReleaseMessage" || root.name == PURGE)
        .ok_or_else(|| {
            Refused::Unexpected(format!(
                "it is a {} in {:?}, not a NewReleaseMessage of ERN {}",
                brief(&root.name),
                brief(&root.namespace),
                Version::ALL.map(Version::as_str).join(", ")
            ))
        })?;
    let is_purge = root.name == PURGE;
    let release = match is_purge {
        true => purged_release(&root),
        false => main_release(&root).map(|main| release(&root, main)),
    };
    let release = release
        .ok_or_else(|| Refused::Unexpected("its ReleaseList holds no main release".into()))?;
    let text = |path: &[&str]| root.text_at(path).unwrap_or_default().to_owned();
    let created_at = text(&["MessageHeader", "MessageCreatedDateTime"]);
    let deals = deal::read_all(&root);
    Ok(ReceivedMessage {
        version,
        message_id: text(&["MessageHeader", "MessageId"]),
        thread_id: text(&["MessageHeader", "MessageThreadId"]),
        sender: text(&["MessageHeader", "MessageSender", "PartyId"]),
        recipient: text(&["MessageHeader", "MessageRecipient", "PartyId"]),
        is_purge,
        is_test: text(&["MessageHeader", "MessageControlType"]) == "TestMessage",
        release,
        recordings: recording::read_all(&root),
        has_deals: deals.iter().any(|deal| !deal.has_ended_at(&created_at)),
        deals,
        resources: recording::read_files(&root)?,
    })
}

/// Reads the files that a NewReleaseMessage speaks of.
///
/// # Errors
/// As [`read_message`].
pub fn read_resources(xml: &[u8]) -> Result<Vec<ReceivedResource>, Refused> {
    read_message(xml).map(|message| message.resources)
}

/// The release that is to be forgotten.
fn purged_release(root: &Element) -> Option<ReceivedRelease> {
    let purged = root.child("PurgedRelease")?;
    let text = |path: &[&str]| purged.text_at(path).map(str::to_owned);
    Some(ReceivedRelease {
        icpn: text(&["ReleaseId", "ICPN"]).unwrap_or_default(),
        title: text(&["Title", "TitleText"]).unwrap_or_default(),
        subtitle: text(&["Title", "SubTitle"]),
        ..ReceivedRelease::default()
    })
}

/// The release that is marked as the main one; else the first.
fn main_release(root: &Element) -> Option<&Element> {
    let list = root.child("ReleaseList")?;
    let mut releases = list.children.iter();
    releases
        .find(|release| {
            release.name == "Release" && release.attribute("IsMainRelease") == Some("true")
        })
        .or_else(|| list.child("Release"))
}

fn release(root: &Element, main: &Element) -> ReceivedRelease {
    // Where the details lie: in 3.8.2 in a composite by territory.
    let details = main.child("ReleaseDetailsByTerritory").unwrap_or(main);
    let text = |path: &[&str]| {
        let found = details.text_at(path).or_else(|| main.text_at(path));
        found.map(str::to_owned)
    };
    let (title, subtitle) = recording::title(main);
    let genre = if details.child("DisplayGenre").is_some() {
        "DisplayGenre"
    } else {
        "Genre"
    };
    let label = text(&["LabelName"]).or_else(|| {
        let reference = details.child_text("ReleaseLabelReference")?;
        recording::party_name(root, reference).map(str::to_owned)
    });
    ReceivedRelease {
        icpn: text(&["ReleaseId", "ICPN"]).unwrap_or_default(),
        release_type: text(&["ReleaseType"]).unwrap_or_default(),
        title,
        subtitle,
        display_artist: text(&["DisplayArtistName"]).unwrap_or_default(),
        label: label.unwrap_or_default(),
        genre: text(&[genre, "GenreText"]).unwrap_or_default(),
        sub_genre: text(&[genre, "SubGenre"]),
        p_line: text(&["PLine", "PLineText"]),
        c_line: text(&["CLine", "CLineText"]),
        release_date: text(&["ReleaseDate"]),
        original_release_date: text(&["OriginalReleaseDate"]),
        parental_warning: text(&["ParentalWarningType"]).unwrap_or_default(),
        discs: details
            .child("ResourceGroup")
            .map(discs)
            .unwrap_or_default(),
    }
}

fn discs(group: &Element) -> Vec<Vec<String>> {
    let items = |group: &Element| {
        let items = group
            .children
            .iter()
            .filter(|child| child.name == "ResourceGroupContentItem");
        let recordings = items.filter(|item| {
            item.child_text("ResourceType").unwrap_or("SoundRecording") == "SoundRecording"
        });
        recordings
            .filter_map(|item| item.child_text("ReleaseResourceReference"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let groups = group
        .children
        .iter()
        .filter(|child| child.name == "ResourceGroup");
    let mut discs: Vec<Vec<String>> = groups.map(items).collect();
    discs.push(items(group));
    discs.retain(|disc| !disc.is_empty());
    discs
}
