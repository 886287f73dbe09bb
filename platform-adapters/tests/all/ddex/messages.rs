//! What messages say, and that DDEX's schema takes them.

use std::collections::BTreeSet;

use platform_adapters::{
    Code, Handover, Kind,
    ddex::{Version, build, read_message, read_resources},
    package::Package,
    release::{Credits, Musician, ReleaseType, Territories, Vocalist},
};
use proptest::prelude::*;
use serde_json::json;

use super::{
    releases::{
        album, compilation, handover, live, package, platform, remix, single, track, without_files,
    },
    schemas::schemas,
};

/// The message of an insert, by the default settings.
fn message(package: &Package) -> String {
    message_with(json!({}), Kind::Insert, package)
}

#[allow(clippy::unwrap_used, reason = "called by tests only")]
fn message_with(specs: serde_json::Value, kind: Kind, package: &Package) -> String {
    let message = build(&platform(specs), &handover(kind), package).unwrap();
    String::from_utf8(message.xml).unwrap()
}

fn count(xml: &str, part: &str) -> usize {
    xml.matches(part).count()
}

#[test]
fn the_same_handover_gives_the_same_bytes() {
    let package = album();
    assert_eq!(message(&package), message(&package));
    let mut later = handover(Kind::Insert);
    later.transmission = 2;
    later.started_at += chrono::Duration::seconds(1);
    let resend = build(&platform(json!({})), &later, &package).unwrap();
    let resend = String::from_utf8(resend.xml).unwrap();
    let first = message(&package);
    let differing: Vec<_> = first
        .lines()
        .zip(resend.lines())
        .filter(|(one, other)| one != other)
        .map(|(one, _)| one.trim().split(['<', '>']).nth(1).unwrap())
        .collect();
    assert_eq!(differing, ["MessageId", "MessageCreatedDateTime"]);
    assert_eq!(first.lines().count(), resend.lines().count());
}

#[test]
fn a_recipient_reads_what_was_meant() {
    let package = album();
    let built = build(&platform(json!({})), &handover(Kind::Insert), &package).unwrap();
    let read = read_message(&built.xml).unwrap();
    assert_eq!(read.message_id, handover(Kind::Insert).key());
    assert_eq!(read.sender, "PADPIDA2014120301C");
    assert_eq!(read.recipient, "PADPIDA2009101501Y");
    let release = read.release;
    assert_eq!(release.icpn, "0036000291452");
    assert_eq!(release.title, "Étoile & <Sable> \"d'été\"");
    assert_eq!(release.subtitle.as_deref(), Some("Deluxe Edition"));
    assert!(read.has_deals && !read.is_test);
    let files: Vec<_> = package.files().collect();
    assert_eq!(read.resources.len(), 7);
    for (resource, file) in read.resources.iter().zip(files) {
        assert_eq!(resource.uri, format!("resources/{}", file.name));
        assert_eq!(resource.hash, file.md5);
        assert_eq!(resource.algorithm, "MD5");
        assert_eq!(resource.size_bytes, Some(file.size));
    }
    assert_eq!(read_resources(&built.xml).unwrap(), read.resources);
}

#[test]
fn each_primary_resource_has_its_track_release_and_its_deal() {
    let xml = message(&album());
    assert_eq!(count(&xml, "<SoundRecording>"), 6);
    assert_eq!(count(&xml, "<TrackRelease>"), 6);
    assert_eq!(count(&xml, "<Image>"), 1);
    for number in 0..=6 {
        let deal = format!("<DealReleaseReference>R{number}</DealReleaseReference>");
        assert_eq!(count(&xml, &deal), 1, "{deal}");
    }
    assert_eq!(count(&xml, "ResourceGroupType=\"Component\""), 2);
    assert_eq!(count(&xml, "<ExcludedTerritoryCode>KP<"), 2);
    assert!(!xml.contains("<TerritoryCode>"));
}

