//! One file on its way: looked for, gone on with where an earlier try left off, checked, given its
//! name. Blocking steps on one connection; what they add up to is in `remote`.

use std::{
    io::Read,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use ssh2::{File, OpenFlags, OpenType};

use super::{
    feed::Feed,
    session::{Session, is_answer},
    transfer::{create, remove, rename_replacing, stat},
    window::write_all,
};
use crate::{Code, Fault, package::PackagedFile};

/// Less than this of an upload that was cut off is sent again rather than gone on with: going on
/// costs reading it back.
const RESUME_FROM_BYTES: u64 = 1024 * 1024;

/// What is read back at once; libssh2 asks ahead for four times as much.
const READ_BYTES: usize = 512 * 1024;

/// One file on its way. Cheap to clone; clones count together.
#[derive(Clone)]
pub(super) struct Upload {
    target: String,
    part: String,
    size: u64,
    sha256: String,
    acknowledged: Arc<AtomicU64>,
}

/// What is there of a file before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// All of it, under its name.
    Whole,
    /// So many bytes under its temporary name.
    Part(u64),
}

/// Sizes of what a listing of the folder showed of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listed {
    pub(super) target: Option<u64>,
    pub(super) part: Option<u64>,
}

impl Upload {
    /// The temporary name holds the hash sum: an upload that was cut off is never gone on with for
    /// another version of the file.
    pub(super) fn new(folder: &str, file: &PackagedFile) -> Self {
        let (target, part) = Self::names(file);
        Self {
            target: format!("{folder}/{target}"),
            part: format!("{folder}/{part}"),
            size: file.size,
            sha256: file.sha256.clone(),
            acknowledged: Arc::default(),
        }
    }

    /// A file's names in its folder: its own and its temporary one.
    pub(super) fn names(file: &PackagedFile) -> (&str, String) {
        let version = file.sha256.get(..12).unwrap_or(&file.sha256);
        (&file.name, format!(".{}.{version}.part", file.name))
    }

