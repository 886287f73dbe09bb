//! `ResourceList` of ERN 3.8.2.

use super::super::{
    super::xml::Document,
    Plan, Recording,
    credits::{Contributor, Instrument},
    duration, iso_duration, language,
    plan::Lyrics,
    resources::{RESOURCES, first_publication, is_instrumental, thousandths, write_list},
    rights,
    vocabulary::{self, Ern3Role},
};
use super::{everywhere, namespace, party_name, reference_title, write_artists, write_titles};
use crate::{
    package::{PackagedArtwork, PackagedAudio, PackagedFile},
    release::Iswc,
};

/// Writes `ResourceList`.
pub(super) fn write(plan: &Plan<'_>, xml: &mut Document) {
    write_list(plan, xml, sound_recording, image, text);
}

fn sound_recording(plan: &Plan<'_>, recording: &Recording<'_>, xml: &mut Document) {
    let track = &recording.track.track;
    xml.text("SoundRecordingType", "MusicalWorkSoundRecording");
    xml.element("SoundRecordingId", |xml| {
        xml.text("ISRC", recording.track.isrc.as_str());
    });
    if let Some(Ok(iswc)) = track.iswc.as_deref().map(str::parse::<Iswc>) {
        xml.element("IndirectSoundRecordingId", |xml| {
            xml.text("ISWC", iswc.as_str())
        });
    }
    xml.text("ResourceReference", &recording.resource_reference());
    reference_title(&track.title, track.subtitle.as_deref(), xml);
    if is_instrumental(plan, recording) {
        xml.text("IsInstrumental", "true");
    }
    let language = language::language_tag(&track.language);
    if let Some(language) = language.filter(|tag| language::is_ern3_language(tag)) {
        xml.text("LanguageOfPerformance", language);
    }
    xml.text("Duration", &iso_duration(duration(recording.track)));
    xml.element("SoundRecordingDetailsByTerritory", |xml| {
        details(plan, recording, xml);
    });
}

fn details(plan: &Plan<'_>, recording: &Recording<'_>, xml: &mut Document) {
    let track = &recording.track.track;
    everywhere(xml);
    write_titles(&track.title, track.subtitle.as_deref(), xml);
    write_artists(plan, &recording.artists, xml);
    contributors(plan, &recording.contributors, xml);
    xml.text(
        "DisplayArtistName",
        vocabulary::shown(&track.display_artist),
    );
    xml.text("LabelName", &plan.package.release.label);
    if let Some(first) = first_publication(plan, recording) {
        xml.text("ResourceReleaseDate", &first);
    }
    let line = rights::p_line(track.p_line.as_ref(), plan.package);
    rights::write(&line, 'P', xml);
    super::releases::genre(plan, Some(recording.track), xml);
    xml.text(
        "ParentalWarningType",
        vocabulary::parental_warning(track.is_explicit),
    );
    if let Some(audio) = recording.track.audio.as_ref().filter(|_| plan.has_media) {
        xml.element("TechnicalSoundRecordingDetails", |xml| {
            audio_details(recording.number, audio, xml);
        });
    }
}

/// First those who made the recording, then those who made the work.
fn contributors(plan: &Plan<'_>, contributors: &[Contributor], xml: &mut Document) {
    let of_recording = |role| match role {
        Ern3Role::OfRecording(role) => Some(role),
        Ern3Role::OfWork(_) => None,
    };
    let of_work = |role| match role {
        Ern3Role::OfWork(role) => Some(role),
        Ern3Role::OfRecording(_) => None,
    };
    for (place, (contributor, roles)) in with_roles(contributors, of_recording).enumerate() {
        let place = (place + 1).to_string();
        xml.element_with(
            "ResourceContributor",
            &[("SequenceNumber", &place)],
            |xml| {
                party_name(plan, &contributor.party, xml);
                for role in roles {
                    xml.text("ResourceContributorRole", role);
                }
                for instrument in &contributor.instruments {
                    xml.text("InstrumentType", instrument_word(instrument));
                }
            },
        );
    }
    for (place, (contributor, roles)) in with_roles(contributors, of_work).enumerate() {
        let place = (place + 1).to_string();
        let sequence = [("SequenceNumber", place.as_str())];
        xml.element_with("IndirectResourceContributor", &sequence, |xml| {
            party_name(plan, &contributor.party, xml);
            for role in roles {
                xml.text("IndirectResourceContributorRole", role);
            }
        });
    }
}

fn instrument_word(instrument: &Instrument) -> &str {
    match instrument {
        Instrument::Known(word) => word,
        Instrument::Own(word) => word,
    }
}

