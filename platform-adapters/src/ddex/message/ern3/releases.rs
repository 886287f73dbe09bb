//! `ReleaseList` of ERN 3.8.2.

use super::super::{
    super::xml::Document,
    Plan, Profile, Recording, date, duration, iso_duration,
    releases::{has_several_artists, link_lyrics},
    rights, vocabulary,
};
use super::{everywhere, namespace, reference_title, write_artists, write_titles};
use crate::{
    package::PackagedTrack,
    release::{ReleaseType, RightsLine},
};

/// Writes `ReleaseList`.
pub(super) fn write(plan: &Plan<'_>, xml: &mut Document) {
    xml.element("ReleaseList", |xml| {
        xml.element_with("Release", &[("IsMainRelease", "true")], |xml| {
            main_release(plan, xml);
        });
        for recording in plan.track_releases() {
            xml.element("Release", |xml| track_release(plan, recording, xml));
        }
    });
}

fn main_release(plan: &Plan<'_>, xml: &mut Document) {
    let release = &plan.package.release;
    let playing = plan.playing_time();
    xml.element("ReleaseId", |xml| icpn(plan, xml));
    xml.text("ReleaseReference", "R0");
    reference_title(&release.title, release.subtitle.as_deref(), xml);
    xml.element("ReleaseResourceReferenceList", |xml| {
        for recording in &plan.recordings {
            resource(&recording.resource_reference(), true, xml);
        }
        resource(&cover(plan), false, xml);
        for lyrics in plan.lyrics() {
            resource(&lyrics.resource_reference(), false, xml);
        }
    });
    let release_type =
        vocabulary::release_type(release.release_type, plan.package.tracks.len(), playing);
    xml.text("ReleaseType", vocabulary::ern3_release_type(release_type));
    xml.element("ReleaseDetailsByTerritory", |xml| main_details(plan, xml));
    xml.text("Duration", &iso_duration(playing));
    lines(
        &rights::p_line(release.p_line.as_ref(), plan.package),
        plan,
        xml,
    );
    let original = release.original_release_date;
    xml.text(
        "GlobalOriginalReleaseDate",
        &date(original.unwrap_or(release.release_date)),
    );
}

/// Writes the bar code.
pub(in super::super) fn icpn(plan: &Plan<'_>, xml: &mut Document) {
    let is_ean = if plan.icpn.starts_with('0') {
        "false"
    } else {
        "true"
    };
    xml.text_with("ICPN", &[("IsEan", is_ean)], &plan.icpn);
}

fn main_details(plan: &Plan<'_>, xml: &mut Document) {
    let release = &plan.package.release;
    everywhere(xml);
    xml.text(
        "DisplayArtistName",
        vocabulary::shown(&release.display_artist),
    );
    xml.text("LabelName", &release.label);
    write_titles(&release.title, release.subtitle.as_deref(), xml);
    write_artists(plan, &plan.artists, xml);
    if plan.profile == Profile::AudioAlbumMusicOnly {
        let is_compilation = release.release_type == ReleaseType::Compilation;
        let flag = is_compilation && has_several_artists(plan);
        xml.text(
            "IsMultiArtistCompilation",
            if flag { "true" } else { "false" },
        );
    }
    xml.text(
        "ParentalWarningType",
        vocabulary::parental_warning(plan.is_explicit()),
    );
    xml.element("ResourceGroup", |xml| resource_group(plan, xml));
    genre(plan, None, xml);
    xml.text("ReleaseDate", &date(release.release_date));
    if let Some(original) = release.original_release_date {
        xml.text("OriginalReleaseDate", &date(original));
    }
}

/// The playing order: a group a disc, and the cover.
fn resource_group(plan: &Plan<'_>, xml: &mut Document) {
    for (at, disc) in plan.discs().iter().enumerate() {
        let number = at + 1;
        xml.element("ResourceGroup", |xml| {
            xml.element_with("Title", &[("TitleType", "GroupingTitle")], |xml| {
                xml.text("TitleText", &format!("Component {number}"));
            });
            xml.text("SequenceNumber", &number.to_string());
            for (at, track) in disc.iter().enumerate() {
                if let Some(recording) = plan.recording_of(track) {
                    content_item(at + 1, recording, xml, |xml| {
                        link_lyrics(plan, recording, xml);
                    });
                }
            }
        });
    }
    xml.element("ResourceGroupContentItem", |xml| {
        xml.text("ResourceType", "Image");
        resource(&cover(plan), false, xml);
    });
}

fn content_item(
    number: usize,
    recording: &Recording<'_>,
    xml: &mut Document,
    links: impl FnOnce(&mut Document),
) {
    xml.element("ResourceGroupContentItem", |xml| {
        xml.text("SequenceNumber", &number.to_string());
        xml.text("ResourceType", "SoundRecording");
        resource(&recording.resource_reference(), true, xml);
        links(xml);
    });
}

fn resource(reference: &str, is_primary: bool, xml: &mut Document) {
    let kind = if is_primary {
        "PrimaryResource"
    } else {
        "SecondaryResource"
    };
    xml.text_with(
        "ReleaseResourceReference",
        &[("ReleaseResourceType", kind)],
        reference,
    );
}

fn cover(plan: &Plan<'_>) -> String {
    format!("A{}", plan.cover_number())
}

fn track_release(plan: &Plan<'_>, recording: &Recording<'_>, xml: &mut Document) {
    let track = &recording.track.track;
    let reference = recording.resource_reference();
    xml.element("ReleaseId", |xml| {
        xml.text("ISRC", recording.track.isrc.as_str());
        let namespace = namespace(plan);
        let attributes = [("Namespace", namespace.as_str())];
        xml.text_with("ProprietaryId", &attributes, &recording.release_id);
    });
    xml.text("ReleaseReference", &recording.release_reference());
    reference_title(&track.title, track.subtitle.as_deref(), xml);
    xml.element("ReleaseResourceReferenceList", |xml| {
        resource(&reference, true, xml);
    });
    xml.text("ReleaseType", "TrackRelease");
    xml.element("ReleaseDetailsByTerritory", |xml| {
        everywhere(xml);
        xml.text(
            "DisplayArtistName",
            vocabulary::shown(&track.display_artist),
        );
        xml.text("LabelName", &plan.package.release.label);
        write_titles(&track.title, track.subtitle.as_deref(), xml);
        write_artists(plan, &recording.artists, xml);
        xml.text(
            "ParentalWarningType",
            vocabulary::parental_warning(track.is_explicit),
        );
        xml.element("ResourceGroup", |xml| {
            content_item(1, recording, xml, |_| {})
        });
        genre(plan, Some(recording.track), xml);
        xml.text("ReleaseDate", &date(plan.package.release.release_date));
    });
    xml.text("Duration", &iso_duration(duration(recording.track)));
    lines(
        &rights::p_line(track.p_line.as_ref(), plan.package),
        plan,
        xml,
    );
}

/// ℗ of the recordings, and © of the release where it has one.
fn lines(p_line: &RightsLine, plan: &Plan<'_>, xml: &mut Document) {
    rights::write(p_line, 'P', xml);
    if let Some(line) = &plan.package.release.c_line {
        rights::write(line, 'C', xml);
    }
}

/// Writes `Genre`.
pub(super) fn genre(plan: &Plan<'_>, track: Option<&PackagedTrack>, xml: &mut Document) {
    let genre = plan.genre(track);
    xml.element("Genre", |xml| {
        xml.text("GenreText", &genre.genre);
        if let Some(sub_genre) = &genre.sub_genre {
            xml.text("SubGenre", sub_genre);
        }
    });
}
