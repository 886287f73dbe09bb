//! What is kept of files that were read.

use jobs::assets::InDatabase;
use platform_adapters::package::{Flaw, Inspection, KeptInspections};
use test_support::TestDatabase;

#[tokio::test]
async fn the_newest_version_of_a_file_is_kept() {
    let database = TestDatabase::create().await;
    let kept = InDatabase::new(database.pool().clone());
    let found = |digit: &str, flaws: Vec<Flaw>| Inspection {
        sha256: digit.repeat(64),
        md5: digit.repeat(32),
        flaws,
    };
    let (store, path) = ("/srv/assets", "releases/1/01.wav");
    let recalled =
        async |version: &str, kind: &str| kept.recall(store, path, version, kind).await.unwrap();
    assert_eq!(recalled("\"a\"", "samples").await, None);
    let first = found("1", vec![Flaw::Silent]);
    kept.keep(store, path, "\"a\"", "samples", &first)
        .await
        .unwrap();
    assert_eq!(recalled("\"a\"", "samples").await, Some(first));
    assert_eq!(recalled("\"b\"", "samples").await, None, "another version");
    assert_eq!(recalled("\"a\"", "flac").await, None, "looked at otherwise");
    let damaged = Flaw::Damaged {
        at_ms: 61_000,
        reason: "CRC".into(),
    };
    let second = found("2", vec![damaged]);
    kept.keep(store, path, "\"b\"", "samples", &second)
        .await
        .unwrap();
    assert_eq!(recalled("\"a\"", "samples").await, None);
    assert_eq!(recalled("\"b\"", "samples").await, Some(second.clone()));
    let elsewhere = kept.recall("s3://other", path, "\"b\"", "samples").await;
    assert_eq!(elsewhere.unwrap(), None);
    let not_a_sum = Inspection::default();
    assert!(
        kept.keep(store, path, "\"c\"", "samples", &not_a_sum)
            .await
            .is_err()
    );
}
