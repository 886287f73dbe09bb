//! Checks of what the catalogue says of a release: identifiers, texts, territories. No files here.

use std::collections::HashMap;

use super::{findings::Findings, numbering::Placed, territories};
use crate::{
    release::{Credits, Isrc, Iswc, Release, RightsLine, Territories, Track, Upc},
    settings::Platform,
};

/// Reads the bar code.
pub(super) fn upc(release: &Release, findings: &mut Findings) -> Option<Upc> {
    let Some(text) = present(release.upc.as_deref()) else {
        findings.add(
            "upc",
            "is missing",
            "Give the release its UPC or EAN in releases.upc.",
        );
        return None;
    };
    text.parse()
        .map_err(|error| {
            findings.add(
                "upc",
                format!("{error}"),
                "Correct releases.upc; a bar code is never made up.",
            );
        })
        .ok()
}

/// Reads the recordings' codes, in the order of `tracks`.
pub(super) fn isrcs(tracks: &[Placed<'_>], findings: &mut Findings) -> Vec<Option<Isrc>> {
    let mut first_with: HashMap<Isrc, &str> = HashMap::new();
    tracks
        .iter()
        .map(|placed| {
            let field = format!("{} isrc", placed.name);
            let Some(text) = present(placed.track.isrc.as_deref()) else {
                findings.add(
                    field,
                    format!("of {:?} is missing", placed.track.title),
                    "Give the track its recording's ISRC in tracks.isrc.",
                );
                return None;
            };
            let isrc: Isrc = match text.parse() {
                Ok(isrc) => isrc,
                Err(error) => {
                    findings.add(field, format!("{error}"), "Correct tracks.isrc.");
                    return None;
                }
            };
            if let Some(other) = first_with.get(&isrc) {
                findings.add(
                    field,
                    format!("{isrc} is also the ISRC of {other}"),
                    "Give each recording an ISRC of its own.",
                );
            } else {
                first_with.insert(isrc.clone(), &placed.name);
            }
            Some(isrc)
        })
        .collect()
}

/// Where the platform may sell the release.
pub(super) fn territories(
    release: &Release,
    platform: &Platform,
    findings: &mut Findings,
) -> Territories {
    let territories = release
        .territories
        .without(&platform.territory_restrictions);
    let (Territories::WorldwideExcept(codes) | Territories::Only(codes)) = &release.territories
    else {
        return check_left(territories, platform, findings);
    };
    let unknown: Vec<&str> = codes
        .iter()
        .map(String::as_str)
        .filter(|code| !territories::is_known(code))
        .collect();
    if !unknown.is_empty() {
        findings.add(
            "territories",
            format!("{}: no ISO 3166-1 code", unknown.join(", ")),
            "Use the two-letter codes of ISO 3166-1 in upper case.",
        );
    }
    check_left(territories, platform, findings)
}

fn check_left(left: Territories, platform: &Platform, findings: &mut Findings) -> Territories {
    let nothing = match &left {
        Territories::Worldwide => false,
        Territories::Only(codes) => codes.is_empty(),
        Territories::WorldwideExcept(codes) => territories::ALL
            .iter()
            .all(|code| codes.iter().any(|excluded| excluded == code)),
    };
    if nothing {
        findings.add(
            "territories",
            format!(
                "leave nothing where platform {} ({:?}) may sell the release",
                platform.id, platform.name
            ),
            "Widen the release's territories, mend the platform's territory_restrictions, or do \
             not schedule the release for this platform.",
        );
    }
    left
}

/// Checks all texts that go into messages.
pub(super) fn texts(release: &Release, tracks: &[Placed<'_>], findings: &mut Findings) {
    required("title", &release.title, findings);
    required("display artist", &release.display_artist, findings);
    required("label", &release.label, findings);
    optional("subtitle", release.subtitle.as_deref(), findings);
    optional("genre", release.genre.as_deref(), findings);
    rights("p_line", release.p_line.as_ref(), findings);
    rights("c_line", release.c_line.as_ref(), findings);
    credits("", &release.credits, findings);
    for placed in tracks {
        track_texts(&placed.name, placed.track, findings);
    }
}

fn track_texts(name: &str, track: &Track, findings: &mut Findings) {
    required(&format!("{name} title"), &track.title, findings);
    required(&format!("{name} artist"), &track.display_artist, findings);
    optional(
        &format!("{name} subtitle"),
        track.subtitle.as_deref(),
        findings,
    );
    optional(&format!("{name} genre"), track.genre.as_deref(), findings);
    if let Some(Err(error)) = present(track.iswc.as_deref()).map(str::parse::<Iswc>) {
        findings.add(
            format!("{name} iswc"),
            format!("{error}"),
            "Correct iswc in tracks.metadata, or delete it.",
        );
    }
    rights(&format!("{name} p_line"), track.p_line.as_ref(), findings);
    credits(&format!("{name} "), &track.credits, findings);
}

fn rights(field: &str, line: Option<&RightsLine>, findings: &mut Findings) {
    if let Some(line) = line {
        required(field, &line.text, findings);
    }
}

fn credits(prefix: &str, credits: &Credits, findings: &mut Findings) {
    let lists = [
        ("primaryArtist", &credits.primary_artist),
        ("featuredArtists", &credits.featured_artists),
        ("composers", &credits.composers),
        ("lyricists", &credits.lyricists),
        ("producers", &credits.producers),
        ("mixingEngineers", &credits.mixing_engineers),
        ("masteringEngineers", &credits.mastering_engineers),
    ];
    for (key, names) in lists {
        for name in names {
            required(&format!("{prefix}credits.{key}"), name, findings);
        }
    }
    for musician in &credits.musicians {
        let field = format!("{prefix}credits.musicians");
        required(&field, &musician.name, findings);
        optional(&field, Some(&musician.role), findings);
        optional(&field, musician.instrument.as_deref(), findings);
    }
    for vocalist in &credits.vocalists {
        let field = format!("{prefix}credits.vocalists");
        required(&field, &vocalist.name, findings);
        optional(&field, Some(&vocalist.role), findings);
    }
}

fn required(field: &str, text: &str, findings: &mut Findings) {
    if text.trim().is_empty() {
        findings.add(field, "is empty", "Fill it in.");
    }
    optional(field, Some(text), findings);
}

fn optional(field: &str, text: Option<&str>, findings: &mut Findings) {
    if let Some(bad) = text.and_then(|text| text.chars().find(|c| !is_printable(*c))) {
        findings.add(
            field,
            format!(
                "{:?} holds the character U+{:04X}, which no message can carry",
                text.unwrap_or_default(),
                u32::from(bad)
            ),
            "Delete the invisible character or the line break.",
        );
    }
}

/// Whether a message can carry `c`: no control characters, of which XML forbids most, and none of
/// the two non-characters that it forbids.
fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{FFFE}' | '\u{FFFF}')
}

fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}