/// Those who have roles of one side, with these, each once: several of ours can be one of theirs.
fn with_roles(
    contributors: &[Contributor],
    side: impl Fn(Ern3Role) -> Option<&'static str>,
) -> impl Iterator<Item = (&Contributor, Vec<&'static str>)> {
    contributors.iter().filter_map(move |contributor| {
        let mut roles = Vec::new();
        for role in &contributor.roles {
            if let Some(role) = side(vocabulary::ern3_role(role))
                && !roles.contains(&role)
            {
                roles.push(role);
            }
        }
        (!roles.is_empty()).then_some((contributor, roles))
    })
}

fn audio_details(number: usize, audio: &PackagedAudio, xml: &mut Document) {
    let properties = &audio.properties;
    xml.text("TechnicalResourceDetailsReference", &format!("T{number}"));
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
    file(&audio.file, xml);
}

fn image(plan: &Plan<'_>, xml: &mut Document) {
    let number = plan.cover_number();
    xml.text("ImageType", "FrontCoverImage");
    xml.element("ImageId", |xml| {
        xml.text_with(
            "ProprietaryId",
            &[("Namespace", &namespace(plan))],
            &format!("{}_COVER", plan.icpn),
        );
    });
    xml.text("ResourceReference", &format!("A{number}"));
    xml.element("ImageDetailsByTerritory", |xml| {
        everywhere(xml);
        xml.text("ParentalWarningType", vocabulary::parental_warning(false));
        if let Some(artwork) = plan.package.artwork.as_ref().filter(|_| plan.has_media) {
            xml.element("TechnicalImageDetails", |xml| {
                image_details(number, artwork, xml);
            });
        }
    });
}

fn image_details(number: usize, artwork: &PackagedArtwork, xml: &mut Document) {
    let pixels = [("UnitOfMeasure", "Pixel")];
    xml.text("TechnicalResourceDetailsReference", &format!("T{number}"));
    xml.text("ImageCodecType", vocabulary::image_codec(artwork.format));
    xml.text_with("ImageHeight", &pixels, &artwork.height_px.to_string());
    xml.text_with("ImageWidth", &pixels, &artwork.width_px.to_string());
    file(&artwork.file, xml);
}

/// The words of a recording, a secondary resource of the release.
fn text(plan: &Plan<'_>, lyrics: &Lyrics<'_, '_>, xml: &mut Document) {
    let track = &lyrics.recording.track.track;
    xml.text("TextType", vocabulary::LYRICS);
    xml.element("TextId", |xml| {
        let namespace = namespace(plan);
        let attributes = [("Namespace", namespace.as_str())];
        xml.text_with("ProprietaryId", &attributes, &lyrics.id());
    });
    if let Some(Ok(iswc)) = track.iswc.as_deref().map(str::parse::<Iswc>) {
        xml.element("IndirectTextId", |xml| xml.text("ISWC", iswc.as_str()));
    }
    xml.text("ResourceReference", &lyrics.resource_reference());
    xml.element("TextDetailsByTerritory", |xml| {
        everywhere(xml);
        write_titles(&track.title, track.subtitle.as_deref(), xml);
        xml.text(
            "ParentalWarningType",
            vocabulary::parental_warning(track.is_explicit),
        );
        if plan.has_media {
            xml.element("TechnicalTextDetails", |xml| {
                text_details(plan, lyrics, xml)
            });
        }
    });
}

fn text_details(plan: &Plan<'_>, lyrics: &Lyrics<'_, '_>, xml: &mut Document) {
    let reference = format!("T{}", lyrics.number);
    xml.text("TechnicalResourceDetailsReference", &reference);
    if lyrics.is_ascii() {
        xml.text("TextCodecType", "ASCII");
    } else {
        let namespace = namespace(plan);
        let attributes = [
            ("Namespace", namespace.as_str()),
            ("UserDefinedValue", vocabulary::UTF8_TEXT),
        ];
        xml.text_with("TextCodecType", &attributes, "UserDefined");
    }
    file(lyrics.file, xml);
}

fn file(file: &PackagedFile, xml: &mut Document) {
    xml.element("File", |xml| {
        xml.text("FileName", &file.name);
        xml.text("FilePath", &format!("{RESOURCES}/"));
        xml.element("HashSum", |xml| {
            xml.text("HashSum", &file.md5);
            xml.text("HashSumAlgorithmType", vocabulary::HASH_ALGORITHM);
        });
    });
}
