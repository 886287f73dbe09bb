//! Reading a file: unpacking, hashing, and its records one by one, however long the file is.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use csv::{ByteRecord, Reader, ReaderBuilder};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use super::{Layout, Settings, UsageError, layout::Place};

/// Bytes that are unpacked whatever their ratio: short files may well consist of one line repeated.
const RATIO_FREE_BYTES: u64 = 16 << 20;
/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// What may be read ahead of the record that is given out.
const AHEAD_BYTES: u64 = 2 * BUFFER_BYTES as u64;

/// What a file is found to be when it is read for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// Of the content, unpacked, in hex.
    pub(super) sha256: String,
    /// Without the one with the names.
    pub(super) records: u64,
}

/// The records of a file after the one with the names of the columns.
pub(super) struct Records {
    path: PathBuf,
    reader: Reader<Guard<Hashed<Content>>>,
    /// Bytes that may still be read before the next record is complete.
    allowance: Arc<AtomicU64>,
    max_line_bytes: u64,
    skipped_lines: u64,
    /// Records that were given out.
    records: u64,
    head: ByteRecord,
}

impl Records {
    /// Opens a file, plain or gzip, and reads up to the names of the columns.
    pub(super) fn open(
        path: &Path,
        layout: &Layout,
        settings: &Settings,
    ) -> Result<Self, UsageError> {
        let unreadable = |problem: String| UsageError::Unreadable {
            path: path.to_owned(),
            problem,
        };
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        let mut content = content(file, settings).map_err(|error| unreadable(error.to_string()))?;
        let max_line_bytes = u64::from(settings.max_line_bytes);
        let allowance = Arc::new(AtomicU64::new(max_line_bytes + AHEAD_BYTES));
        skip_lines(&mut content, layout.skip_lines, max_line_bytes)
            .map_err(|error| unreadable(error.to_string()))?;
        let mut records = Self {
            path: path.to_owned(),
            reader: ReaderBuilder::new()
                .delimiter(u8::try_from(layout.delimiter).unwrap_or(b','))
                .has_headers(false)
                .flexible(true)
                .buffer_capacity(BUFFER_BYTES)
                .from_reader(Guard {
                    inner: content,
                    allowance: Arc::clone(&allowance),
                }),
            allowance,
            max_line_bytes,
            skipped_lines: layout.skip_lines.into(),
            records: 0,
            head: ByteRecord::new(),
        };
        let (_, head) = records.next()?.ok_or_else(|| {
            unreadable("it is empty; expected a line with the names of the columns".into())
        })?;
        records.head = head;
        records.records = 0;
        Ok(records)
    }

    /// The names of the columns.
    pub(super) fn head(&self) -> &ByteRecord {
        &self.head
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Result<Option<(Place, ByteRecord)>, UsageError> {
        let mut record = ByteRecord::new();
        self.allowance
            .store(self.max_line_bytes + AHEAD_BYTES, Ordering::Relaxed);
        match self.reader.read_byte_record(&mut record) {
            Ok(true) => {
                self.records += 1;
                let line = record.position().map_or(0, csv::Position::line);
                let place = Place {
                    record: self.records,
                    line: line + self.skipped_lines,
                };
                Ok(Some((place, record)))
            }
            Ok(false) => Ok(None),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    fn unreadable(&self, error: &csv::Error) -> UsageError {
        let line = self.reader.position().line() + self.skipped_lines;
        let problem = match error.kind() {
            csv::ErrorKind::Io(error) => error.to_string(),
            _ => error.to_string(),
        };
        UsageError::Unreadable {
            path: self.path.clone(),
            problem: format!("line {line}: {problem}"),
        }
    }

    /// Reads to the end: whether all of it is CSV, and what it is.
    pub(super) fn survey(mut self) -> Result<Survey, UsageError> {
        let mut records = 0;
        let mut record = ByteRecord::new();
        loop {
            self.allowance
                .store(self.max_line_bytes + AHEAD_BYTES, Ordering::Relaxed);
            match self.reader.read_byte_record(&mut record) {
                Ok(true) => records += 1,
                Ok(false) => break,
                Err(error) => return Err(self.unreadable(&error)),
            }
        }
        let hashed = self.reader.into_inner().inner;
        Ok(Survey {
            sha256: hex::encode(hashed.sha256.finalize()),
            records,
        })
    }
}

/// The file's content, without a byte order mark.
fn content(file: File, settings: &Settings) -> io::Result<Hashed<Content>> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let is_gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let content: Content = match is_gzip {
        true => {
            let packed = Arc::new(AtomicU64::new(0));
            let counted = Counted {
                inner: file,
                read: Arc::clone(&packed),
            };
            let unpacking = Unpacking {
                inner: MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, counted)),
                packed,
                unpacked: 0,
                max_ratio: settings.max_ratio.into(),
            };
            BufReader::with_capacity(BUFFER_BYTES, Box::new(unpacking))
        }
        false => BufReader::with_capacity(BUFFER_BYTES, Box::new(file)),
    };
    let mut content = Hashed {
        inner: content,
        sha256: Sha256::new(),
    };
    let start = content.inner.fill_buf()?;
    if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
        return Err(io::Error::other(
            "it is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8",
        ));
    }
    if start.starts_with(&[0xef, 0xbb, 0xbf]) {
        content.inner.consume(3);
    }
    Ok(content)
}

type Content = BufReader<Box<dyn Read + Send>>;

/// Lines that stand before the table.
fn skip_lines(content: &mut Hashed<Content>, lines: u32, max_line_bytes: u64) -> io::Result<()> {
    for _ in 0..lines {
        let mut line = Vec::new();
        let read = content
            .inner
            .by_ref()
            .take(max_line_bytes)
            .read_until(b'\n', &mut line)?;
        content.sha256.update(&line);
        if u64::try_from(read).unwrap_or(u64::MAX) >= max_line_bytes {
            return Err(io::Error::other(too_long(max_line_bytes)));
        }
    }
    Ok(())
}

fn too_long(max_line_bytes: u64) -> String {
    format!("a line, or a quoted field, is longer than {max_line_bytes} bytes; is a quote missing?")
}

/// Hashes what is read through it.
struct Hashed<R> {
    inner: R,
    sha256: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sha256.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Ends a record that would not end: the CSV reader keeps all of a record in memory.
struct Guard<R> {
    inner: R,
    allowance: Arc<AtomicU64>,
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other(
                "a line, or a quoted field, does not end; is a quote missing?",
            ));
        }
        let read = self.inner.read(buffer)?;
        let left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        self.allowance.store(left, Ordering::Relaxed);
        Ok(read)
    }
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read
            .fetch_add(u64::try_from(read).unwrap_or_default(), Ordering::Relaxed);
        Ok(read)
    }
}

/// Unpacks, and stops where a small file becomes an endless one.
struct Unpacking<R> {
    inner: R,
    packed: Arc<AtomicU64>,
    unpacked: u64,
    max_ratio: u64,
}

impl<R: Read> Read for Unpacking<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.unpacked += u64::try_from(read).unwrap_or_default();
        let packed = self.packed.load(Ordering::Relaxed);
        if self.unpacked > RATIO_FREE_BYTES && self.unpacked / self.max_ratio.max(1) > packed {
            return Err(io::Error::other(format!(
                "its content is more than {} times as long as the file (usage.max_ratio); unpack it \
                 and look at it",
                self.max_ratio
            )));
        }
        Ok(read)
    }
}
