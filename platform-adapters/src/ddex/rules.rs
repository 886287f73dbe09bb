//! Rules that every message must keep beyond the schema, with DDEX's release profiles as reference:
//! what the schema cannot say, and what is all there is where the operator has no schema. A message
//! of our own that breaks one is a fault of the worker's, found before the partner finds it.

use std::collections::BTreeSet;

use unicode_normalization::is_nfc;

use super::{
    received::{MAX_MESSAGE_BYTES, PURGE},
    untrusted::{Element, Refused, brief},
    version::Version,
};
use crate::release::Upc;

/// Complaints that are kept of one message.
const MAX_COMPLAINTS: usize = 100;

/// What is wrong with a NewReleaseMessage or PurgeReleaseMessage of ERN 4.3.2, 4.3 or 3.8.2; nothing where it is in order.
///
/// # Errors
/// [`Refused`] when it is too large, not well-formed, or no such message.
pub fn check_rules(xml: &[u8]) -> Result<Vec<String>, Refused> {
    let root = Element::parse(xml, MAX_MESSAGE_BYTES)?;
    let version = Version::of_namespace(&root.namespace)
        .filter(|_| root.name == "NewReleaseMessage" || root.name == PURGE)
        .ok_or_else(|| {
            Refused::Unexpected(format!(
                "it is a {} in {:?}, not a NewReleaseMessage that we know",
                brief(&root.name),
                brief(&root.namespace)
            ))
        })?;
    let mut found = Findings(Vec::new());
    texts(&root, &mut found);
    header(&root, &mut found);
    if root.name == PURGE {
        let purged = root.text_at(&["PurgedRelease", "ReleaseId", "ICPN"]);
        bar_code(purged.unwrap_or_default(), &mut found);
        sequences(&root, &mut found);
        return Ok(found.0);
    }
    let message = Message::new(&root, version);
    references(&message, &mut found);
    main_release(&message, &mut found);
    track_releases(&message, &mut found);
    covers(&message, &mut found);
    files(&root, &mut found);
    sequences(&root, &mut found);
    Ok(found.0)
}

/// The namespace of a document, whatever it is.
///
/// # Errors
/// [`Refused`] when it is too large or not well-formed.
pub fn namespace(xml: &[u8]) -> Result<String, Refused> {
    Element::parse(xml, MAX_MESSAGE_BYTES).map(|root| root.namespace.to_string())
}

struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, finding: String) {
        if self.0.len() < MAX_COMPLAINTS {
            self.0.push(finding);
        }
    }
}

/// The parts of a message that rules are about.
struct Message<'a> {
    root: &'a Element,
    profile: &'a str,
    resources: Vec<&'a Element>,
    main: Vec<&'a Element>,
    tracks: Vec<&'a Element>,
}

impl<'a> Message<'a> {
    fn new(root: &'a Element, version: Version) -> Self {
        let children = |name: &str| {
            let list = root.child(name);
            list.into_iter()
                .flat_map(|list| list.children.iter())
                .collect::<Vec<_>>()
        };
        let releases = children("ReleaseList");
        let is_main = |release: &&Element| match version {
            Version::Ern382 => release.attribute("IsMainRelease") == Some("true"),
            Version::Ern43 | Version::Ern432 => release.name == "Release",
        };
        let (main, tracks) = releases.into_iter().partition(is_main);
        let profile = root.attribute("ReleaseProfileVersionId");
        Self {
            root,
            profile: profile
                .and_then(|profile| profile.rsplit('/').next())
                .unwrap_or_default(),
            resources: children("ResourceList"),
            main,
            tracks,
        }
    }

    fn recordings(&self) -> impl Iterator<Item = &'a Element> {
        let resources = self.resources.iter().copied();
        resources.filter(|resource| resource.name == "SoundRecording")
    }
}

/// No element is empty, no text holds control characters or is in another form than NFC.
fn texts(element: &Element, found: &mut Findings) {
    let text = element.text.trim();
    if element.children.is_empty() && text.is_empty() {
        found.add(format!("{} is empty", element.name));
    }
    let attributes = element.attributes.iter().map(|(_, value)| value.as_str());
    for text in attributes.chain([text]) {
        // Nearly all of them: neither rule can be broken.
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            continue;
        }
        if text.chars().any(char::is_control) {
            found.add(format!(
                "{} holds a control character: {:?}",
                element.name,
                brief(text)
            ));
        }
        if !is_nfc(text) {
            found.add(format!(
                "{} is not in normal form C: {:?}",
                element.name,
                brief(text)
            ));
        }
    }
    for child in &element.children {
        texts(child, found);
    }
}

fn header(root: &Element, found: &mut Findings) {
    for party in ["MessageSender", "MessageRecipient"] {
        let id = root
            .text_at(&["MessageHeader", party, "PartyId"])
            .unwrap_or_default();
        if id.len() != 18 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            found.add(format!(
                "the {party}'s PartyId {:?} is no DPID of 18 characters without hyphens",
                brief(id)
            ));
        }
    }
}

/// What references lead to, each with the elements that refer to it.
const REFERENCES: [(&str, &[&str]); 3] = [
    (
        "ResourceReference",
        &["ReleaseResourceReference", "LinkedReleaseResourceReference"],
    ),
    ("ReleaseReference", &["DealReleaseReference"]),
    (
        "PartyReference",
        &[
            "ArtistPartyReference",
            "ContributorPartyReference",
            "ReleaseLabelReference",
        ],
    ),
];

