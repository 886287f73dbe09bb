//! Validation of messages against DDEX's own schemas, where the operator has put them: by `xmllint`
//! (libxml2) as a child process that may not reach the network, with bounds on time, output and
//! number. DDEX's schemas come with DDEX's licence and are not part of this program.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::Semaphore,
    time::timeout,
};

use super::untrusted::brief;
use crate::{Code, Evidence, Fault};

/// Only these namespaces are collected: messages of the release notification standard and of its
/// choreography.
const NAMESPACES: &str = "http://ddex.net/xml/ern";
/// Directories below the schema directory that are looked into.
const MAX_DEPTH: usize = 4;
/// Schemas that are looked at.
const MAX_SCHEMAS: usize = 200;
/// The part of a schema in which its target namespace stands.
const HEAD_BYTES: u64 = 8 * 1024;
/// A validation takes a tenth of a second.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Complaints that are kept.
const OUTPUT_BYTES: u64 = 64 * 1024;
/// Validations at the same time: each holds a compiled schema in memory.
const AT_ONCE: usize = 2;

/// DDEX's schemas in the operator's copy. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schemas {
    by_namespace: Arc<BTreeMap<String, PathBuf>>,
    slots: Arc<Semaphore>,
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
                if let Some(namespace) = target_namespace(&path).map_err(unreadable)? {
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
        slots: Arc::new(Semaphore::new(AT_ONCE)),
    })
}

fn target_namespace(path: &Path) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    let head = String::from_utf8_lossy(&head);
    let namespace = head
        .split_once("targetNamespace=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(namespace, _)| namespace.to_owned());
    Ok(namespace.filter(|namespace| namespace.starts_with(NAMESPACES)))
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
    /// [`Code::SettingsInvalid`] where there is no schema for the namespace, or no `xmllint`;
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
        let failed = |problem: String| {
            Fault::new(Code::WorkerFault, format!("validating {name}: {problem}"))
        };
        let _slot = self.slots.acquire().await;
        let child = spawn(schema)?;
        let (status, complaints) = timeout(TIME_LIMIT, run(child, xml))
            .await
            .map_err(|_| failed(format!("xmllint took more than {TIME_LIMIT:?}")))?
            .map_err(|error| failed(error.to_string()))?;
        match status.code() {
            Some(0) => Ok(()),
            // 1: not well-formed; 3 and 4: not valid.
            Some(1 | 3 | 4) => Err(invalid(name, xml, complaints)),
            _ => Err(failed(format!(
                "xmllint ended with {status}: {}",
                brief(&complaints)
            ))),
        }
    }
}

fn spawn(schema: &Path) -> Result<Child, Fault> {
    Command::new("xmllint")
        .args(["--nonet", "--noout", "--schema"])
        .arg(schema)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Fault::new(
                Code::SettingsInvalid,
                "DDEX's schemas are configured, but xmllint is not installed",
            )
            .with_remedy("Install xmllint (Debian: libxml2-utils)."),
            _ => Fault::new(
                Code::WorkerFault,
                format!("xmllint cannot be started: {error}"),
            ),
        })
}

/// Feeds the document and reads what xmllint says, both at once: either pipe can fill up.
async fn run(mut child: Child, xml: &[u8]) -> std::io::Result<(ExitStatus, String)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // It may stop reading at the first fault: what it says about it is what counts.
            let _ = stdin.write_all(xml).await;
        }
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            (&mut stderr)
                .take(OUTPUT_BYTES)
                .read_to_end(&mut said)
                .await?;
            tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
        }
        std::io::Result::Ok(said)
    };
    let ((), said) = tokio::join!(feed, listen);
    let status = child.wait().await?;
    Ok((status, String::from_utf8_lossy(&said?).into_owned()))
}

fn invalid(name: &str, xml: &[u8], complaints: String) -> Fault {
    let first = complaints
        .lines()
        .find(|line| line.contains("error"))
        .or_else(|| complaints.lines().next())
        .unwrap_or_default();
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
        body: complaints.into_bytes(),
    })
}
