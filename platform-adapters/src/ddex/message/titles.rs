//! Titles and artists' names as they are to be shown, with the marks that make them the default
//! everywhere. The language is the message's.

use super::{super::xml::Document, credits::DisplayArtist, vocabulary};

/// Holds everywhere, unless a narrower value is given. None ever is.
pub(super) const EVERYWHERE: &[(&str, &str)] = &[
    ("ApplicableTerritoryCode", "Worldwide"),
    ("IsDefault", "true"),
];

/// Writes `DisplayTitleText` and `DisplayTitle`: the title in one string, and in its parts.
pub(super) fn write(title: &str, subtitle: Option<&str>, xml: &mut Document) {
    let subtitle = apart(title, subtitle);
    let text = match subtitle {
        Some(subtitle) => format!("{} ({subtitle})", title.trim()),
        None => title.to_owned(),
    };
    xml.text_with("DisplayTitleText", EVERYWHERE, &text);
    xml.element_with("DisplayTitle", EVERYWHERE, |xml| {
        xml.text("TitleText", title);
        if let Some(subtitle) = subtitle {
            xml.text("SubTitle", subtitle);
        }
    });
}

/// The subtitle, unless it is empty or the title says it already.
pub(super) fn apart<'a>(title: &str, subtitle: Option<&'a str>) -> Option<&'a str> {
    subtitle.map(str::trim).filter(|subtitle| {
        !subtitle.is_empty() && !title.to_lowercase().contains(&subtitle.to_lowercase())
    })
}

/// Writes `DisplayArtistName` and the `DisplayArtist`s it is made of, in sequence.
pub(super) fn write_artists(shown: &str, artists: &[DisplayArtist], xml: &mut Document) {
    xml.text_with("DisplayArtistName", EVERYWHERE, vocabulary::shown(shown));
    for (at, artist) in artists.iter().enumerate() {
        let number = (at + 1).to_string();
        xml.element_with("DisplayArtist", &[("SequenceNumber", &number)], |xml| {
            xml.text("ArtistPartyReference", &artist.party);
            xml.text("DisplayArtistRole", artist.role);
        });
    }
}
