//! The blocking steps on one connection but for uploading: looking, making and removing, small
//! files. What they add up to is in `remote`.

use std::{
    collections::HashMap,
    io::{self, Read},
    path::Path,
};

use ssh2::{FileStat, OpenFlags, OpenType};

use super::{
    remote::{Entry, Marker},
    session::{Session, is_absent, is_answer},
};
use crate::{Code, Fault};

/// More entries than this in a directory are not looked through.
const ENTRIES_MAX: usize = 100_000;

/// Directories within a directory that is removed.
const FOLDERS_MAX: u8 = 8;

const FILE_MODE: i32 = 0o644;
const DIRECTORY_MODE: i32 = 0o755;

/// The file's state; `None` where there is none.
pub(super) fn stat(session: &Session, path: &str) -> Result<Option<FileStat>, Fault> {
    let path = session.endpoint().path(path);
    match session.sftp().stat(Path::new(&path)) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(session.fault(&format!("looking at {path}"), &error)),
    }
}

/// Removes a file; it may be gone already.
pub(super) fn remove(session: &Session, path: &str) -> Result<(), Fault> {
    let path = session.endpoint().path(path);
    match session.sftp().unlink(Path::new(&path)) {
        Err(error) if !is_absent(&error) => Err(session.fault(&format!("removing {path}"), &error)),
        _ => Ok(()),
    }
}

/// Removes a directory with all that is in it; it may be gone already. `depth` counts from the first.
pub(super) fn remove_folder(session: &Session, folder: &str, depth: u8) -> Result<(), Fault> {
    for entry in list(session, folder)? {
        let path = format!("{folder}/{}", entry.name);
        if entry.is_directory && depth < FOLDERS_MAX {
            remove_folder(session, &path, depth + 1)?;
        } else {
            remove(session, &path)?;
        }
    }
    let path = session.endpoint().path(folder);
    match session.sftp().rmdir(Path::new(&path)) {
        Err(error) if !is_absent(&error) => Err(session.fault(&format!("removing {path}"), &error)),
        _ => Ok(()),
    }
}

/// Makes the directories of a path below the endpoint's directory; others may make them meanwhile.
pub(super) fn make_directories(session: &Session, folder: &str) -> Result<(), Fault> {
    let is_directory = |path: &str| Ok(stat(session, path)?.is_some_and(|found| found.is_dir()));
    if is_directory(folder)? {
        return Ok(());
    }
    if !is_directory("")? {
        return Err(Fault::new(
            Code::SettingsInvalid,
            format!(
                "there is no directory {} on {}",
                session.endpoint().path(""),
                session.endpoint().site()
            ),
        )
        .with_remedy(
            "Mend the path in api_endpoint, or ask the partner to make the directory; then \
             let the platform go on with `platforms resume`.",
        ));
    }
    let mut made = String::new();
    for name in folder.split('/').filter(|name| !name.is_empty()) {
        if !made.is_empty() {
            made.push('/');
        }
        made.push_str(name);
        let path = session.endpoint().path(&made);
        if let Err(error) = session.sftp().mkdir(Path::new(&path), DIRECTORY_MODE)
            && !(is_answer(&error) && is_directory(&made)?)
        {
            return Err(session.fault(&format!("making the directory {path}"), &error));
        }
    }
    Ok(())
}

fn make_parents(session: &Session, path: &str) -> Result<(), Fault> {
    match path.rsplit_once('/') {
        Some((folder, _)) => make_directories(session, folder),
        None => Ok(()),
    }
}

/// Plain SFTP refuses to rename onto an existing file. What is there and right stays: another worker
/// is at the same hand-over, and what is complete is never taken away.
pub(super) fn rename_replacing(
    session: &Session,
    from: &str,
    to: &str,
    is_right: impl Fn() -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let Err(error) = rename(session, from, to) else {
        return Ok(());
    };
    if is_answer(&error) && stat(session, to)?.is_some() {
        if is_right()? {
            return remove(session, from);
        }
        remove(session, to)?;
        return rename(session, from, to)
            .map_err(|error| session.fault(&format!("renaming {from} to {to}"), &error));
    }
    Err(session.fault(&format!("renaming {from} to {to}"), &error))
}

fn rename(session: &Session, from: &str, to: &str) -> Result<(), ssh2::Error> {
    let path = |relative| session.endpoint().path(relative);
    session.sftp().rename(
        Path::new(&path(from)),
        Path::new(&path(to)),
        Some(ssh2::RenameFlags::empty()),
    )
}

/// The temporary name of a document or marker, in the same folder.
fn part_of(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/.{name}.part"),
        None => format!(".{path}.part"),
    }
}

/// Opens a file that was not there.
pub(super) fn create(session: &Session, full: &str) -> Result<ssh2::File, ssh2::Error> {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    session
        .sftp()
        .open_mode(full, flags, FILE_MODE, OpenType::File)
}

/// Writes a small file under a temporary name and answers with that name.
fn write_part(session: &Session, path: &str, body: &[u8]) -> Result<String, Fault> {
    make_parents(session, path)?;
    let part = part_of(path);
    let full = session.endpoint().path(&part);
    let doing = format!("writing {full}");
    let mut file = match create(session, &full) {
        // An earlier attempt left it. It is removed, not written over: a worker that was suspended
        // may still have it open, and would write into what by then has its final name.
        Err(error) if is_answer(&error) => {
            remove(session, &part)?;
            create(session, &full)
        }
        created => created,
    }
    .map_err(|error| session.fault(&doing, &error))?;
    io::Write::write_all(&mut file, body)
        .map_err(|error| session.write_fault(&mut file, &doing, &error))?;
    file.close()
        .map_err(|error| session.fault(&doing, &error))?;
    let arrived = stat(session, &part)?.and_then(|found| found.size);
    if arrived != u64::try_from(body.len()).ok() {
        return Err(Fault::new(
            Code::TransferCorrupt,
            format!(
                "{} bytes of {} arrived in {full} on {}",
                arrived.unwrap_or_default(),
                body.len(),
                session.endpoint().site()
            ),
        ));
    }
    Ok(part)
}

