//! A batch of DDEX messages: `N_{BatchId}/` with a folder for each release, complete with
//! `BatchComplete_{BatchId}.xml`, which names every message with its hash sum.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use md5::Md5;
use sha2::Digest as _;

use super::{
    Inspection, Violation, What,
    ddex::{self, file_name},
    document, out_of_order,
};
use crate::{
    ddex::{
        CHOREOGRAPHY_16, ReceivedManifest, Schemas, batch_complete, is_time, path_in_batch,
        read_manifest,
    },
    sandbox::acknowledge::ACKNOWLEDGEMENTS,
};

/// The batch's id in the name of its folder.
pub(in crate::sandbox) fn batch_id(folder: &str) -> Option<&str> {
    let (priority, id) = folder.split_once('_')?;
    (matches!(priority, "P" | "M" | "N") && is_time(id)).then_some(id)
}

/// The file that says that the batch in a folder is complete, if it is there.
pub(in crate::sandbox) fn batch_marker(folder: &Path, batch: &str) -> Option<PathBuf> {
    let marker = folder.join(batch_complete(batch));
    marker.is_file().then_some(marker)
}

/// Inspects the complete batch in a folder: each of its releases, by the name of its folder. What is
/// wrong with the batch as a whole is wrong with each of them.
pub(in crate::sandbox) async fn inspect_batch(
    folder: PathBuf,
    marker: PathBuf,
    schemas: Option<&Schemas>,
) -> io::Result<Vec<(String, Inspection)>> {
    let releases = releases(&folder)?;
    let mut complaints = Vec::new();
    if let Some(schemas) = schemas {
        for release in &releases {
            complaints.push(match ddex::message(release)? {
                Some(message) => ddex::validate(schemas, &message).await?,
                None => Vec::new(),
            });
        }
    }
    let xml = document(&marker)?.unwrap_or_default();
    let of_batch = match schemas {
        Some(schemas) if schemas.namespaces().any(|known| known == CHOREOGRAPHY_16) => {
            ddex::complaints(schemas, CHOREOGRAPHY_16, &file_name(&marker), &xml).await?
        }
        _ => Vec::new(),
    };
    let inspecting = tokio::task::spawn_blocking(move || {
        let mut found = inspect(&folder, &marker, &xml, &releases, of_batch)?;
        for (release, complaints) in releases.iter().zip(complaints) {
            let name = file_name(release);
            if let Some((_, one)) = found.iter_mut().find(|(known, _)| *known == name) {
                one.violations.extend(complaints);
            }
        }
        Ok(found)
    });
    inspecting.await.map_err(io::Error::other)?
}

/// The folders of a batch's releases.
fn releases(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name() != ACKNOWLEDGEMENTS {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn inspect(
    folder: &Path,
    marker: &Path,
    xml: &[u8],
    releases: &[PathBuf],
    mut of_batch: Vec<Violation>,
) -> io::Result<Vec<(String, Inspection)>> {
    let wrong = |text: String| Violation::new(What::Document, text);
    let manifest = match read_manifest(xml) {
        Ok(manifest) => Some(manifest),
        Err(refused) => {
            of_batch.push(wrong(format!("{}: {refused}", file_name(marker))));
            None
        }
    };
    let mut found = Vec::new();
    for release in releases {
        let name = file_name(release);
        let Some(message) = ddex::message(release)? else {
            of_batch.push(Violation::new(
                What::Missing,
                format!("{name} holds no message"),
            ));
            continue;
        };
        let mut inspection = ddex::inspect(release, &message, true)?;
        if let Some(manifest) = &manifest {
            let listed = check_listed(manifest, &name, &message, &inspection)?;
            inspection.violations.extend(listed);
        }
        found.push((name, inspection));
    }
    if let Some(manifest) = &manifest {
        of_batch.extend(check_manifest(manifest, folder, &found));
    }
    of_batch.extend(out_of_order(folder, marker)?);
    for (_, inspection) in &mut found {
        inspection.violations.extend(of_batch.iter().cloned());
    }
    Ok(found)
}

/// What the manifest says of a message that is there.
fn check_listed(
    manifest: &ReceivedManifest,
    release: &str,
    message: &Path,
    inspection: &Inspection,
) -> io::Result<Vec<Violation>> {
    let wrong = |text: String| Violation::new(What::Document, text);
    let url = path_in_batch(release);
    let mut listed = manifest.messages.iter().filter(|one| one.url == url);
    let (Some(listed), None) = (listed.next(), listed.next()) else {
        return Ok(vec![wrong(format!(
            "the manifest does not name {url} once"
        ))]);
    };
    let mut violations = Vec::new();
    if listed.message_id != inspection.key {
        violations.push(wrong(format!(
            "the manifest says that {url} is the message {:?}",
            listed.message_id
        )));
    }
    let sum = hex::encode(Md5::digest(fs::read(message)?));
    if listed.algorithm != "MD5" || !listed.hash.eq_ignore_ascii_case(&sum) {
        violations.push(Violation::new(
            What::Corrupt,
            format!(
                "{url} has the MD5 {sum}, announced was {} {}",
                listed.algorithm, listed.hash
            ),
        ));
    }
    Ok(violations)
}

/// What is wrong with the manifest as a whole.
fn check_manifest(
    manifest: &ReceivedManifest,
    folder: &Path,
    found: &[(String, Inspection)],
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut wrong = |text: String| violations.push(Violation::new(What::Document, text));
    let messages = manifest.messages.len();
    if messages == 0 || manifest.number != messages.to_string() {
        wrong(format!(
            "the manifest names {messages} messages and says that there are {:?}",
            manifest.number
        ));
    }
    if manifest.root != format!("/{}", file_name(folder)) {
        wrong(format!(
            "the manifest is of {:?}, not of {}",
            manifest.root,
            file_name(folder)
        ));
    }
    for listed in &manifest.messages {
        let is_there = found
            .iter()
            .any(|(release, _)| path_in_batch(release) == listed.url);
        if !is_there {
            wrong(format!("{} is in the manifest and not there", listed.url));
        }
    }
    violations
}
