//! Packages to make messages of. A message needs no files, only what is known of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use chrono::{NaiveDate, TimeZone, Utc};
use platform_adapters::{
    Handover, Kind,
    package::{
        AudioCodec, AudioProperties, ImageFormat, Package, PackagedArtwork, PackagedAudio,
        PackagedFile, PackagedTrack,
    },
    release::{
        Credits, Musician, Release, ReleaseAvailability, ReleaseType, RightsLine, Territories,
        Track, TrackAvailability, Upc, Vocalist,
    },
    settings::{Platform, PlatformRow},
};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) const UPC: &str = "036000291452";

/// A DDEX platform with these additions to `format_specs.ddex`.
pub(super) fn platform(specs: Value) -> Platform {
    let mut ddex = json!({
        "sender_dpid": "PADPIDA2014120301C",
        "recipient_dpid": "PADPIDA2009101501Y",
    });
    let members = ddex.as_object_mut().unwrap();
    members.extend(specs.as_object().unwrap().clone());
    Platform::from_row(&PlatformRow {
        id: 7,
        name: "Nordlys".into(),
        api_endpoint: Some("sftp://127.0.0.1:2222/incoming".into()),
        delivery_method: "DDEX".into(),
        format_specs: Some(json!({"ddex": ddex})),
        ..PlatformRow::default()
    })
    .unwrap()
}

pub(super) fn handover(kind: Kind) -> Handover {
    Handover {
        delivery: Uuid::from_u128(0x0190_5a7d_3c1e_7b42_9f00_1234_5678_9abc),
        kind,
        revision: 1,
        transmission: 1,
        partner_release_id: None,
        started_at: Utc.timestamp_millis_opt(1_764_000_000_042).unwrap(),
        batch: None,
        last_stated: None,
        resend_of: None,
        purges: false,
    }
}

/// A release with these tracks, in English, everywhere.
pub(super) fn package(release_type: ReleaseType, tracks: Vec<PackagedTrack>) -> Package {
    let release = Release {
        id: 1,
        title: "Über den Wellen".into(),
        subtitle: None,
        release_type,
        upc: Some(UPC.into()),
        display_artist: "Åsa Nørgård".into(),
        label: "Nordlicht Records".into(),
        p_line: Some(rights("Nordlicht Records")),
        c_line: Some(rights("Nordlicht Publishing")),
        genre: Some("Electronic".into()),
        sub_genre: None,
        language: "en".into(),
        is_explicit: false,
        release_date: day(2025, 11, 28),
        original_release_date: None,
        availability: ReleaseAvailability::default(),
        artwork: Some("front.jpg".into()),
        credits: Credits {
            primary_artist: vec!["Åsa Nørgård".into()],
            ..Credits::default()
        },
        territories: Territories::Worldwide,
        tracks: tracks.iter().map(|track| track.track.clone()).collect(),
    };
    Package {
        release,
        upc: UPC.parse::<Upc>().unwrap(),
        tracks,
        artwork: Some(PackagedArtwork {
            file: file("0036000291452.jpg", 900, 1_234_567, "image/jpeg"),
            format: ImageFormat::Jpeg,
            width_px: 3000,
            height_px: 3000,
        }),
        territories: Territories::Worldwide,
    }
}

/// A track of a recording of its own: odd ones in WAV, even ones in FLAC.
pub(super) fn track(disc: u32, number: u32) -> PackagedTrack {
    let which = disc * 100 + number;
    let is_flac = number.is_multiple_of(2);
    let (extension, media_type) = if is_flac {
        ("flac", "audio/flac")
    } else {
        ("wav", "audio/wav")
    };
    PackagedTrack {
        track: Track {
            id: i32::try_from(which).unwrap(),
            title: format!("Wave {number}"),
            subtitle: None,
            display_artist: "Åsa Nørgård".into(),
            disc,
            number: Some(i32::try_from(number).unwrap()),
            isrc: None,
            iswc: None,
            duration_s: Some(180),
            audio_file: None,
            lyrics: None,
            is_explicit: false,
            genre: Some("Electronic".into()),
            sub_genre: None,
            language: "en".into(),
            p_line: Some(rights("Nordlicht Records")),
            availability: TrackAvailability::default(),
            credits: Credits {
                primary_artist: vec!["Åsa Nørgård".into()],
                composers: vec!["Åsa Nørgård".into()],
                ..Credits::default()
            },
        },
        number,
        isrc: format!("DEA1B25{which:05}").parse().unwrap(),
        audio: Some(PackagedAudio {
            file: file(
                &format!("0036000291452_{disc:02}_{number:03}.{extension}"),
                which,
                31_752_000 + u64::from(which),
                media_type,
            ),
            properties: AudioProperties {
                codec: if is_flac {
                    AudioCodec::Flac
                } else {
                    AudioCodec::Pcm
                },
                sample_rate_hz: if is_flac { 44_100 } else { 96_000 },
                bits_per_sample: if is_flac { 16 } else { 24 },
                channels: 2,
                duration: Duration::from_millis(180_000 + u64::from(which) * 1_237),
            },
        }),
        lyrics: None,
    }
}

/// What is left of a package when the release is taken down.
pub(super) fn without_files(mut package: Package) -> Package {
    package.artwork = None;
    for track in &mut package.tracks {
        track.audio = None;
    }
    package
}