pub(super) fn put_document(session: &Session, path: &str, body: &[u8]) -> Result<(), Fault> {
    let is_there = || {
        let is_same_size = stat(session, path)?.is_some_and(|found| {
            found.size.and_then(|size| usize::try_from(size).ok()) == Some(body.len())
        });
        Ok(is_same_size
            && read_small(session, path, body.len())?.is_some_and(|found| found == body))
    };
    if is_there()? {
        return Ok(());
    }
    let part = write_part(session, path, body)?;
    rename_replacing(session, &part, path, is_there)
}

pub(super) fn put_marker(session: &Session, path: &str, body: &[u8]) -> Result<Marker, Fault> {
    if stat(session, path)?.is_some() {
        return Ok(Marker::AlreadyThere);
    }
    let part = write_part(session, path, body)?;
    let Err(error) = rename(session, &part, path) else {
        return Ok(Marker::Written);
    };
    let fault = session.fault(&format!("giving {part} the name {path}"), &error);
    if !is_answer(&error) {
        return Err(Fault {
            code: Code::OutcomeUnknown,
            message: format!("{}; the completion marker may be there", fault.message),
            ..fault
        });
    }
    if stat(session, path)?.is_some() {
        remove(session, &part)?;
        return Ok(Marker::AlreadyThere);
    }
    Err(fault)
}

/// Reads a file of at most `limit_bytes`; `None` where there is none.
pub(super) fn read_small(
    session: &Session,
    path: &str,
    limit_bytes: usize,
) -> Result<Option<Vec<u8>>, Fault> {
    let full = session.endpoint().path(path);
    let doing = format!("reading {full}");
    let file = match session.sftp().open(&full) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(session.fault(&doing, &error)),
    };
    let mut body = Vec::new();
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1))
        .read_to_end(&mut body)
        .map_err(|error| session.io_fault(&doing, &error))?;
    if body.len() > limit_bytes {
        return Err(Fault::new(
            Code::PartnerError,
            format!(
                "{full} on {} is larger than the {limit_bytes} bytes expected at most",
                session.endpoint().site()
            ),
        )
        .with_remedy("Ask the partner what this file is."));
    }
    Ok(Some(body))
}

/// What a directory holds, sorted by name; nothing where there is no such directory.
pub(super) fn list(session: &Session, directory: &str) -> Result<Vec<Entry>, Fault> {
    let full = session.endpoint().path(directory);
    let doing = format!("listing {full}");
    let mut handle = match session.sftp().opendir(&full) {
        Ok(handle) => handle,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(session.fault(&doing, &error)),
    };
    let mut entries = Vec::new();
    loop {
        let (name, stat) = match handle.readdir() {
            Ok(found) => found,
            // How ssh2 says that the directory is at its end.
            Err(error) if error.message() == "no more files" => break,
            Err(error) => return Err(session.fault(&doing, &error)),
        };
        let name = name.to_string_lossy().into_owned();
        if name == "." || name == ".." {
            continue;
        }
        if entries.len() == ENTRIES_MAX {
            return Err(Fault::new(
                Code::PartnerError,
                format!(
                    "{full} on {} holds more than {ENTRIES_MAX} entries",
                    session.endpoint().site()
                ),
            )
            .with_remedy("Ask the partner to clear the directory out."));
        }
        entries.push(Entry {
            name,
            size: stat.size.unwrap_or_default(),
            is_directory: stat.is_dir(),
        });
    }
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// Makes a folder hold these files, by their names and sizes, and none beside them: what an earlier
/// attempt left goes. `None` for a size that does not matter.
pub(super) fn settle(
    session: &Session,
    folder: &str,
    names: &HashMap<String, Option<u64>>,
) -> Result<(), Fault> {
    let entries = match list(session, folder) {
        // A folder that takes files only cannot be looked at.
        Err(fault) if fault.code == Code::AccessDenied => return Ok(()),
        listed => listed?,
    };
    let mut missing: HashMap<&str, u64> = names
        .iter()
        .filter_map(|(name, size)| Some((name.as_str(), (*size)?)))
        .collect();
    for entry in entries.iter().filter(|entry| !entry.is_directory) {
        if !names.contains_key(&entry.name) {
            remove(session, &format!("{folder}/{}", entry.name))?;
        } else if missing.get(entry.name.as_str()) == Some(&entry.size) {
            missing.remove(entry.name.as_str());
        }
    }
    match missing.into_keys().min() {
        None => Ok(()),
        Some(name) => Err(Fault::new(
            Code::TransferCorrupt,
            format!(
                "the file {} on {} was sent whole and is not there whole; another worker may be at                  the same delivery",
                session.endpoint().path(&format!("{folder}/{name}")),
                session.endpoint().site()
            ),
        )),
    }
}

/// Writes, reads back and removes a file; answers with a sentence.
pub(super) fn check_writing(session: &Session, name: &str) -> Result<String, Fault> {
    const BODY: &[u8] = b"Written to see whether deliveries can be. It can be removed.\n";
    make_directories(session, "")?;
    put_document(session, name, BODY)?;
    let is_read_back =
        read_small(session, name, BODY.len()).is_ok_and(|found| found.as_deref() == Some(BODY));
    remove(session, name)?;
    Ok(format!(
        "Wrote{} and removed a file in {}.",
        if is_read_back { ", read back" } else { "" },
        session.endpoint().path("")
    ))
}