#[test]
fn the_profile_follows_release_and_settings() {
    let chosen = |specs, package: &Package| {
        let xml = message_with(specs, Kind::Insert, package);
        (
            xml.contains("ReleaseProfileVersionId=\"SimpleAudioSingle\""),
            count(&xml, "<TrackRelease>"),
        )
    };
    assert_eq!(chosen(json!({}), &single()), (true, 0));
    assert_eq!(chosen(json!({"profile": "Audio"}), &single()), (false, 1));
    // Whether or not this one has any.
    assert_eq!(chosen(json!({"lyrics": true}), &single()), (false, 1));
    let two = package(ReleaseType::Single, vec![track(1, 1), track(1, 2)]);
    assert_eq!(chosen(json!({}), &two), (false, 2));
    let fault = build(
        &platform(json!({"profile": "SimpleAudioSingle"})),
        &handover(Kind::Insert),
        &two,
    )
    .unwrap_err();
    assert_eq!(fault.code, Code::Unsupported);
    assert!(fault.message.contains("has 2 tracks"), "{fault}");
}

#[test]
fn settings_that_are_not_spoken_are_named() {
    for (specs, words) in [
        (json!({"version": "4.2"}), "ddex.version"),
        (
            json!({"choreography": "batch", "takedown": "purge"}),
            "ddex.takedown",
        ),
        (
            json!({"choreography": "batch", "purge": true}),
            "ddex.purge",
        ),
        (
            json!({"profile": "SimpleAudioSingle", "lyrics": true}),
            "no place for lyrics",
        ),
        (json!({"profile": "DjMix"}), "\"DjMix\""),
        (
            json!({"version": "3.8.2", "profile": "Audio"}),
            "AudioAlbumMusicOnly, AudioSingle",
        ),
        (
            json!({"use_types": {"subscription": ["on demand"]}}),
            "ddex.use_types",
        ),
        (json!({"models": ["rental"]}), "\"rental\""),
        (json!({"models": []}), "ddex.models"),
    ] {
        let fault = build(&platform(specs), &handover(Kind::Insert), &single()).unwrap_err();
        assert_eq!(fault.code, Code::SettingsInvalid);
        assert!(
            fault.message.contains(words) && fault.message.contains("Nordlys"),
            "{fault}"
        );
    }
}

#[test]
fn a_takedown_is_a_purge_where_that_is_asked_for() {
    let mut takedown = handover(Kind::Takedown);
    let of = |handover: &Handover| {
        let package = without_files(single());
        let message = build(&platform(json!({"purge": true})), handover, &package).unwrap();
        read_message(&message.xml).unwrap().is_purge
    };
    assert!(!of(&takedown));
    takedown.purges = true;
    assert!(of(&takedown));
}

#[test]
fn only_a_takedown_has_no_deal() {
    let mut nowhere = single();
    nowhere.territories = Territories::Only(Vec::new());
    let fault = build(&platform(json!({})), &handover(Kind::Update), &nowhere).unwrap_err();
    assert_eq!(fault.code, Code::PackageInvalid);
    let takedown = build(
        &platform(json!({})),
        &handover(Kind::Takedown),
        &without_files(nowhere),
    )
    .unwrap();
    assert!(takedown.files.is_empty());
    let read = read_message(&takedown.xml).unwrap();
    assert!(!read.has_deals && read.resources.is_empty());
}

#[test]
fn a_recording_that_plays_twice_is_sent_once() {
    let mut again = track(2, 1);
    again.isrc = track(1, 1).isrc;
    again.audio = track(1, 1).audio;
    let twice = package(
        ReleaseType::Album,
        vec![track(1, 1), track(1, 2), again.clone()],
    );
    let built = build(&platform(json!({})), &handover(Kind::Insert), &twice).unwrap();
    let xml = String::from_utf8(built.xml).unwrap();
    assert_eq!(built.files.len(), 3);
    assert_eq!(count(&xml, "<SoundRecording>"), 2);
    assert_eq!(count(&xml, "<TrackRelease>"), 2);
    assert_eq!(
        count(
            &xml,
            "<ReleaseResourceReference>A1</ReleaseResourceReference>"
        ),
        3
    );
    // The same code on other audio is another recording, under an id of its own.
    again.audio = track(2, 1).audio;
    let wrong_code = package(ReleaseType::Album, vec![track(1, 1), again]);
    let xml = message(&wrong_code);
    assert_eq!(count(&xml, "<SoundRecording>"), 2);
    assert_eq!(count(&xml, ">0036000291452_DEA1B2500101<"), 1);
    assert_eq!(count(&xml, ">0036000291452_DEA1B2500101_2<"), 1);
}

