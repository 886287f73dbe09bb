//! The layout of the method `sftp`: metadata, manifest, files in `resources/`, and a completion
//! marker that names the manifest's hash sum.

use std::{io, path::Path};

use sha2::{Digest, Sha256};

use super::{
    Expected, Inspection, RESOURCES, Violation, What, base, compare, document, is_resource, surplus,
};
use crate::sandbox::{
    announced::Announced,
    ledger::{ReceivedFile, is_file_name},
};

pub(super) const MARKER: &str = "delivery.complete";
const MANIFEST: &str = "manifest.json";
const METADATA: &str = "metadata.json";

pub(super) fn inspect(folder: &Path, marker: &Path) -> io::Result<Inspection> {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    // The folder is `{timestamp}_{key}`; it names the hand-over where the documents do not.
    let key = name.split_once('_').map_or(name, |(_, key)| key);
    let mut inspection = Inspection {
        key: Some(key)
            .filter(|key| is_file_name(key))
            .unwrap_or("unnamed")
            .to_owned(),
        kind: None,
        upc: String::new(),
        documents: Vec::new(),
        files: Vec::new(),
        violations: Vec::new(),
        fingerprint: String::new(),
        parties: None,
    };
    let Some(manifest) = document(&folder.join(MANIFEST))? else {
        let missing = Violation::new(What::Missing, format!("{MANIFEST} is missing"));
        inspection.violations.push(missing);
        return Ok(inspection);
    };
    let sum = hex::encode(Sha256::digest(&manifest));
    inspection.fingerprint.clone_from(&sum);
    inspection.documents = vec![MANIFEST.into(), MARKER.into()];
    if document(marker)?.unwrap_or_default() != format!("{sum}  {MANIFEST}\n").into_bytes() {
        inspection.violations.push(Violation::new(
            What::Document,
            format!("{MARKER} does not name the manifest, whose SHA-256 is {sum}"),
        ));
    }
    let announced = match Announced::from_manifest(&manifest) {
        Ok(announced) => announced,
        Err(problem) => {
            inspection
                .violations
                .push(Violation::new(What::Document, problem));
            return Ok(inspection);
        }
    };
    if announced.key != key {
        inspection.violations.push(Violation::new(
            What::Document,
            format!(
                "the folder {name} is not of the hand-over {}",
                announced.key
            ),
        ));
    }
    inspection.key.clone_from(&announced.key);
    inspection.kind = Some(announced.kind.clone());
    inspection.upc.clone_from(&announced.upc);
    check_metadata(folder, &announced, &mut inspection)?;
    check_files(folder, &announced, &mut inspection)?;
    Ok(inspection)
}

/// The metadata is in the manifest, and both speak of the same.
fn check_metadata(
    folder: &Path,
    announced: &Announced,
    inspection: &mut Inspection,
) -> io::Result<()> {
    let wrong = |text: String| Violation::new(What::Document, text);
    let [listed] = announced.documents.as_slice() else {
        inspection
            .violations
            .push(wrong(format!("{MANIFEST} does not list one {METADATA}")));
        return Ok(());
    };
    if listed.name != METADATA {
        inspection
            .violations
            .push(wrong(format!("{MANIFEST} lists {:?}", listed.name)));
        return Ok(());
    }
    if compare(folder, &expected(listed), &mut inspection.violations)?.is_none() {
        return Ok(());
    }
    inspection.documents.push(METADATA.into());
    let metadata = document(&folder.join(METADATA))?.unwrap_or_default();
    match Announced::from_metadata(&metadata) {
        Err(problem) => inspection.violations.push(wrong(problem)),
        Ok(metadata) => {
            let same = metadata.key == announced.key
                && metadata.kind == announced.kind
                && metadata.upc == announced.upc
                && sorted(&metadata.files) == sorted(&announced.files);
            if !same {
                inspection.violations.push(wrong(format!(
                    "{METADATA} and {MANIFEST} contradict each other"
                )));
            }
        }
    }
    Ok(())
}

fn check_files(
    folder: &Path,
    announced: &Announced,
    inspection: &mut Inspection,
) -> io::Result<()> {
    for file in &announced.files {
        if !is_resource(&file.name) {
            inspection.violations.push(Violation::new(
                What::Document,
                format!("{} does not lie in {RESOURCES}", base(&file.name)),
            ));
            continue;
        }
        let found = compare(folder, &expected(file), &mut inspection.violations)?;
        inspection.files.extend(found);
    }
    let mut known = vec![MARKER, MANIFEST, METADATA];
    known.extend(announced.files.iter().map(|file| file.name.as_str()));
    inspection.violations.extend(surplus(folder, &known)?);
    Ok(())
}

fn expected(file: &ReceivedFile) -> Expected<'_> {
    Expected {
        name: &file.name,
        size: Some(file.size),
        sha256: Some(&file.sha256),
        md5: None,
    }
}

fn sorted(files: &[ReceivedFile]) -> Vec<&ReceivedFile> {
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    files
}