/// Whatever is referred to is there, each reference is given once, and no resource is left over.
fn references(message: &Message<'_>, found: &mut Findings) {
    let mut all = Vec::new();
    named_reference(message.root, &mut all);
    for (anchor, uses) in REFERENCES {
        let mut anchors = BTreeSet::new();
        for element in all.iter().filter(|element| element.name == anchor) {
            if !anchors.insert(element.text.trim()) {
                found.add(format!("{anchor} {} is given twice", brief(&element.text)));
            }
        }
        let mut used = BTreeSet::new();
        for element in &all {
            let (name, text) = (element.name.as_str(), element.text.trim());
            if uses.contains(&name) && !anchors.contains(text) {
                found.add(format!("{name} {} leads to no {anchor}", brief(text)));
            } else if uses.contains(&name) {
                used.insert(text);
            }
        }
        if anchor == "ResourceReference" {
            for left in anchors.difference(&used) {
                found.add(format!(
                    "the resource {} is part of no release",
                    brief(left)
                ));
            }
        }
    }
}

/// The elements whose names end in `Reference`, in the document's order.
fn named_reference<'a>(element: &'a Element, all: &mut Vec<&'a Element>) {
    if element.name.ends_with("Reference") {
        all.push(element);
    }
    for child in &element.children {
        named_reference(child, all);
    }
}

fn bar_code(icpn: &str, found: &mut Findings) {
    if icpn.parse::<Upc>().is_err() {
        found.add(format!("the ICPN {:?} is no bar code", brief(icpn)));
    }
}

fn main_release(message: &Message<'_>, found: &mut Findings) {
    let [main] = message.main.as_slice() else {
        found.add(format!("there are {} main releases", message.main.len()));
        return;
    };
    bar_code(
        main.text_at(&["ReleaseId", "ICPN"]).unwrap_or_default(),
        found,
    );
    let details = main.child("ReleaseDetailsByTerritory").unwrap_or(main);
    let has_date = ["ReleaseDate", "OriginalReleaseDate"]
        .iter()
        .any(|name| details.child(name).is_some());
    if !has_date {
        found.add("the main release has neither ReleaseDate nor OriginalReleaseDate".into());
    }
    // A label that holds everywhere holds for each deal's territories.
    let has_label = details.child("LabelName").is_some()
        || details
            .children_named("ReleaseLabelReference")
            .any(|label| {
                label
                    .attribute("ApplicableTerritoryCode")
                    .is_none_or(|code| code == "Worldwide")
            });
    if !has_label {
        found.add("the main release has no label for all territories of its deals".into());
    }
}

/// One track release for each recording, but for the simple single, which has none.
fn track_releases(message: &Message<'_>, found: &mut Findings) {
    let references = |of: &Element| {
        let list = of.child("ReleaseResourceReferenceList").unwrap_or(of);
        list.children_named("ReleaseResourceReference")
            .map(|reference| reference.text.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let mut expected: Vec<String> = message
        .recordings()
        .filter_map(|recording| recording.child_text("ResourceReference"))
        .map(str::to_owned)
        .collect();
    if message.profile == "SimpleAudioSingle" {
        if expected.len() != 1 {
            found.add(format!(
                "a SimpleAudioSingle has one recording, not {}",
                expected.len()
            ));
        }
        expected.clear();
    }
    let mut tracks: Vec<String> = message
        .tracks
        .iter()
        .flat_map(|track| references(track))
        .collect();
    expected.sort();
    tracks.sort();
    if expected != tracks {
        found.add(format!(
            "track releases are of {}, and not of {}, one each",
            tracks.join(", "),
            expected.join(", ")
        ));
    }
}

fn covers(message: &Message<'_>, found: &mut Findings) {
    let images = message.resources.iter().filter(|one| one.name == "Image");
    let covers = images
        .filter(|image| {
            let kind = image.child_text("Type").or(image.child_text("ImageType"));
            kind == Some("FrontCoverImage")
        })
        .count();
    if covers != 1 {
        found.add(format!("there are {covers} front covers"));
    }
}

fn files(root: &Element, found: &mut Findings) {
    for file in root.descendants("File") {
        let name = file.child_text("URI").or(file.child_text("FileName"));
        let sums = [&["HashSum", "HashSumValue"], &["HashSum", "HashSum"]];
        if sums.iter().all(|path| file.text_at(*path).is_none()) {
            found.add(format!(
                "the file {} has no hash sum",
                brief(name.unwrap_or_default())
            ));
        }
    }
}

/// What is in sequence goes from 1 on without holes.
fn sequences(element: &Element, found: &mut Findings) {
    for name in [
        "DisplayArtist",
        "Contributor",
        "ResourceContributor",
        "ResourceGroup",
        "ResourceGroupContentItem",
    ] {
        let numbers: Vec<Option<usize>> = element
            .children_named(name)
            .map(|child| {
                let number = child
                    .attribute("SequenceNumber")
                    .or(child.child_text("SequenceNumber"));
                number.and_then(|number| number.parse().ok())
            })
            .collect();
        // The outermost group, and a cover beside the discs, have no place in a sequence.
        let is_apart = name.starts_with("ResourceGroup") && numbers == [None];
        if !is_apart && !numbers.iter().copied().eq((1..=numbers.len()).map(Some)) {
            let said: Vec<String> = numbers
                .iter()
                .map(|number| number.map_or("none".into(), |number| number.to_string()))
                .collect();
            found.add(format!(
                "the {name}s of a {} have the sequence numbers {}",
                element.name,
                said.join(", ")
            ));
        }
    }
    for child in &element.children {
        sequences(child, found);
    }
}
