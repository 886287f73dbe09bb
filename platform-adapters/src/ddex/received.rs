//! A NewReleaseMessage as its recipient reads it: who sent it, which release it is about, and which
//! files belong to it. The sandbox partner verifies deliveries by it.

use super::{
    message::ERN_43,
    untrusted::{Element, Refused, brief},
};

/// The largest message that is read. An album of a hundred tracks has about half a megabyte.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// What a recipient needs to know of a NewReleaseMessage to verify a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// `MessageId`.
    pub message_id: String,
    /// The sender's DPID, as it stands there.
    pub sender: String,
    /// The recipient's DPID, as it stands there.
    pub recipient: String,
    /// `TestMessage`.
    pub is_test: bool,
    /// The main release's bar code.
    pub icpn: String,
    /// The main release's title.
    pub title: String,
    /// There is a deal. Without one the release is to be taken down.
    pub has_deals: bool,
    /// The files that the message speaks of, in its order.
    pub resources: Vec<ReceivedResource>,
}

/// A file that a message speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedResource {
    /// Where it lies, relative to the message: `resources/0036000291452_01_001.flac`.
    pub uri: String,
    /// Its hash sum as it stands there.
    pub hash: String,
    /// `MD5`, `SHA-256`.
    pub algorithm: String,
    /// Its size in bytes, if the message says it.
    pub size_bytes: Option<u64>,
}

/// Reads a NewReleaseMessage of ERN 4.3.
///
/// # Errors
/// [`Refused`] when it is too large, not well-formed, not this message, or lacks message id, parties,
/// bar code, or a file's URI or hash sum.
pub fn read_message(xml: &[u8]) -> Result<ReceivedMessage, Refused> {
    let root = Element::parse(xml, MAX_MESSAGE_BYTES)?;
    if root.name != "NewReleaseMessage" || root.namespace != ERN_43 {
        return Err(Refused::Unexpected(format!(
            "it is a {} in {:?}, not a NewReleaseMessage in {ERN_43}",
            brief(&root.name),
            brief(&root.namespace)
        )));
    }
    let text = |path: &[&str]| {
        let (last, parents) = path.split_last()?;
        parents
            .iter()
            .try_fold(&root, |element, name| element.child(name))?
            .child_text(last)
    };
    let required = |path: &[&str]| {
        text(path)
            .map(str::to_owned)
            .ok_or_else(|| Refused::Unexpected(format!("it holds no {}", path.join("/"))))
    };
    Ok(ReceivedMessage {
        message_id: required(&["MessageHeader", "MessageId"])?,
        sender: required(&["MessageHeader", "MessageSender", "PartyId"])?,
        recipient: required(&["MessageHeader", "MessageRecipient", "PartyId"])?,
        is_test: text(&["MessageHeader", "MessageControlType"]) == Some("TestMessage"),
        icpn: required(&["ReleaseList", "Release", "ReleaseId", "ICPN"])?,
        title: required(&["ReleaseList", "Release", "DisplayTitleText"])?,
        has_deals: root.child("DealList").is_some(),
        resources: root
            .child("ResourceList")
            .map(|list| list.descendants("File"))
            .unwrap_or_default()
            .into_iter()
            .map(resource)
            .collect::<Result<_, _>>()?,
    })
}

/// Reads the files that a NewReleaseMessage of ERN 4.3 speaks of.
///
/// # Errors
/// As [`read_message`].
pub fn read_resources(xml: &[u8]) -> Result<Vec<ReceivedResource>, Refused> {
    read_message(xml).map(|message| message.resources)
}

fn resource(file: &Element) -> Result<ReceivedResource, Refused> {
    let missing = |what: &str| Refused::Unexpected(format!("a File in it holds no {what}"));
    let hash_sum = file.child("HashSum").ok_or_else(|| missing("HashSum"))?;
    let size_bytes = file
        .child_text("FileSize")
        .map(|text| {
            bytes(text).ok_or_else(|| {
                Refused::Unexpected(format!("its FileSize {:?} is no size", brief(text)))
            })
        })
        .transpose()?;
    Ok(ReceivedResource {
        uri: file
            .child_text("URI")
            .ok_or_else(|| missing("URI"))?
            .to_owned(),
        hash: hash_sum
            .child_text("HashSumValue")
            .ok_or_else(|| missing("HashSumValue"))?
            .to_owned(),
        algorithm: hash_sum
            .child_text("Algorithm")
            .ok_or_else(|| missing("Algorithm"))?
            .to_owned(),
        size_bytes,
    })
}

/// Kilobytes as a decimal number, in bytes.
fn bytes(kilobytes: &str) -> Option<u64> {
    let (whole, part) = kilobytes.split_once('.').unwrap_or((kilobytes, ""));
    if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u64 = format!("{part:0<3}").parse().ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(1000)?
        .checked_add(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_are_read_to_the_byte() {
        assert_eq!(bytes("31752.044"), Some(31_752_044));
        assert_eq!(bytes("0.5"), Some(500));
        assert_eq!(bytes("7"), Some(7000));
        assert_eq!(bytes("1.2345"), None);
        assert_eq!(bytes("99999999999999999999"), None);
        assert_eq!(bytes("-1"), None);
    }
}
