//! The NewReleaseMessage of ERN 3.8.2. It says what those of 4.3 say, in another order: details stand
//! in composites by territory, parties by their names, every release lists its resources, and track
//! releases are releases like the main one.

mod deals;
mod releases;
mod resources;

pub(super) use self::releases::icpn;
use super::{super::xml::Document, Plan, credits::DisplayArtist, header, titles};

/// `MessageSchemaVersionId`.
pub(super) const SCHEMA: &str = "ern/382";
/// What release profiles are called; version 1.4 of the release profiles for common release types.
const PROFILES: &str = "CommonReleaseTypes/14/";

/// Writes the message.
pub(super) fn write(plan: &Plan<'_>, xml: &mut Document) {
    let profile = format!("{PROFILES}{}", plan.profile.as_str());
    let language = plan.language();
    let attributes = [
        ("xmlns:ern", plan.version.namespace()),
        ("MessageSchemaVersionId", SCHEMA),
        ("ReleaseProfileVersionId", &profile),
        ("LanguageAndScriptCode", &language),
    ];
    xml.element_with("ern:NewReleaseMessage", &attributes, |xml| {
        header::write(plan, xml);
        resources::write(plan, xml);
        releases::write(plan, xml);
        super::deals::write(plan, xml, deals::terms);
    });
}

/// Our DPID as the namespace of our own ids.
fn namespace(plan: &Plan<'_>) -> String {
    format!("DPID:{}", plan.specs.sender_dpid)
}

/// Writes `ReferenceTitle`: by which the thing is known.
fn reference_title(title: &str, subtitle: Option<&str>, xml: &mut Document) {
    xml.element("ReferenceTitle", |xml| parts(title, subtitle, xml));
}

/// Writes `Title` as it formally is, and as it is to be shown.
fn write_titles(title: &str, subtitle: Option<&str>, xml: &mut Document) {
    for kind in ["FormalTitle", "DisplayTitle"] {
        xml.element_with("Title", &[("TitleType", kind)], |xml| {
            parts(title, subtitle, xml);
        });
    }
}

/// Writes a title in its parts.
pub(super) fn parts(title: &str, subtitle: Option<&str>, xml: &mut Document) {
    xml.text("TitleText", title);
    if let Some(subtitle) = titles::apart(title, subtitle) {
        xml.text("SubTitle", subtitle);
    }
}

/// Writes each `DisplayArtist` in sequence.
fn write_artists(plan: &Plan<'_>, artists: &[DisplayArtist], xml: &mut Document) {
    for (at, artist) in artists.iter().enumerate() {
        let number = (at + 1).to_string();
        xml.element_with("DisplayArtist", &[("SequenceNumber", &number)], |xml| {
            party_name(plan, &artist.party, xml);
            xml.text("ArtistRole", artist.role);
        });
    }
}

/// Writes a party by its name.
pub(super) fn party_name(plan: &Plan<'_>, reference: &str, xml: &mut Document) {
    if let Some(name) = plan.parties.name(reference) {
        xml.element("PartyName", |xml| xml.text("FullName", name));
    }
}

/// Everything but deals is the same everywhere.
fn everywhere(xml: &mut Document) {
    xml.text("TerritoryCode", "Worldwide");
}
