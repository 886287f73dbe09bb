//! Recordings and files of a message.

use std::collections::HashMap;

use super::{Element, Refused, brief};

/// A recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedRecording {
    /// `A1`.
    pub reference: String,
    /// Its code.
    pub isrc: String,
    /// The code of the work.
    pub iswc: Option<String>,
    /// Its title, without what stands behind it.
    pub title: String,
    /// What stands behind the title.
    pub subtitle: Option<String>,
    /// Its artist as shown.
    pub display_artist: String,
    /// The names of its display artists in sequence, each with the role.
    pub artists: Vec<(String, String)>,
    /// The names of its contributors, each with a role; one entry a role.
    pub contributors: Vec<(String, String)>,
    /// ISO 8601.
    pub duration: String,
    /// Text of its ℗ line.
    pub p_line: Option<String>,
    /// `Explicit`, `NotExplicit` and their like.
    pub parental_warning: String,
    /// The language sung.
    pub language: Option<String>,
    /// The reference of its lyrics, which are a resource of their own: `A14`.
    pub lyrics: Option<String>,
}

/// A file that a message speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedResource {
    /// Where it lies, relative to the message: `resources/0036000291452_01_001.flac`.
    pub uri: String,
    /// Its hash sum as it stands there; empty where there is none.
    pub hash: String,
    /// `MD5`, `SHA-256`; empty where there is no hash sum.
    pub algorithm: String,
    /// Its size in bytes, if the message says it.
    pub size_bytes: Option<u64>,
}

pub(super) fn read_all(root: &Element) -> Vec<ReceivedRecording> {
    let Some(list) = root.child("ResourceList") else {
        return Vec::new();
    };
    let lyrics = lyrics(root);
    let recordings = list.children_named("SoundRecording").map(|recording| {
        let mut read = read(root, recording);
        let linked = lyrics.get(read.reference.as_str());
        read.lyrics = linked.map(|linked| (*linked).to_owned());
        read
    });
    recordings.collect()
}

/// The references of lyrics, by those of the recordings that the release links to them.
fn lyrics(root: &Element) -> HashMap<&str, &str> {
    let list = root.child("ReleaseList");
    let items = list.map(|list| list.descendants("ResourceGroupContentItem"));
    let linked = items.into_iter().flatten().filter_map(|item| {
        let mut links = item.children_named("LinkedReleaseResourceReference");
        let link = links.find(|link| link.attribute("LinkDescription") == Some("Lyrics"))?;
        Some((
            item.child_text("ReleaseResourceReference")?,
            link.text.trim(),
        ))
    });
    linked.collect()
}

fn read(root: &Element, recording: &Element) -> ReceivedRecording {
    // In 4.x codes and ℗ line lie with the edition, in 3.8.2 details lie by territory.
    let places = ["SoundRecordingEdition", "SoundRecordingDetailsByTerritory"];
    let details = places.iter().find_map(|name| recording.child(name));
    let text = |path: &[&str]| {
        let found = recording.text_at(path);
        let found = found.or_else(|| details.and_then(|details| details.text_at(path)));
        found.map(str::to_owned)
    };
    let first = |paths: &[&[&str]]| paths.iter().find_map(|path| text(path));
    let (title, subtitle) = title(recording);
    let isrc = first(&[&["ResourceId", "ISRC"], &["SoundRecordingId", "ISRC"]]);
    ReceivedRecording {
        reference: text(&["ResourceReference"]).unwrap_or_default(),
        isrc: isrc.unwrap_or_default(),
        iswc: first(&[&["WorkId", "ISWC"], &["IndirectSoundRecordingId", "ISWC"]]),
        title,
        subtitle,
        display_artist: text(&["DisplayArtistName"]).unwrap_or_default(),
        artists: people(root, recording, details, ARTISTS),
        contributors: people(root, recording, details, CONTRIBUTORS),
        duration: text(&["Duration"]).unwrap_or_default(),
        p_line: text(&["PLine", "PLineText"]),
        parental_warning: text(&["ParentalWarningType"]).unwrap_or_default(),
        language: text(&["LanguageOfPerformance"]),
        lyrics: None,
    }
}

/// A composite that names somebody, where its party's reference stands, and its role.
type Person = (&'static str, &'static str, &'static str);

const ARTISTS: &[Person] = &[
    ("DisplayArtist", "ArtistPartyReference", "DisplayArtistRole"),
    ("DisplayArtist", "", "ArtistRole"),
];

const CONTRIBUTORS: &[Person] = &[
    ("Contributor", "ContributorPartyReference", "Role"),
    ("ResourceContributor", "", "ResourceContributorRole"),
    (
        "IndirectResourceContributor",
        "",
        "IndirectResourceContributorRole",
    ),
];

fn people(
    root: &Element,
    recording: &Element,
    details: Option<&Element>,
    kinds: &[Person],
) -> Vec<(String, String)> {
    let mut people = Vec::new();
    for (composite, reference, role) in kinds {
        let holders = [Some(recording), details];
        for person in holders
            .into_iter()
            .flatten()
            .flat_map(|holder| holder.children_named(composite))
        {
            let referred = person.child_text(reference);
            let name = referred
                .and_then(|reference| party_name(root, reference))
                .or_else(|| person.text_at(&["PartyName", "FullName"]));
            for role in person.children_named(role) {
                let word = role.child_text("Value").unwrap_or(role.text.trim());
                people.push((name.unwrap_or_default().to_owned(), word.to_owned()));
            }
        }
    }
    people
}

/// A party's name by its reference.
pub(super) fn party_name<'a>(root: &'a Element, reference: &str) -> Option<&'a str> {
    let mut parties = root.child("PartyList")?.children_named("Party");
    parties
        .find(|party| party.child_text("PartyReference") == Some(reference))?
        .text_at(&["PartyName", "FullName"])
}

/// Title and subtitle of a release or recording.
pub(super) fn title(of: &Element) -> (String, Option<String>) {
    let titles = ["DisplayTitle", "ReferenceTitle"];
    let title = titles.iter().find_map(|name| of.child(name));
    let text = |name| {
        title
            .and_then(|title| title.child_text(name))
            .map(str::to_owned)
    };
    (text("TitleText").unwrap_or_default(), text("SubTitle"))
}

/// The files of a message.
pub(super) fn read_files(root: &Element) -> Result<Vec<ReceivedResource>, Refused> {
    let Some(list) = root.child("ResourceList") else {
        return Ok(Vec::new());
    };
    list.descendants("File").into_iter().map(file).collect()
}

fn file(file: &Element) -> Result<ReceivedResource, Refused> {
    let text = |path: &[&str]| file.text_at(path).map(str::to_owned);
    let size_bytes = file
        .child_text("FileSize")
        .map(|text| {
            bytes(text).ok_or_else(|| {
                Refused::Unexpected(format!("its FileSize {:?} is no size", brief(text)))
            })
        })
        .transpose()?;
    // In 3.8.2 the place stands apart from the name, and the sum under its own name.
    let uri = text(&["URI"]).or_else(|| {
        let folder = file.child_text("FilePath").unwrap_or_default();
        let name = file.child_text("FileName")?;
        Some(match folder.trim_end_matches('/') {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        })
    });
    let hash = text(&["HashSum", "HashSumValue"]).or_else(|| text(&["HashSum", "HashSum"]));
    let algorithm =
        text(&["HashSum", "Algorithm"]).or_else(|| text(&["HashSum", "HashSumAlgorithmType"]));
    Ok(ReceivedResource {
        uri: uri.unwrap_or_default(),
        hash: hash.unwrap_or_default(),
        algorithm: algorithm.unwrap_or_default(),
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