#[test]
fn artists_and_contributors_are_credited_once_with_all_their_roles() {
    let xml = message(&single());
    let names: Vec<&str> = xml
        .lines()
        .filter_map(|line| line.trim().strip_prefix("<FullName>"))
        .collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len(), "{names:?}");
    assert_eq!(count(&xml, "<Role>MixingEngineer</Role>"), 1);
    assert!(xml.contains("O&apos;Neil &lt;Jr&gt;"), "{xml}");
    assert!(xml.contains("UserDefinedValue=\"Nyckelharpa\">UserDefined</InstrumentType>"));
    assert!(xml.contains("<InstrumentType>ElectricBassGuitar</InstrumentType>"));
    assert_eq!(count(&xml, "FeaturedArtist"), 4);
}

#[test]
fn various_artists_are_one_name_on_the_release_and_themselves_on_their_tracks() {
    let xml = message(&compilation());
    assert!(xml.contains("<IsMultiArtistCompilation>true</IsMultiArtistCompilation>"));
    assert_eq!(count(&xml, "<FullName>Various Artists</FullName>"), 1);
    assert_eq!(count(&xml, ">Various Artists</DisplayArtistName>"), 1);
    assert_eq!(count(&xml, ">美咲</DisplayArtistName>"), 1);
}

#[test]
fn versions_are_told_by_subtitle_and_release() {
    let xml = message(&remix());
    assert_eq!(count(&xml, "<VersionType>RemixVersion</VersionType>"), 3);
    assert_eq!(count(&message(&live()), ">LiveVersion<"), 8);
}

/// Any text, with what XML cannot carry and what it must escape more often than by chance.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[a-zA-Z é夢م&<>\"']{0,12}",
        Just("]]>".to_owned()),
        Just("\u{0}\u{b}\u{fffe}\r\n\t".to_owned()),
        Just("&amp;&#0;<!--".to_owned()),
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

#[test]
fn any_text_gives_a_well_formed_message_and_samples_are_valid() {
    let schemas = schemas("any_text_gives_a_well_formed_message_and_samples_are_valid");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let texts = prop::collection::vec(any_text(), 12);
    let cases = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let checked = runner.run(&texts, |texts| {
        let mut package = single();
        fill(&mut package, &texts);
        let xml = message_with(json!({"sender_name": texts[0]}), Kind::Insert, &package);
        prop_assert!(read_message(xml.as_bytes()).is_ok(), "{xml}");
        cases.set(cases.get() + 1);
        if let Some(schemas) = schemas.as_ref().filter(|_| cases.get() % 8 == 0) {
            let valid = runtime.block_on(schemas.validate(
                Version::Ern43.namespace(),
                "any.xml",
                xml.as_bytes(),
            ));
            prop_assert!(valid.is_ok(), "{:?}\n{xml}", valid);
        }
        Ok(())
    });
    checked.unwrap();
}

fn fill(package: &mut Package, texts: &[String]) {
    let text = |at: usize| texts.get(at).cloned().unwrap_or_default();
    let musician = Musician {
        name: text(5),
        role: text(6),
        instrument: Some(text(7)),
    };
    let credits = Credits {
        primary_artist: vec![text(1), text(2)],
        featured_artists: vec![text(3)],
        composers: vec![text(4), text(1)],
        musicians: vec![musician],
        vocalists: vec![Vocalist {
            name: text(8),
            role: text(6),
        }],
        ..Credits::default()
    };
    let release = &mut package.release;
    // The package check sees to it that these hold something to read.
    release.title = format!("T{}", text(0));
    release.label = format!("L{}", text(9));
    release.display_artist = format!("A{}", text(1));
    release.subtitle = Some(text(10));
    release.genre = Some(text(11));
    release.language = text(6);
    release.credits = credits.clone();
    for track in &mut package.tracks {
        track.track.title = text(2);
        track.track.subtitle = Some(text(10));
        track.track.display_artist = format!("A{}", text(3));
        track.track.iswc = Some(text(4));
        track.track.language = text(7);
        track.track.credits = credits.clone();
    }
}
