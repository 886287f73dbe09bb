//! `ResourceList`: the recordings, the front cover and lyrics, with their files.

use chrono::Datelike;

use super::{
    super::{version::Version, xml::Document},
    Plan, Recording,
    credits::{Contributor, Instrument},
    date, duration, iso_duration, language,
    plan::Lyrics,
    rights, titles, vocabulary,
};
use crate::{
    package::{PackagedArtwork, PackagedFile},
    release::{Iswc, ReleaseType},
};

/// Where the files lie beside the message.
pub(in super::super) const RESOURCES: &str = "resources";

/// Writes `ResourceList`.
pub(super) fn write(plan: &Plan<'_>, xml: &mut Document) {
    write_list(plan, xml, sound_recording, image, text);
}

/// Writes `ResourceList` with what a version of ERN says of a recording, of the cover and of lyrics.
pub(super) fn write_list(
    plan: &Plan<'_>,
    xml: &mut Document,
    sound_recording: fn(&Plan<'_>, &Recording<'_>, &mut Document),
    image: fn(&Plan<'_>, &mut Document),
    text: fn(&Plan<'_>, &Lyrics<'_, '_>, &mut Document),
) {
    xml.element("ResourceList", |xml| {
        for recording in &plan.recordings {
            in_own_language("SoundRecording", plan, recording, xml, |xml| {
                sound_recording(plan, recording, xml);
            });
        }
        xml.element("Image", |xml| image(plan, xml));
        for lyrics in plan.lyrics() {
            in_own_language("Text", plan, lyrics.recording, xml, |xml| {
                text(plan, &lyrics, xml);
            });
        }
    });
}

/// An element whose titles are in the recording's language.
fn in_own_language(
    name: &str,
    plan: &Plan<'_>,
    recording: &Recording<'_>,
    xml: &mut Document,
    children: impl FnOnce(&mut Document),
) {
    let language = plan.own_language(recording);
    let attributes = language
        .as_deref()
        .map(|language| ("LanguageAndScriptCode", language));
    xml.element_with(name, attributes.as_slice(), children);
}

fn sound_recording(plan: &Plan<'_>, recording: &Recording<'_>, xml: &mut Document) {
    let track = &recording.track.track;
    xml.text("ResourceReference", &recording.resource_reference());
    xml.text("Type", "MusicalWorkSoundRecording");
    xml.element("SoundRecordingEdition", |xml| edition(plan, recording, xml));
    if let Some(Ok(iswc)) = track.iswc.as_deref().map(str::parse::<Iswc>) {
        xml.element("WorkId", |xml| xml.text("ISWC", iswc.as_str()));
    }
    titles::write(&track.title, track.subtitle.as_deref(), xml);
    if let Some(version) = version(plan, recording) {
        xml.text("VersionType", version);
    }
    titles::write_artists(&track.display_artist, &recording.artists, xml);
    for (at, contributor) in recording.contributors.iter().enumerate() {
        write_contributor(plan, at + 1, contributor, xml);
    }
    xml.text("Duration", &iso_duration(duration(recording.track)));
    if let Some(first) = first_publication(plan, recording) {
        xml.text_with("FirstPublicationDate", titles::EVERYWHERE, &first);
    }
    xml.text(
        "ParentalWarningType",
        vocabulary::parental_warning(track.is_explicit),
    );
    if is_instrumental(plan, recording) {
        xml.text("HasVocalPerformance", "false");
        xml.text("IsInstrumental", "true");
    }
    if let Some(language) = language::language_tag(&track.language) {
        xml.text("LanguageOfPerformance", language);
    }
}

/// Nobody sings: there are no words, and no singer is credited who would sing without any.
pub(super) fn is_instrumental(plan: &Plan<'_>, recording: &Recording<'_>) -> bool {
    let track = &recording.track.track;
    let credits = super::credits::of_track(track, &plan.package.release);
    language::language_tag(&track.language) == Some("zxx") && credits.vocalists.is_empty()
}

fn edition(plan: &Plan<'_>, recording: &Recording<'_>, xml: &mut Document) {
    xml.element("ResourceId", |xml| {
        xml.text("ISRC", recording.track.isrc.as_str());
    });
    let line = rights::p_line(recording.track.track.p_line.as_ref(), plan.package);
    rights::write(&line, 'P', xml);
    let Some(audio) = &recording.track.audio else {
        return;
    };
    let properties = &audio.properties;
    xml.element("TechnicalDetails", |xml| {
        xml.text(
            "TechnicalResourceDetailsReference",
            &format!("T{}", recording.number),
        );
        xml.element("DeliveryFile", |xml| {
            xml.text("Type", "AudioFile");
            if let Some(container) = vocabulary::container(properties.codec) {
                xml.text("ContainerFormat", container);
            }
            xml.text("AudioCodecType", vocabulary::audio_codec(properties.codec));
            xml.text("NumberOfChannels", &properties.channels.to_string());
            xml.text_with(
                "SamplingRate",
                &[("UnitOfMeasure", "kHz")],
                &thousandths(u64::from(properties.sample_rate_hz)),
            );
            if properties.bits_per_sample > 0 {
                xml.text("BitsPerSample", &properties.bits_per_sample.to_string());
            }
            file(plan, &audio.file, xml);
        });
    });
}

fn write_contributor(
    plan: &Plan<'_>,
    number: usize,
    contributor: &Contributor,
    xml: &mut Document,
) {
    let number = number.to_string();
    xml.element_with("Contributor", &[("SequenceNumber", &number)], |xml| {
        xml.text("ContributorPartyReference", &contributor.party);
        if plan.version == Version::Ern43 {
            for role in &contributor.roles {
                xml.text("Role", role);
            }
            write_instruments(plan, contributor, xml);
            return;
        }
        // In 4.3.2 an instrument belongs to the role in which it is played.
        let player = contributor.player_role();
        for role in &contributor.roles {
            xml.element("Role", |xml| {
                xml.text("Value", role);
                if player == Some(*role) {
                    write_instruments(plan, contributor, xml);
                }
            });
        }
    });
}

fn write_instruments(plan: &Plan<'_>, contributor: &Contributor, xml: &mut Document) {
    for instrument in &contributor.instruments {
        match instrument {
            Instrument::Known(word) => xml.text("InstrumentType", word),
            Instrument::Own(word) => xml.text_with(
                "InstrumentType",
                &[
                    ("Namespace", plan.specs.sender_dpid.as_str()),
                    ("UserDefinedValue", word),
                ],
                "UserDefined",
            ),
        }
    }
}

fn image(plan: &Plan<'_>, xml: &mut Document) {
    let number = plan.cover_number();
    xml.text("ResourceReference", &format!("A{number}"));
    xml.text("Type", "FrontCoverImage");
    xml.element("ResourceId", |xml| {
        xml.text_with(
            "ProprietaryId",
            &[("Namespace", plan.specs.sender_dpid.as_str())],
            &format!("{}_COVER", plan.icpn),
        );
    });
    xml.text("ParentalWarningType", vocabulary::parental_warning(false));
    if let Some(artwork) = &plan.package.artwork {
        xml.element("TechnicalDetails", |xml| {
            image_details(plan, number, artwork, xml);
        });
    }
}

fn image_details(plan: &Plan<'_>, number: usize, artwork: &PackagedArtwork, xml: &mut Document) {
    let pixels = [("UnitOfMeasure", "Pixel")];
    xml.text("TechnicalResourceDetailsReference", &format!("T{number}"));
    xml.text("ImageCodecType", vocabulary::image_codec(artwork.format));
    xml.text_with("ImageHeight", &pixels, &artwork.height_px.to_string());
    xml.text_with("ImageWidth", &pixels, &artwork.width_px.to_string());
    file(plan, &artwork.file, xml);
}

/// The words of a recording. They are a secondary resource like the cover: they belong to the
/// release, go by its deals, and have no release of their own.
fn text(plan: &Plan<'_>, lyrics: &Lyrics<'_, '_>, xml: &mut Document) {
    let track = &lyrics.recording.track.track;
    xml.text("ResourceReference", &lyrics.resource_reference());
    xml.text("Type", vocabulary::LYRICS);
    xml.element("ResourceId", |xml| {
        xml.text_with(
            "ProprietaryId",
            &[("Namespace", plan.specs.sender_dpid.as_str())],
            &lyrics.id(),
        );
    });
    if let Some(Ok(iswc)) = track.iswc.as_deref().map(str::parse::<Iswc>) {
        xml.element("WorkId", |xml| xml.text("ISWC", iswc.as_str()));
    }
    titles::write(&track.title, track.subtitle.as_deref(), xml);
    xml.text(
        "ParentalWarningType",
        vocabulary::parental_warning(track.is_explicit),
    );
    xml.element("TechnicalDetails", |xml| {
        let reference = format!("T{}", lyrics.number);
        xml.text("TechnicalResourceDetailsReference", &reference);
        xml.text("TextCodecType", vocabulary::UTF8_TEXT);
        file(plan, lyrics.file, xml);
    });
    if let Some(language) = sung(&track.language) {
        xml.text("LanguageOfText", language);
    }
}

/// The language of words: music without any has none.
fn sung(language: &str) -> Option<&str> {
    language::language_tag(language).filter(|tag| *tag != "zxx")
}

/// A file; where it does not go with the message, only that.
fn file(plan: &Plan<'_>, file: &PackagedFile, xml: &mut Document) {
    if !plan.has_media {
        xml.text("IsProvidedInDelivery", "false");
        return;
    }
    xml.element("File", |xml| {
        xml.text("URI", &format!("{RESOURCES}/{}", file.name));
        xml.element("HashSum", |xml| {
            xml.text("Algorithm", vocabulary::HASH_ALGORITHM);
            xml.text("HashSumValue", &file.md5);
        });
        // In kilobytes, to the byte.
        xml.text("FileSize", &thousandths(file.size));
    });
}

/// The recording's version: by its subtitle, or where it has none by what the release is.
fn version(plan: &Plan<'_>, recording: &Recording<'_>) -> Option<&'static str> {
    match recording.track.track.subtitle.as_deref().map(str::trim) {
        Some(subtitle) if !subtitle.is_empty() => vocabulary::version(subtitle),
        _ => vocabulary::release_version(plan.package.release.release_type),
    }
}

/// When the recording was first published. A ℗ line of another year knows it better than the
/// release's date; a compilation's date says nothing about its recordings.
pub(super) fn first_publication(plan: &Plan<'_>, recording: &Recording<'_>) -> Option<String> {
    let release = &plan.package.release;
    let first_release = release
        .original_release_date
        .unwrap_or(release.release_date);
    match recording.track.track.p_line.as_ref().map(|line| line.year) {
        Some(year) if year != first_release.year() => {
            (1..=9999).contains(&year).then(|| format!("{year:04}"))
        }
        _ if release.release_type == ReleaseType::Compilation => None,
        _ => Some(date(first_release)),
    }
}

/// A thousandth part as a decimal number without needless zeros: 44100 as `44.1`.
pub(super) fn thousandths(count: u64) -> String {
    let text = format!("{}.{:03}", count / 1000, count % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousandths_are_exact() {
        assert_eq!(thousandths(44_100), "44.1");
        assert_eq!(thousandths(48_000), "48");
        assert_eq!(thousandths(1), "0.001");
        assert_eq!(thousandths(0), "0");
    }
}
