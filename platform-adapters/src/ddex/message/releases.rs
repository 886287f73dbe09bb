//! `ReleaseList`: the release itself (`R0`) and a release for each of its tracks.

use super::{
    super::{version::Version, xml::Document},
    Plan, Profile, Recording, date, iso_duration, rights, titles, vocabulary,
};
use crate::{package::PackagedTrack, release::ReleaseType};

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
    genre(plan, None, xml);
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
    if is_compilation && !has_several_artists(plan) {
        xml.text("IsSingleArtistCompilation", "true");
    } else {
        let flag = if is_compilation { "true" } else { "false" };
        xml.text("IsMultiArtistCompilation", flag);
    }
}

/// Whether the tracks are shown under more than one name.
pub(super) fn has_several_artists(plan: &Plan<'_>) -> bool {
    let mut artists = plan
        .package
        .tracks
        .iter()
        .map(|track| track.track.display_artist.trim());
    let first = artists.next();
    artists.any(|artist| Some(artist) != first)
}

/// The playing order: a group a disc where there are several, and the cover.
fn resource_group(plan: &Plan<'_>, xml: &mut Document) {
    let cover = format!("A{}", plan.cover_number());
    let discs = plan.discs();
    if plan.profile == Profile::SimpleAudioSingle {
        for disc in &discs {
            content_items(plan, disc, Some(&cover), xml);
        }
        return;
    }
    if let [only] = discs.as_slice() {
        content_items(plan, only, None, xml);
    } else {
        for (at, disc) in discs.iter().enumerate() {
            let component = [("ResourceGroupType", "Component")];
            xml.element_with("ResourceGroup", &component, |xml| {
                xml.text("SequenceNumber", &(at + 1).to_string());
                content_items(plan, disc, None, xml);
            });
        }
    }
    link_cover(&cover, xml);
}

/// The tracks of a disc.
fn content_items(
    plan: &Plan<'_>,
    disc: &[&PackagedTrack],
    cover: Option<&str>,
    xml: &mut Document,
) {
    for (at, track) in disc.iter().enumerate() {
        let Some(recording) = plan.recording_of(track) else {
            continue;
        };
        xml.element("ResourceGroupContentItem", |xml| {
            xml.text("SequenceNumber", &(at + 1).to_string());
            xml.text("ReleaseResourceReference", &recording.resource_reference());
            if let Some(cover) = cover {
                link_cover(cover, xml);
            }
            link_lyrics(plan, recording, xml);
        });
    }
}

/// Ties the words of a recording to it, where they go along.
pub(super) fn link_lyrics(plan: &Plan<'_>, recording: &Recording<'_>, xml: &mut Document) {
    if let Some(lyrics) = plan.lyrics_of(recording) {
        xml.text_with(
            "LinkedReleaseResourceReference",
            &[("LinkDescription", vocabulary::LINK_TO_LYRICS)],
            &lyrics.resource_reference(),
        );
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
            &recording.release_id,
        );
    });
    xml.text("ReleaseResourceReference", &recording.resource_reference());
    label(plan, xml);
    genre(plan, Some(recording.track), xml);
}

fn label(plan: &Plan<'_>, xml: &mut Document) {
    xml.text_with("ReleaseLabelReference", titles::EVERYWHERE, &plan.label);
}

fn genre(plan: &Plan<'_>, track: Option<&PackagedTrack>, xml: &mut Document) {
    let name = match plan.version {
        Version::Ern432 => "DisplayGenre",
        Version::Ern43 | Version::Ern382 => "Genre",
    };
    let genre = plan.genre(track);
    xml.element_with(name, titles::EVERYWHERE, |xml| {
        xml.text("GenreText", &genre.genre);
        if let Some(sub_genre) = &genre.sub_genre {
            xml.text("SubGenre", sub_genre);
        }
    });
}
