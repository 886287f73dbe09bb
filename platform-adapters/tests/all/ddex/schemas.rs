//! DDEX's schemas for tests, and what validation says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::{env, path::PathBuf};

use platform_adapters::{
    Code,
    ddex::{Schemas, Version, find_schemas},
};

/// DDEX's schemas, for a test.
pub(super) fn schemas(test: &str) -> Option<Schemas> {
    directory(test).map(|directory| find_schemas(&directory).unwrap())
}

/// Where DDEX's schemas and samples are: `$DDEX_DIR`, or beside the workspace. They are not part of
/// the project: where they are absent the test says so and passes, except in CI.
pub(super) fn directory(test: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/ddex");
    let directory = env::var_os("DDEX_DIR").map_or(beside, PathBuf::from);
    if directory.is_dir() {
        return Some(directory);
    }
    assert!(
        env::var_os("CI").is_none(),
        "DDEX's schemas are not in {}; set DDEX_DIR",
        directory.display()
    );
    eprintln!(
        "SKIPPED {test}: DDEX's schemas are not in {}; set DDEX_DIR",
        directory.display()
    );
    None
}

/// Panics with the schema's complaints where a document is not valid.
pub(super) async fn assert_valid(schemas: &Schemas, namespace: &str, name: &str, xml: &[u8]) {
    if let Err(fault) = schemas.validate(namespace, name, xml).await {
        let evidence: Vec<_> = fault
            .evidence
            .iter()
            .map(|document| String::from_utf8_lossy(&document.body).into_owned())
            .collect();
        panic!("{fault}\n{}", evidence.join("\n"));
    }
}

#[tokio::test]
async fn an_invalid_message_comes_back_with_the_schemas_complaint() {
    let Some(schemas) = schemas("an_invalid_message_comes_back_with_the_schemas_complaint") else {
        return;
    };
    let namespace = Version::Ern43.namespace();
    let wrong = format!("<ern:NewReleaseMessage xmlns:ern=\"{namespace}\"/>");
    for xml in [wrong.as_str(), "<open>", ""] {
        let fault = schemas
            .validate(namespace, "0036000291452.xml", xml.as_bytes())
            .await
            .unwrap_err();
        assert_eq!(fault.code, Code::MessageInvalid, "{fault}");
        assert!(fault.message.contains("0036000291452.xml"), "{fault}");
        assert_eq!(fault.evidence[0].body, xml.as_bytes());
        assert!(!fault.evidence[1].body.is_empty());
    }
    let fault = schemas
        .validate(namespace, "0036000291452.xml", wrong.as_bytes())
        .await
        .unwrap_err();
    assert!(fault.message.contains("AvsVersionId"), "{fault}");
}

#[tokio::test]
async fn missing_schemas_are_a_matter_of_settings() {
    let empty = tempfile::tempdir().unwrap();
    for directory in [empty.path().to_owned(), empty.path().join("nowhere")] {
        let fault = find_schemas(&directory).unwrap_err();
        assert_eq!(fault.code, Code::SettingsInvalid);
        assert!(fault.message.contains(directory.to_str().unwrap()));
    }
    let Some(schemas) = schemas("missing_schemas_are_a_matter_of_settings") else {
        return;
    };
    let fault = schemas
        .validate("http://ddex.net/xml/ern/99", "x.xml", b"<x/>")
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::SettingsInvalid);
    assert!(fault.message.contains("http://ddex.net/xml/ern/99"));
}