    /// Bytes that the partner took, over all tries.
    pub(super) fn sent(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Looks what an earlier try left; `listed` is what is known of it. A file that is not what is to
    /// be sent is removed.
    pub(super) fn look(
        &self,
        session: &Session,
        listed: Option<Listed>,
    ) -> Result<Existing, Fault> {
        let size =
            |path: &str| Ok(stat(session, path)?.map(|found| found.size.unwrap_or_default()));
        let target = match listed {
            Some(listed) => listed.target,
            None => size(&self.target)?,
        };
        if let Some(found) = target {
            if found == self.size && self.is_whole(session)? {
                return Ok(Existing::Whole);
            }
            remove(session, &self.target)?;
        }
        let part = match listed {
            Some(listed) => listed.part,
            None => size(&self.part)?,
        };
        Ok(Existing::Part(part.unwrap_or_default()))
    }

    /// Sends all that is not there yet, of which the feed gives the whole.
    pub(super) fn send(
        &self,
        session: &Session,
        existing: u64,
        mut feed: Feed,
    ) -> Result<(), Fault> {
        let doing = self.doing(session);
        let sent = self.send_rest(session, existing, &doing, &mut feed);
        self.after(session, sent)?;
        self.finish(session)
    }

    /// Makes an empty file under the temporary name, into which ranges can be sent over several
    /// connections. What an earlier try left is removed: it may have holes.
    pub(super) fn begin_ranges(&self, session: &Session) -> Result<(), Fault> {
        self.create(session)?
            .close()
            .map_err(|error| session.fault(&self.doing(session), &error))
    }

    /// Sends a range, of which the feed gives the whole, into the file under its temporary name.
    pub(super) fn send_range(
        &self,
        session: &Session,
        range: &Range<u64>,
        mut feed: Feed,
    ) -> Result<(), Fault> {
        let doing = self.doing(session);
        let sent = self.open(session, OpenFlags::WRITE).and_then(|file| {
            write_all(
                session,
                file,
                &doing,
                range.start,
                Bytes::new(),
                &mut feed,
                &self.acknowledged,
            )
        });
        self.after(session, sent)
    }

    /// Checks what has arrived and gives it its name.
    pub(super) fn finish(&self, session: &Session) -> Result<(), Fault> {
        let arrived = stat(session, &self.part)?.and_then(|found| found.size);
        if arrived != Some(self.size) {
            remove(session, &self.part)?;
            return Err(Fault::new(
                Code::TransferCorrupt,
                format!(
                    "the file {} on {} is not complete: {} bytes arrived of {}",
                    session.endpoint().path(&self.target),
                    session.endpoint().site(),
                    arrived.unwrap_or_default(),
                    self.size
                ),
            ));
        }
        rename_replacing(session, &self.part, &self.target, || self.is_whole(session))
    }

    /// Removes what was sent: the file at our end is not what was packaged.
    pub(super) fn abandon(&self, session: &Session) -> Result<(), Fault> {
        remove(session, &self.part)
    }

    fn send_rest(
        &self,
        session: &Session,
        existing: u64,
        doing: &str,
        feed: &mut Feed,
    ) -> Result<(), Fault> {
        let (offset, first) = if (RESUME_FROM_BYTES..=self.size).contains(&existing) {
            self.agree(session, feed)?
        } else {
            (0, Bytes::new())
        };
        if offset == self.size && feed.is_ended() {
            return Ok(());
        }
        let file = if offset == 0 {
            self.create(session)?
        } else {
            self.open(session, OpenFlags::WRITE)?
        };
        write_all(
            session,
            file,
            doing,
            offset,
            first,
            feed,
            &self.acknowledged,
        )
    }

    /// Reads back what is there under the temporary name, as far as it is what the feed gives.
    /// Answers with where they part and the bytes of the feed that begin there.
    fn agree(&self, session: &Session, feed: &mut Feed) -> Result<(u64, Bytes), Fault> {
        let mut file = match self.open(session, OpenFlags::READ) {
            Ok(file) => file,
            // A folder that takes files only: nothing is known of what is there.
            Err(fault) if session.is_sound() => {
                let _not_readable = fault;
                return Ok((0, Bytes::new()));
            }
            Err(fault) => return Err(fault),
        };
        let mut offset = 0;
        let mut buffer = vec![0; READ_BYTES];
        while !feed.is_ended() {
            let Some(mut bytes) = feed.next(session, true)? else {
                continue;
            };
            while !bytes.is_empty() {
                let wanted = bytes.len().min(READ_BYTES);
                let there = buffer.get_mut(..wanted).unwrap_or_default();
                let count = file
                    .read(there)
                    .map_err(|error| session.io_fault(&self.doing_back(session), &error))?;
                let same = in_common(there.get(..count).unwrap_or_default(), &bytes);
                offset += u64::try_from(same).unwrap_or_default();
                let is_over = count == 0 || same < count;
                bytes = bytes.slice(same..);
                if is_over {
                    return Ok((offset, bytes));
                }
            }
        }
        Ok((offset, Bytes::new()))
    }

    /// After an upload was given up half-way answers of the server are outstanding.
    fn after(&self, session: &Session, sent: Result<(), Fault>) -> Result<(), Fault> {
        if let Err(fault) = sent {
            if fault.code == Code::AssetChanged {
                self.abandon(session)?;
            }
            session.retire();
            return Err(fault);
        }
        Ok(())
    }

    /// Opens the file under its temporary name, which was not there.
    fn create(&self, session: &Session) -> Result<File, Fault> {
        let full = session.endpoint().path(&self.part);
        match create(session, &full) {
            // An earlier try left it. It is removed, not written over: a worker that was suspended
            // may still have it open, or be about to give it its final name.
            Err(error) if is_answer(&error) => {
                remove(session, &self.part)?;
                create(session, &full)
            }
            created => created,
        }
        .map_err(|error| session.fault(&self.doing(session), &error))
    }

    /// Opens the file under its temporary name, as it is.
    fn open(&self, session: &Session, flags: OpenFlags) -> Result<File, Fault> {
        let full = session.endpoint().path(&self.part);
        session
            .sftp()
            .open_mode(Path::new(&full), flags, 0, OpenType::File)
            .map_err(|error| session.fault(&self.doing(session), &error))
    }

    /// Whether what lies under the final name is the file, by its hash sum.
    fn is_whole(&self, session: &Session) -> Result<bool, Fault> {
        let full = session.endpoint().path(&self.target);
        let mut file = match session.sftp().open(&full) {
            Ok(file) => file,
            // It cannot be read, as in a folder that takes files only, or is gone.
            Err(error) if is_answer(&error) => return Ok(false),
            Err(error) => return Err(session.fault(&format!("reading {full}"), &error)),
        };
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = file
                .read(&mut buffer)
                .map_err(|error| session.io_fault(&format!("reading back {full}"), &error))?;
            if read == 0 {
                return Ok(hex::encode(hasher.finalize()) == self.sha256);
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
    }

    fn doing(&self, session: &Session) -> String {
        format!("writing {}", session.endpoint().path(&self.part))
    }

    fn doing_back(&self, session: &Session) -> String {
        format!("reading back {}", session.endpoint().path(&self.part))
    }
}

/// How many bytes two slices have in common at their beginning.
fn in_common(one: &[u8], other: &[u8]) -> usize {
    if other.starts_with(one) {
        return one.len();
    }
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}
