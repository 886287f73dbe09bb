//! Validation of messages against DDEX's own schemas, where the operator has put them: by libxml2,
//! with a thread for each schema that compiles it once and keeps it. DDEX's schemas come with DDEX's
//! licence and are not part of this program.

mod compiled;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::untrusted::brief;
use crate::{Code, Evidence, Fault};
use compiled::{Compiled, Verdict};

/// Only these namespaces are collected: messages of the release notification standard and of its
/// choreography.
const NAMESPACES: &str = "http://ddex.net/xml/ern";
/// Directories below the schema directory that are looked into.
const MAX_DEPTH: usize = 4;
/// Schemas that are looked at.
const MAX_SCHEMAS: usize = 200;
/// The part of a schema in which its target namespace and its imports stand.
const HEAD_BYTES: u64 = 8 * 1024;

/// DDEX's schemas in the operator's copy. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schemas {
    by_namespace: Arc<BTreeMap<String, PathBuf>>,
    compiled: Arc<Mutex<BTreeMap<String, Compiled>>>,
}

/// Finds DDEX's schemas below a directory, by the namespace that each declares.
///
/// # Errors
/// [`Code::SettingsInvalid`] when the directory cannot be read or holds no schema of DDEX's release
/// notification.
pub fn find_schemas(directory: &Path) -> Result<Schemas, Fault> {
    let mut by_namespace = BTreeMap::new();
    let mut waiting = vec![(directory.to_owned(), 0)];
    let mut seen = 0;
    while let Some((place, depth)) = waiting.pop() {
        let unreadable = |error: std::io::Error| {
            Fault::new(
                Code::SettingsInvalid,
                format!(
                    "DDEX's schemas in {} cannot be read: {error}",
                    place.display()
                ),
            )
            .with_remedy("Mend the directory of DDEX's schemas in the configuration.")
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(&place).map_err(unreadable)? {
            paths.push(entry.map_err(unreadable)?.path());
        }
        paths.sort();
        for path in paths {
            if path.is_dir() && depth < MAX_DEPTH {
                waiting.push((path, depth + 1));
            } else if path.extension().is_some_and(|extension| extension == "xsd")
                && seen < MAX_SCHEMAS
            {
                seen += 1;
                let head = head(&path).map_err(unreadable)?;
                if let Some(namespace) = target_namespace(&head) {
                    check_imports(&path, &head)?;
                    by_namespace.entry(namespace).or_insert(path);
                }
            }
        }
    }
    if by_namespace.is_empty() {
        return Err(Fault::new(
            Code::SettingsInvalid,
            format!(
                "{} holds no schema of DDEX's release notification (release-notification.xsd)",
                directory.display()
            ),
        )
        .with_remedy(
            "Put DDEX's schemas there, or leave their directory out of the configuration.",
        ));
    }
    Ok(Schemas {
        by_namespace: Arc::new(by_namespace),
        compiled: Arc::default(),
    })
}

fn head(path: &Path) -> std::io::Result<String> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn target_namespace(head: &str) -> Option<String> {
    let (_, rest) = head.split_once("targetNamespace=\"")?;
    let (namespace, _) = rest.split_once('"')?;
    Some(namespace.to_owned()).filter(|namespace| namespace.starts_with(NAMESPACES))
}

/// A schema that imports from the network would be fetched from there.
fn check_imports(path: &Path, head: &str) -> Result<(), Fault> {
    let mut imports = head.split("schemaLocation=\"").skip(1);
    let distant = imports.find_map(|rest| {
        let (location, _) = rest.split_once('"')?;
        location.contains("://").then_some(location)
    });
    distant.map_or(Ok(()), |location| {
        Err(Fault::new(
            Code::SettingsInvalid,
            format!(
                "DDEX's schema {} imports {} from the network",
                path.display(),
                brief(location)
            ),
        )
        .with_remedy(
            "Put the imported schema beside it and let schemaLocation name the local file.",
        ))
    })
}

impl Schemas {
    /// The namespaces that can be validated.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.by_namespace.keys().map(String::as_str)
    }

    /// Validates a document in this namespace. `name` is its file name, for the fault.
    ///
    /// # Errors
    /// [`Code::MessageInvalid`] with the schema's complaints and the document as evidence;
    /// [`Code::SettingsInvalid`] where there is no schema for the namespace, or none that can be used;
    /// [`Code::WorkerFault`] when the validation itself fails.
    pub async fn validate(&self, namespace: &str, name: &str, xml: &[u8]) -> Result<(), Fault> {
        let schema = self.by_namespace.get(namespace).ok_or_else(|| {
            let held: Vec<&str> = self.namespaces().collect();
            Fault::new(
                Code::SettingsInvalid,
                format!(
                    "there is no schema for {namespace} among DDEX's schemas, only for {}",
                    held.join(", ")
                ),
            )
            .with_remedy("Complete the directory of DDEX's schemas in the configuration.")
        })?;
        let compiled = {
            let mut known = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
            match known.get(namespace).filter(|compiled| compiled.is_alive()) {
                Some(compiled) => compiled.clone(),
                None => {
                    let compiled = Compiled::start(schema)?;
                    known.insert(namespace.to_owned(), compiled.clone());
                    compiled
                }
            }
        };
        match compiled.validate(xml.to_vec()).await {
            Some(Verdict::Valid) => Ok(()),
            Some(Verdict::Invalid(complaints)) => Err(invalid(name, xml, &complaints)),
            Some(Verdict::Unusable(problem)) => Err(Fault::new(
                Code::SettingsInvalid,
                format!(
                    "DDEX's schema {} cannot be used: {}",
                    schema.display(),
                    brief(&problem)
                ),
            )
            .with_remedy("Replace the directory of DDEX's schemas by a whole copy.")),
            None => Err(Fault::new(
                Code::WorkerFault,
                format!("validating {name}: libxml2 gave no answer"),
            )),
        }
    }
}

fn invalid(name: &str, xml: &[u8], complaints: &[String]) -> Fault {
    let first = complaints.first().map(String::as_str).unwrap_or_default();
    Fault::new(
        Code::MessageInvalid,
        format!(
            "the message {name} is not valid by DDEX's schema: {}",
            brief(first)
        ),
    )
    .with_evidence(Evidence {
        name: name.to_owned(),
        media_type: "application/xml".into(),
        body: xml.to_vec(),
    })
    .with_evidence(Evidence {
        name: format!("{name}.complaints.txt"),
        media_type: "text/plain".into(),
        body: complaints.join("\n").into_bytes(),
    })
}