fn file(name: &str, seed: u32, size: u64, media_type: &'static str) -> PackagedFile {
    PackagedFile {
        name: name.into(),
        path: object_store::path::Path::from(format!("releases/1/{name}")),
        text: None,
        size,
        sha256: format!("{seed:064x}"),
        md5: format!("{seed:032x}"),
        media_type,
    }
}

/// Lyrics as a package holds them.
pub(super) fn lyrics(name: &str, text: &'static str) -> PackagedFile {
    PackagedFile {
        text: Some(text.into()),
        ..file(name, 4711, text.len() as u64, "text/plain")
    }
}

pub(super) fn rights(text: &str) -> RightsLine {
    RightsLine {
        year: 2025,
        text: text.into(),
    }
}

pub(super) fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

/// A single in Japanese, explicit, with a featured artist and full credits.
pub(super) fn single() -> Package {
    let mut only = track(1, 1);
    let track = &mut only.track;
    track.title = "夢のはじまり".into();
    track.subtitle = Some("Radio Edit".into());
    track.display_artist = "美咲 feat. Jón Þór & «Ω»".into();
    track.iswc = Some("T-034.524.680-1".into());
    track.is_explicit = true;
    track.language = "ja".into();
    track.credits = Credits {
        primary_artist: vec!["美咲".into()],
        featured_artists: vec!["Jón Þór".into(), "«Ω»".into()],
        composers: vec!["美咲".into(), "O'Neil <Jr>".into()],
        lyricists: vec!["美咲".into()],
        producers: vec!["\"Q\" & Sons".into()],
        mixing_engineers: vec!["Dana Mix".into()],
        mastering_engineers: vec!["Dana Mix".into()],
        musicians: vec![
            Musician {
                name: "Per Bass".into(),
                role: "Session musician".into(),
                instrument: Some("Electric Bass".into()),
            },
            Musician {
                name: "Ida Harpe".into(),
                role: String::new(),
                instrument: Some("Nyckelharpa".into()),
            },
        ],
        vocalists: vec![Vocalist {
            name: "Kór".into(),
            role: "Backing vocals".into(),
        }],
    };
    let mut package = package(ReleaseType::Single, vec![only]);
    let release = &mut package.release;
    release.title = "夢のはじまり".into();
    release.display_artist = "美咲 feat. Jón Þór & «Ω»".into();
    release.language = "ja".into();
    release.genre = Some("J-Pop".into());
    release.is_explicit = true;
    release.credits = package.tracks[0].track.credits.clone();
    package
}

/// Four tracks in Arabic, one explicit, one instrumental, in some countries, bought and streamed.
pub(super) fn ep() -> Package {
    let mut tracks: Vec<_> = (1..=4).map(|number| track(1, number)).collect();
    tracks[0].track.title = "أمواج".into();
    tracks[1].track.is_explicit = true;
    tracks[2].track.language = "zxx".into();
    tracks[2].track.genre = None;
    let mut package = package(ReleaseType::Ep, tracks);
    package.release.title = "على الأمواج".into();
    package.release.subtitle = Some("نسخة خاصة".into());
    package.release.language = "ar".into();
    package.release.original_release_date = Some(day(2019, 3, 1));
    package.territories = Territories::Only(vec!["DE".into(), "EG".into(), "NO".into()]);
    package
}

/// Two discs, nearly everywhere.
pub(super) fn album() -> Package {
    let tracks = (1..=2)
        .flat_map(|disc| (1..=3).map(move |number| track(disc, number)))
        .collect();
    let mut package = package(ReleaseType::Album, tracks);
    package.release.title = "E\u{301}toile & <Sable> \"d'été\"".into();
    package.release.subtitle = Some("Deluxe Edition".into());
    package.territories = Territories::WorldwideExcept(vec!["CU".into(), "KP".into()]);
    package
}

/// Several artists.
pub(super) fn compilation() -> Package {
    let artists = ["Åsa Nørgård", "美咲", "Jón Þór", "The \"Q\""];
    let tracks = artists
        .iter()
        .zip(1..)
        .map(|(artist, number)| {
            let mut track = track(1, number);
            track.track.display_artist = (*artist).into();
            track.track.credits.primary_artist = vec![(*artist).into()];
            track.track.credits.composers = vec![(*artist).into()];
            track
        })
        .collect();
    let mut package = package(ReleaseType::Compilation, tracks);
    package.release.title = "Northern Lights 2025".into();
    package.release.display_artist = "Various artists".into();
    package.release.credits = Credits::default();
    package
}

/// A concert, without any credits of its tracks.
pub(super) fn live() -> Package {
    let mut tracks: Vec<_> = (1..=7).map(|number| track(1, number)).collect();
    for track in &mut tracks {
        track.track.credits = Credits::default();
        track.track.p_line = None;
    }
    let mut package = package(ReleaseType::Live, tracks);
    package.release.subtitle = Some("Live at Loppen".into());
    package.release.p_line = None;
    package.release.c_line = None;
    package
}

/// Remixes, with the original beside them.
pub(super) fn remix() -> Package {
    let mut tracks: Vec<_> = (1..=3).map(|number| track(1, number)).collect();
    for (track, version) in tracks
        .iter_mut()
        .zip(["Kölsch Remix", "Original", "Jlin rmx"])
    {
        track.track.title = "Wave".into();
        track.track.subtitle = Some(version.into());
    }
    package(ReleaseType::Remix, tracks)
}
