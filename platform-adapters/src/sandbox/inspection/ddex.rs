//! A DDEX message with its files: `N_{ReleaseId}_{timestamp}/`, or `{ReleaseId}/` in the folder of a
//! batch, with `{ReleaseId}.xml` and the files that the message speaks of.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Expected, Inspection, Violation, What, compare, document, is_resource, surplus};
use crate::{
    Code,
    ddex::{ReceivedMessage, ReceivedResource, Schemas, is_time, read_message},
    sandbox::{announced::is_gtin, ledger::is_file_name},
};

/// The message in a folder; acknowledgements are not messages.
pub(super) fn message(folder: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = file_name(&path);
        if name.ends_with(".xml") && !name.starts_with('.') && !name.starts_with("ACK_") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// What DDEX's own schema says of a message.
pub(super) async fn validate(schemas: &Schemas, message: &Path) -> io::Result<Vec<Violation>> {
    let Some(xml) = document(message)? else {
        return Ok(Vec::new());
    };
    // What cannot be read at all is found by the inspection.
    let Ok(read) = read_message(&xml) else {
        return Ok(Vec::new());
    };
    complaints(schemas, read.version.namespace(), &file_name(message), &xml).await
}

/// What the schema of a namespace says of a document.
pub(super) async fn complaints(
    schemas: &Schemas,
    namespace: &str,
    name: &str,
    xml: &[u8],
) -> io::Result<Vec<Violation>> {
    match schemas.validate(namespace, name, xml).await {
        Ok(()) => Ok(Vec::new()),
        Err(fault) if fault.code == Code::MessageInvalid => {
            Ok(vec![Violation::new(What::Document, fault.message)])
        }
        Err(fault) => Err(io::Error::other(fault)),
    }
}

/// Inspects a message and its files. `in_batch`: in the folder of a batch, whose manifest is not looked
/// at here.
pub(super) fn inspect(folder: &Path, path: &Path, in_batch: bool) -> io::Result<Inspection> {
    let place = file_name(folder);
    let xml = document(path)?.unwrap_or_default();
    let mut inspection = Inspection {
        key: place.clone(),
        kind: None,
        upc: String::new(),
        documents: vec![file_name(path)],
        files: Vec::new(),
        violations: Vec::new(),
        fingerprint: hex::encode(Sha256::digest(&xml)),
        parties: None,
    };
    let message = match read_message(&xml) {
        Ok(message) if is_file_name(&message.message_id) => message,
        Ok(message) => {
            inspection.violations.push(Violation::new(
                What::Document,
                format!("its MessageId {:?} cannot be a name", message.message_id),
            ));
            return Ok(inspection);
        }
        Err(refused) => {
            let refused = Violation::new(What::Document, refused.to_string());
            inspection.violations.push(refused);
            return Ok(inspection);
        }
    };
    inspection.key.clone_from(&message.message_id);
    inspection.parties = Some((message.sender.clone(), message.recipient.clone()));
    inspection.upc = upc(&message.release.icpn);
    if !message.has_deals {
        inspection.kind = Some("takedown".into());
    }
    check_names(
        &place,
        &file_name(path),
        &message,
        in_batch,
        &mut inspection,
    );
    for resource in &message.resources {
        check_resource(folder, resource, &mut inspection)?;
    }
    let own = file_name(path);
    let mut known = vec![own.as_str()];
    known.extend(message.resources.iter().map(|file| file.uri.as_str()));
    let surplus = surplus(folder, &known)?;
    inspection.violations.extend(surplus);
    Ok(inspection)
}

/// A bar code as catalogues have it: an ICPN of 13 digits that begins with a zero is a UPC of 12.
fn upc(icpn: &str) -> String {
    match icpn.strip_prefix('0') {
        Some(upc) if icpn.len() == 13 => upc.to_owned(),
        _ => icpn.to_owned(),
    }
}

fn check_names(
    folder: &str,
    name: &str,
    message: &ReceivedMessage,
    in_batch: bool,
    inspection: &mut Inspection,
) {
    let icpn = &message.release.icpn;
    if !is_gtin(icpn) {
        inspection.violations.push(Violation::new(
            What::Document,
            format!("the ICPN {icpn:?} is no bar code"),
        ));
    }
    let parts: Vec<_> = folder.split('_').collect();
    let good = match parts.as_slice() {
        [release] if in_batch => release == icpn,
        [priority, release, time] if !in_batch => {
            matches!(*priority, "P" | "N" | "L") && release == icpn && is_time(time)
        }
        _ => false,
    };
    if !good || name != format!("{icpn}.xml") {
        inspection.violations.push(Violation::new(
            What::Document,
            format!("{folder}/{name} is not the place of a message about {icpn}"),
        ));
    }
}

fn check_resource(
    folder: &Path,
    resource: &ReceivedResource,
    inspection: &mut Inspection,
) -> io::Result<()> {
    let name = &resource.uri;
    if !is_resource(name) {
        inspection.violations.push(Violation::new(
            What::Document,
            format!("the URI {name:?} does not lie in resources/"),
        ));
        return Ok(());
    }
    let (sha256, md5) = match resource.algorithm.as_str() {
        "SHA-256" | "SHA256" => (Some(resource.hash.as_str()), None),
        "MD5" => (None, Some(resource.hash.as_str())),
        other => {
            inspection.violations.push(Violation::new(
                What::Document,
                format!("{name} has a hash sum by {other:?}, which is not known here"),
            ));
            (None, None)
        }
    };
    let expected = Expected {
        name,
        size: resource.size_bytes,
        sha256,
        md5,
    };
    let found = compare(folder, &expected, &mut inspection.violations)?;
    inspection.files.extend(found);
    Ok(())
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
