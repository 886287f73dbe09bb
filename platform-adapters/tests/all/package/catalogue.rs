//! What the check says about the catalogue's own words: identifiers, numbers, texts, territories.

use platform_adapters::release::{Musician, ReleaseType, RightsLine, Territories};

use super::{findings_for, problems, words};
use crate::fixtures::{self, Fixture};

#[tokio::test]
async fn a_release_without_tracks() {
    let fixture = Fixture::new();
    let release = fixture.release(ReleaseType::Album, 0);
    assert_eq!(problems(&fixture, &release).await, ["tracks: are missing"]);
}

#[tokio::test]
async fn identifiers() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Ep, 4);
    release.upc = Some(String::new());
    release.tracks[0].isrc = Some("DE-A1B-25-00001".into());
    release.tracks[1].isrc = Some("DEA1B25000".into());
    release.tracks[2].isrc = Some("dea1b2500001".into());
    assert_eq!(
        problems(&fixture, &release).await,
        [
            "upc: is missing",
            "track 2 isrc: \"DEA1B25000\" is not an ISRC: it takes two letters, three letters or \
             digits, seven digits",
            "track 3 isrc: DEA1B2500001 is also the ISRC of track 1",
        ]
    );
}

#[tokio::test]
async fn tracks_without_any_number_are_numbered_in_their_order() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Ep, 4);
    for track in &mut release.tracks {
        track.number = None;
    }
    release.tracks[2].disc = 2;
    release.tracks[3].disc = 2;
    let package = fixture.package(&release).await;
    let places: Vec<_> = package
        .tracks
        .iter()
        .map(|packaged| {
            (
                packaged.track.title.as_str(),
                packaged.track.disc,
                packaged.number,
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            ("Wave 1", 1, 1),
            ("Wave 2", 1, 2),
            ("Wave 3", 2, 1),
            ("Wave 4", 2, 2)
        ]
    );
    let upc = &package.upc;
    assert_eq!(
        package.files().nth(3).unwrap().name,
        format!("{upc}_02_002.flac")
    );
}

#[tokio::test]
async fn tracks_come_in_the_order_of_their_numbers() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Ep, 3);
    release.tracks.reverse();
    let package = fixture.package(&release).await;
    let titles: Vec<_> = package.tracks.iter().map(|t| &t.track.title).collect();
    assert_eq!(titles, ["Wave 1", "Wave 2", "Wave 3"]);
}

#[tokio::test]
async fn numbers_with_gaps_repetitions_or_holes() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Ep, 3);
    release.tracks[2].number = Some(4);
    assert_eq!(
        problems(&fixture, &release).await,
        ["track numbers: are 1, 2, 4, they must go from 1 to 3"]
    );
    release.tracks[2].number = Some(2);
    assert_eq!(
        problems(&fixture, &release).await,
        ["track numbers: are 1, 2, 2, they must go from 1 to 3"]
    );
    release.tracks[2].number = None;
    assert_eq!(
        problems(&fixture, &release).await,
        ["track numbers: are none, 1, 2, they must go from 1 to 3"]
    );
    release.tracks[2].number = Some(1);
    release.tracks[2].disc = 3;
    assert_eq!(
        problems(&fixture, &release).await,
        ["disc 3: is number 2 of the release's discs in order"]
    );
}

#[tokio::test]
async fn texts_that_are_empty_or_cannot_be_carried() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Single, 1);
    release.title = "a\0b".into();
    release.display_artist = String::new();
    release.c_line = Some(RightsLine {
        year: 2025,
        text: "\u{FFFE}".into(),
    });
    release.credits.musicians = vec![Musician {
        name: String::new(),
        role: String::new(),
        instrument: None,
    }];
    release.tracks[0].title = "\t".into();
    release.tracks[0].credits.composers = vec!["J\u{1b}n".into()];
    let carry = "which no message can carry";
    assert_eq!(
        problems(&fixture, &release).await,
        [
            format!("title: \"a\\0b\" holds the character U+0000, {carry}"),
            "display artist: is empty".into(),
            format!("c_line: \"\\u{{fffe}}\" holds the character U+FFFE, {carry}"),
            "credits.musicians: is empty".into(),
            "track 1 title: is empty".into(),
            format!("track 1 title: \"\\t\" holds the character U+0009, {carry}"),
            format!(
                "track 1 credits.composers: \"J\\u{{1b}}n\" holds the character U+001B, {carry}"
            ),
        ]
    );
}

#[tokio::test]
async fn territories() {
    let fixture = Fixture::new();
    let mut release = fixture.release(ReleaseType::Single, 1);
    let mut platform = fixtures::platform();
    platform.territory_restrictions = vec!["DE".into(), "KP".into()];

    let package = platform_adapters::package::assemble(
        &release,
        &platform,
        platform_adapters::Kind::Insert,
        &fixture.assets,
    )
    .await
    .unwrap();
    assert_eq!(
        package.territories,
        Territories::WorldwideExcept(vec!["DE".into(), "KP".into()])
    );

    let nothing = "territories: leave nothing where platform 7 (\"Nordlys\") may sell the release";
    release.territories = Territories::Only(vec!["DE".into()]);
    let found = words(findings_for(&fixture, &release, &platform).await);
    assert_eq!(found, [nothing]);
    release.territories = Territories::Only(vec!["SE".into(), "EU".into(), "se".into()]);
    let found = words(findings_for(&fixture, &release, &platform).await);
    assert_eq!(found, ["territories: EU, se: no ISO 3166-1 code"]);
}
