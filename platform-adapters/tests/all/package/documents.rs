//! The manifest and the metadata document, as bytes.

use chrono::{TimeZone, Utc};
use platform_adapters::{
    Evidence, Handover, Kind,
    package::{FileEntry, Manifest, Metadata, Package, PackagedFile, assemble},
    release::{Musician, Release, ReleaseType, Territories, Vocalist},
};
use uuid::Uuid;

use crate::fixtures::{self, Fixture};

fn handover(kind: Kind) -> Handover {
    Handover {
        delivery: Uuid::from_u128(7),
        kind,
        revision: 2,
        transmission: 1,
        partner_release_id: None,
        started_at: Utc.timestamp_millis_opt(1_764_000_000_042).unwrap(),
        batch: None,
        last_stated: None,
        resend_of: None,
        purges: false,
    }
}

/// A release with everything that the model holds.
fn full_release(fixture: &Fixture) -> Release {
    let mut release = fixture.release(ReleaseType::Ep, 2);
    release.title = "Über den Wellen".into();
    release.subtitle = Some("Deluxe Edition".into());
    release.upc = Some("0-36000-29145-2".into());
    release.original_release_date = release.release_date.pred_opt();
    release.territories = Territories::Only(vec!["DE".into(), "SE".into()]);
    release.credits.musicians = vec![Musician {
        name: "Jón Þór".into(),
        role: "guitarist".into(),
        instrument: Some("guitar".into()),
    }];
    release.tracks[0].isrc = Some("DE-A1B-25-00001".into());
    release.tracks[0].subtitle = Some("Radio Edit".into());
    release.tracks[0].iswc = Some("T-034.524.680-1".into());
    release.tracks[1].isrc = Some("DEA1B2500002".into());
    release.tracks[1].is_explicit = true;
    release.tracks[1].credits.vocalists = vec![Vocalist {
        name: "Åsa Nørgård".into(),
        role: "lead".into(),
    }];
    release
}

/// Replaces what depends on the encoders' versions.
fn fixed(mut package: Package) -> Package {
    let fix = |file: &mut PackagedFile| {
        file.size = 1234;
        file.sha256 = "5a".repeat(32);
        file.md5 = "5b".repeat(16);
    };
    for track in &mut package.tracks {
        fix(&mut track.audio.as_mut().unwrap().file);
    }
    fix(&mut package.artwork.as_mut().unwrap().file);
    package
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn metadata_says_all_that_the_model_holds() {
    let fixture = Fixture::new();
    let package = fixed(fixture.package(&full_release(&fixture)).await);
    let metadata = Metadata::for_handover(&handover(Kind::Update), &package);
    let bytes = metadata.to_bytes().unwrap();
    assert_eq!(
        serde_json::from_slice::<Metadata>(&bytes).unwrap(),
        metadata
    );
    insta::assert_snapshot!("metadata", text(bytes));
}

#[tokio::test]
async fn metadata_of_a_takedown_names_no_files() {
    let fixture = Fixture::new();
    let release = full_release(&fixture);
    let platform = fixtures::platform();
    let package = assemble(&release, &platform, Kind::Takedown, &fixture.assets)
        .await
        .unwrap();
    let metadata = Metadata::for_handover(&handover(Kind::Takedown), &package);
    assert!(metadata.artwork.is_none());
    assert!(metadata.tracks.iter().all(|track| track.audio.is_none()));
    let bytes = metadata.to_bytes().unwrap();
    assert_eq!(
        serde_json::from_slice::<Metadata>(&bytes).unwrap(),
        metadata
    );
    let manifest = Manifest::for_handover(&handover(Kind::Takedown), &package, &[]);
    assert!(manifest.files.is_empty());
}

#[tokio::test]
async fn the_manifest_lists_documents_and_files() {
    let fixture = Fixture::new();
    let package = fixed(fixture.package(&full_release(&fixture)).await);
    let document = Evidence {
        name: Metadata::FILE_NAME.into(),
        media_type: "application/json".into(),
        body: b"abc".to_vec(),
    };
    let manifest = Manifest::for_handover(&handover(Kind::Insert), &package, &[document]);
    assert_eq!(
        manifest.documents,
        [FileEntry {
            name: "metadata.json".into(),
            media_type: "application/json".into(),
            size: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
            md5: "900150983cd24fb0d6963f7d28e17f72".into(),
        }]
    );
    let bytes = manifest.to_bytes().unwrap();
    assert_eq!(
        serde_json::from_slice::<Manifest>(&bytes).unwrap(),
        manifest
    );
    insta::assert_snapshot!("manifest", text(bytes));
}

#[test]
fn a_document_with_a_wrong_identifier_is_not_read() {
    let wrong = r#""036000291453""#;
    let error = serde_json::from_str::<platform_adapters::release::Upc>(wrong).unwrap_err();
    assert!(error.to_string().contains("it should be 2"), "{error}");
}
