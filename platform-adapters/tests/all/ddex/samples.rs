//! DDEX's own samples: what they say is read, as far as our model carries it.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs;

use platform_adapters::ddex::{ReceivedMessage, Version, read_message};

use super::schemas::directory;

fn sample(path: &str) -> Option<ReceivedMessage> {
    let path = directory("DDEX's samples")?.join("samples").join(path);
    Some(read_message(&fs::read(path).unwrap()).unwrap())
}

#[test]
fn every_release_notification_is_read() {
    let Some(directory) = directory("every_release_notification_is_read") else {
        return;
    };
    let mut read = 0;
    for version in ["ern43", "ern382"] {
        for entry in fs::read_dir(directory.join("samples").join(version)).unwrap() {
            let path = entry.unwrap().path();
            let xml = fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&xml);
            let is_notification = ["NewReleaseMessage", "PurgeReleaseMessage"]
                .iter()
                .any(|name| text.contains(&format!(":{name}")));
            let message = read_message(&xml);
            assert_eq!(message.is_ok(), is_notification, "{path:?}: {message:?}");
            read += usize::from(is_notification);
        }
    }
    assert!(read >= 16, "{read}");
}

#[test]
fn an_album_of_4_3_is_read() {
    let Some(album) = sample("ern43/1_Audio.xml") else {
        return;
    };
    assert_eq!(album.version, Version::Ern43);
    let release = &album.release;
    assert_eq!(release.icpn, "00094631432057");
    assert_eq!(release.title, "Yume no Hajmari");
    assert_eq!(release.display_artist, "Saeko Shu");
    assert_eq!(
        (release.genre.as_str(), &release.sub_genre),
        ("J-Pop", &None)
    );
    assert_eq!(album.recordings.len(), 21);
    assert_eq!(release.discs.len(), 1);
    assert_eq!(release.discs[0].len(), 21);
    let second = &album.recordings[1];
    assert_eq!(second.isrc, "JPTO09404910");
    assert_eq!(
        second.p_line.as_deref(),
        Some("(P) 1994 EMI Music Japan Inc.")
    );
    let artist = ("Saeko Shu".to_owned(), "MainArtist".to_owned());
    assert_eq!(second.artists, [artist]);
    assert_eq!(album.deals.len(), 3);
    assert!(album.has_deals);
    assert_eq!(album.deals[0].releases.len(), 21);
    assert_eq!(album.deals[0].territories, ["JP"]);
    assert_eq!(album.deals[0].start.as_deref(), Some("2004-04-01"));
    assert_eq!(album.resources[0].uri, "0094631432057_01_001.wav");
}

#[test]
fn an_album_of_3_8_2_is_read() {
    let Some(album) = sample("ern382/Profile_AudioAlbumMusicOnly.xml") else {
        return;
    };
    assert_eq!(album.version, Version::Ern382);
    let release = &album.release;
    assert_eq!(release.title, "A Monkey Claw in a Velvet Glove");
    assert_eq!(release.label, "Iron Crown Music");
    assert_eq!(release.sub_genre.as_deref(), Some("Progressive Metal"));
    assert_eq!(release.c_line.as_deref(), Some("(C) 2010 Iron Crown Music"));
    assert_eq!(release.discs, [["A1", "A2", "A3", "A4", "A5", "A6"]]);
    assert_eq!(album.recordings.len(), 6);
    let first = &album.recordings[0];
    assert_eq!(first.isrc, "CASE00000001");
    assert_eq!(first.iswc.as_deref(), Some("T1234567890"));
    let pairs = [("Steve Albino", "Producer"), ("Bob Black", "Composer")];
    let pairs = pairs.map(|(name, role)| (name.to_owned(), role.to_owned()));
    assert_eq!(first.contributors, pairs);
    assert_eq!(first.duration, "PT13M31S");
    assert_eq!(album.resources[0].uri, "A1UCASE0000000401X_01_01.wav");
}

#[test]
fn the_life_of_a_release_is_read() {
    let life = [
        ("InitialWorldwideDeal", vec!["Worldwide"], true),
        (
            "AdditionalTerritorialClearancesGrant",
            vec!["CA", "DE", "GB", "US"],
            true,
        ),
        ("Takedown", vec!["US"], true),
    ];
    for (name, territories, has_deals) in life {
        let Some(message) = sample(&format!("ern382/LiveCycle_{name}.xml")) else {
            return;
        };
        assert_eq!(message.deals[0].territories, territories, "{name}");
        // DDEX's takedown is sent ahead of the end that it names.
        assert_eq!(message.has_deals, has_deals, "{name}");
    }
    let takedown = sample("ern382/LiveCycle_Takedown.xml").unwrap();
    assert_eq!(takedown.deals[0].end.as_deref(), Some("2015-10-01"));
    let purge = sample("ern382/LiveCycle_PurgeReleases.xml").unwrap();
    assert!(purge.is_purge && !takedown.is_purge && !purge.has_deals);
    assert_eq!(purge.release.icpn, "123451234509");
    assert_eq!(purge.release.title, "Boogie Man");
}
