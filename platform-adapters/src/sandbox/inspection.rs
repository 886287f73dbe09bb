//! Looks at a hand-over in a folder of the SFTP partner as a strict partner would: everything that is
//! said to be there is there and right, nothing else is, and what says that it is complete came last.

use std::{
    fs, io,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use md5::Md5;
use sha2::{Digest, Sha256};

use super::ledger::{ReceivedFile, is_file_name};
use crate::ddex::Schemas;

mod batch;
mod ddex;
mod sftp;

pub(super) use batch::{batch_id, batch_marker, inspect_batch};

/// The folder of audio and artwork in a hand-over's folder.
pub(super) const RESOURCES: &str = "resources";

/// Documents are small; a larger one is not read.
const LARGEST_DOCUMENT_BYTES: u64 = 16 << 20;

/// By which layout the partner takes hand-overs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SftpKind {
    /// A folder with manifest and completion marker.
    Sftp,
    /// DDEX: release by release, where the message is the completion marker, and in batches.
    Ddex,
}

/// What a hand-over is, and all that is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Inspection {
    pub(super) key: String,
    /// `None` where the hand-over does not say it and the partner must work it out.
    pub(super) kind: Option<String>,
    pub(super) upc: String,
    pub(super) documents: Vec<String>,
    pub(super) files: Vec<ReceivedFile>,
    pub(super) violations: Vec<Violation>,
    pub(super) fingerprint: String,
    /// Sender and recipient, as a DDEX message names them.
    pub(super) parties: Option<(String, String)>,
}

/// One thing that is wrong with a hand-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) what: What,
    pub(super) text: String,
}

/// Which kind of wrong, as far as acknowledgements tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Missing,
    Corrupt,
    Document,
    Other,
}

impl Violation {
    fn new(what: What, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { what, text }
    }

    pub(super) fn other(text: impl Into<String>) -> Self {
        Self::new(What::Other, text)
    }
}

/// The file that says that the hand-over in a folder is complete, if it is there.
pub(super) fn marker(kind: SftpKind, folder: &Path) -> io::Result<Option<PathBuf>> {
    match kind {
        SftpKind::Sftp => {
            let marker = folder.join(sftp::MARKER);
            Ok(marker.is_file().then_some(marker))
        }
        SftpKind::Ddex => ddex::message(folder),
    }
}

/// Tells one writing of a file from another: the same name can be written again.
pub(super) fn identity(file: &Path) -> io::Result<String> {
    let found = fs::metadata(file)?;
    Ok(format!(
        "{}-{}.{:09}",
        found.ino(),
        found.mtime(),
        found.mtime_nsec()
    ))
}

/// Inspects the complete hand-over in a folder.
pub(super) async fn inspect(
    kind: SftpKind,
    folder: PathBuf,
    marker: PathBuf,
    schemas: Option<&Schemas>,
) -> io::Result<Inspection> {
    let complaints = match (kind, schemas) {
        (SftpKind::Ddex, Some(schemas)) => ddex::validate(schemas, &marker).await?,
        _ => Vec::new(),
    };
    let inspecting = tokio::task::spawn_blocking(move || {
        let mut inspection = match kind {
            SftpKind::Sftp => sftp::inspect(&folder, &marker)?,
            SftpKind::Ddex => ddex::inspect(&folder, &marker, false)?,
        };
        inspection.violations.extend(complaints);
        let late = out_of_order(&folder, &marker)?;
        inspection.violations.extend(late);
        Ok(inspection)
    });
    inspecting.await.map_err(io::Error::other)?
}

/// Nothing may be newer than what says that all is complete.
fn out_of_order(folder: &Path, marker: &Path) -> io::Result<Vec<Violation>> {
    let complete = written_at(marker)?;
    let mut late = Vec::new();
    for (name, path) in everything(folder)? {
        if path != marker && written_at(&path)? > complete {
            late.push(Violation::other(format!(
                "{name} was written after the hand-over was said to be complete"
            )));
        }
    }
    Ok(late)
}

fn written_at(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// A path as violations name it: below the hand-over's folder.
fn shown(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// All files of a hand-over's folder, with their names below it. Acknowledgements are the partner's
/// own.
fn everything(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(&place)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            } else {
                found.push((shown(folder, &entry.path()), entry.path()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What lies in a folder and is not expected there, temporary files above all.
fn surplus(folder: &Path, expected: &[&str]) -> io::Result<Vec<Violation>> {
    let unexpected = |name: &String| !expected.contains(&name.as_str());
    let mut found = everything(folder)?;
    found.retain(|(name, _)| unexpected(name));
    if !found.is_empty() {
        // A rename over SFTP is two steps, and for a moment the old name is there too.
        std::thread::sleep(std::time::Duration::from_millis(500));
        found.retain(|(_, path)| path.exists());
    }
    Ok(found
        .into_iter()
        .map(|(name, _)| Violation::other(format!("{name} does not belong to the hand-over")))
        .collect())
}

/// What a hand-over says of one of its files.
struct Expected<'a> {
    /// Below the hand-over's folder.
    name: &'a str,
    size: Option<u64>,
    sha256: Option<&'a str>,
    md5: Option<&'a str>,
}

/// Holds a file against what is said of it. Answers with what arrived.
fn compare(
    folder: &Path,
    expected: &Expected<'_>,
    violations: &mut Vec<Violation>,
) -> io::Result<Option<ReceivedFile>> {
    let name = expected.name;
    let path = folder.join(name);
    // A link would lead out of the folder.
    if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
        violations.push(Violation::new(What::Missing, format!("{name} is missing")));
        return Ok(None);
    }
    let found = Sums::of(&path)?;
    if let Some(size) = expected.size
        && size != found.size
    {
        violations.push(Violation::new(
            What::Corrupt,
            format!("{name} has {} bytes, announced were {size}", found.size),
        ));
    }
    for (algorithm, announced, sum) in [
        ("SHA-256", expected.sha256, &found.sha256),
        ("MD5", expected.md5, &found.md5),
    ] {
        if let Some(announced) = announced
            && !announced.eq_ignore_ascii_case(sum)
        {
            violations.push(Violation::new(
                What::Corrupt,
                format!("{name} has the {algorithm} {sum}, announced was {announced}"),
            ));
        }
    }
    Ok(Some(ReceivedFile {
        name: base(name).to_owned(),
        size: found.size,
        sha256: found.sha256,
    }))
}

/// A name without its folder.
fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The same with or without the folder of audio and artwork, and nothing else.
fn is_resource(name: &str) -> bool {
    name.strip_prefix(RESOURCES)
        .and_then(|name| name.strip_prefix('/'))
        .is_some_and(is_file_name)
}

struct Sums {
    size: u64,
    sha256: String,
    md5: String,
}

impl Sums {
    fn of(path: &Path) -> io::Result<Self> {
        let mut file = fs::File::open(path)?;
        let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
        let mut buffer = vec![0; 1 << 16];
        let mut size = 0;
        loop {
            let count = file.read(&mut buffer)?;
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
                break;
            };
            size += u64::try_from(count).unwrap_or_default();
            sha256.update(read);
            md5.update(read);
        }
        Ok(Self {
            size,
            sha256: hex::encode(sha256.finalize()),
            md5: hex::encode(md5.finalize()),
        })
    }
}

/// A document, if it is there and not too large.
fn document(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.len() <= LARGEST_DOCUMENT_BYTES => {
            fs::read(path).map(Some)
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
