//! `ReleaseList`: the release itself (`R0`) and a release for each of its tracks.

use super::{
    super::xml::Document, Plan, Profile, Recording, date, iso_duration, rights, titles, vocabulary,
};
use crate::release::ReleaseType;

/// Writes `ReleaseList`.
pub(super) fn write(plan: &Plan<'_>, xml: &mut Document) {
    xml.element("ReleaseList", |xml| {
        xml.element("Release", |xml| main_release(plan, xml));
        for recording in plan.track_releases() {
            xml.element("TrackRelease", |xml| track_release(plan, recording, xml));
        }
    });
}

fn main_release(plan: &Plan<'_>, xml: &mut Document) {
    let release = &plan.package.release;
    let playing = plan.playing_time();
    xml.text("ReleaseReference", "R0");
    xml.text(
        "ReleaseType",
        vocabulary::release_type(release.release_type, plan.package.tracks.len(), playing),
    );
    xml.element("ReleaseId", |xml| xml.text("ICPN", &plan.icpn));
    titles::write(&release.title, release.subtitle.as_deref(), xml);
    if let Some(version) = vocabulary::release_version(release.release_type) {
        xml.text("VersionType", version);
    }
    titles::write_artists(&release.display_artist, &plan.artists, xml);
    label(plan, xml);
    rights::write(
        &rights::p_line(release.p_line.as_ref(), plan.package),
        'P',
        xml,
    );
    if let Some(line) = &release.c_line {
        rights::write(line, 'C', xml);
    }
    xml.text("Duration", &iso_duration(playing));
    genre(plan, release.genre.as_deref(), xml);
    xml.text_with(
        "ReleaseDate",
        titles::EVERYWHERE,
        &date(release.release_date),
    );
    if let Some(original) = release.original_release_date {
        xml.text_with("OriginalReleaseDate", titles::EVERYWHERE, &date(original));
    }
    xml.text(
        "ParentalWarningType",
        vocabulary::parental_warning(plan.is_explicit()),
    );
    compilation(plan, xml);
    xml.element("ResourceGroup", |xml| resource_group(plan, xml));
}

/// Whether the release puts recordings of several artists together. A single of one recording is
/// not asked.
fn compilation(plan: &Plan<'_>, xml: &mut Document) {
    if plan.profile == Profile::SimpleAudioSingle {
        return;
    }
    let is_compilation = plan.package.release.release_type == ReleaseType::Compilation;
    let mut artists: Vec<&str> = plan
        .package
        .tracks
        .iter()
        .map(|track| track.track.display_artist.trim())
        .collect();
    artists.sort_unstable();
    artists.dedup();
    if is_compilation && artists.len() == 1 {
        xml.text("IsSingleArtistCompilation", "true");
    } else {
        let flag = if is_compilation { "true" } else { "false" };
        xml.text("IsMultiArtistCompilation", flag);
    }
}

/// The playing order: a group a disc where there are several, and the cover.
fn resource_group(plan: &Plan<'_>, xml: &mut Document) {
    let mut discs: Vec<u32> = Vec::new();
    for track in &plan.package.tracks {
        if discs.last() != Some(&track.track.disc) {
            discs.push(track.track.disc);
        }
    }
    let cover = format!("A{}", plan.cover_number());
    if plan.profile == Profile::SimpleAudioSingle {
        content_items(plan, None, Some(&cover), xml);
        return;
    }
    if let [_] = discs.as_slice() {
        content_items(plan, None, None, xml);
    } else {
        for (at, disc) in discs.iter().enumerate() {
            let component = [("ResourceGroupType", "Component")];
            xml.element_with("ResourceGroup", &component, |xml| {
                xml.text("SequenceNumber", &(at + 1).to_string());
                content_items(plan, Some(*disc), None, xml);
            });
        }
    }
    link_cover(&cover, xml);
}

/// The tracks of a disc, or all.
fn content_items(plan: &Plan<'_>, disc: Option<u32>, cover: Option<&str>, xml: &mut Document) {
    let tracks = plan.package.tracks.iter();
    let of_disc = tracks.filter(|track| disc.is_none_or(|disc| track.track.disc == disc));
    for (at, track) in of_disc.enumerate() {
        let Some(recording) = plan.recording_of(track) else {
            continue;
        };
        xml.element("ResourceGroupContentItem", |xml| {
            xml.text("SequenceNumber", &(at + 1).to_string());
            xml.text("ReleaseResourceReference", &recording.resource_reference());
            if let Some(cover) = cover {
                link_cover(cover, xml);
            }
        });
    }
}

fn link_cover(cover: &str, xml: &mut Document) {
    xml.text_with(
        "LinkedReleaseResourceReference",
        &[("LinkDescription", "CoverArt")],
        cover,
    );
}

fn track_release(plan: &Plan<'_>, recording: &Recording<'_>, xml: &mut Document) {
    xml.text("ReleaseReference", &recording.release_reference());
    xml.element("ReleaseId", |xml| {
        xml.text_with(
            "ProprietaryId",
            &[("Namespace", plan.specs.sender_dpid.as_str())],
            &track_release_id(plan, recording),
        );
    });
    xml.text("ReleaseResourceReference", &recording.resource_reference());
    label(plan, xml);
    genre(plan, recording.track.track.genre.as_deref(), xml);
}

/// Unique to the recording on this release and the same at every update. Only where a release
/// carries one ISRC for different recordings does the later one get its number too.
fn track_release_id(plan: &Plan<'_>, recording: &Recording<'_>) -> String {
    let isrc = &recording.track.isrc;
    let earlier = plan
        .recordings
        .iter()
        .any(|other| other.number < recording.number && other.track.isrc == *isrc);
    let id = format!("{}_{isrc}", plan.icpn);
    if earlier {
        format!("{id}_{}", recording.number)
    } else {
        id
    }
}

fn label(plan: &Plan<'_>, xml: &mut Document) {
    xml.text_with("ReleaseLabelReference", titles::EVERYWHERE, &plan.label);
}

fn genre(plan: &Plan<'_>, own: Option<&str>, xml: &mut Document) {
    let release = plan.package.release.genre.as_deref();
    let genre = [own, release]
        .into_iter()
        .flatten()
        .map(str::trim)
        .find(|genre| !genre.is_empty())
        .unwrap_or(vocabulary::NO_GENRE);
    xml.element_with("Genre", titles::EVERYWHERE, |xml| {
        xml.text("GenreText", genre);
    });
}
