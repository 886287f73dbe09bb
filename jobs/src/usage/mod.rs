//! Usage in bulk: reports of streams, downloads and revenue, imported into `analytics`.
//!
//! A file is read twice: once to see that it is whole and what its hash is, then to import it, batch
//! by batch, each in a transaction of its own that also notes how far the file has come, two of them
//! written at once and committed in their order; so an import
//! that was killed goes on where it stopped. Lines are matched to tracks by ISRC, or by the UPC of a
//! release with one track; amounts are converted at the rate of the day of use. What a line said
//! before is kept (`worker.usage_lines`), and so is every line that could not be imported
//! (`worker.usage_unmatched`); these are looked at again every night, and on
//! request.
//!
//! How a format is read is the business of `source` and `layout`, which give lines; the rest knows
//! no format.

mod aside;
mod convert;
mod files;
mod generate;
mod import;
mod job;
mod layout;
mod recording;
mod rematch;
mod source;
mod store;
mod void;

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

pub use files::{File, FileState, Unmatched, UnmatchedFilter, files, unmatched};
pub use generate::{Plan, generate, isrcs};
pub use import::{Examined, Imported, Order, Problem, dry_run, examine, import};
pub use job::{Rematch, Services, entry};
pub use layout::Layout;
pub use rematch::{Rematched, rematch};
pub use void::void;

/// How usage is imported.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Lines in one transaction.
    pub batch_lines: u32,
    /// Bytes of one line at most.
    pub max_line_bytes: u32,
    /// How often a compressed file's content may be longer than the file.
    pub max_ratio: u32,
    /// What the columns of platforms' files mean, by a name for the layout.
    pub layouts: BTreeMap<String, Layout>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_lines: 20_000,
            max_line_bytes: 1 << 20,
            max_ratio: 200,
            layouts: BTreeMap::from([("plain".to_owned(), Layout::default())]),
        }
    }
}

/// Why a file was not imported or not voided.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The file cannot be read, or is none.
    #[error("{}: {problem}", path.display())]
    Unreadable {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// There is no such platform.
    #[error("there is no platform {0} in distribution_platforms")]
    Platform(i32),
    /// Its content was imported already.
    #[error(
        "this content was imported already, as file {id} ({name}); void that first if it is to be \
         imported again: `tunemantra-worker usage void {id}`"
    )]
    Known {
        /// The file's id.
        id: i32,
        /// Its name then.
        name: String,
    },
    /// It was begun in another way.
    #[error(
        "file {id} was begun with platform {platform} and layout {layout}, and is not done; go on with \
         these, or void it first: `tunemantra-worker usage void {id}`"
    )]
    Otherwise {
        /// The file's id.
        id: i32,
        /// The platform it was begun with.
        platform: i32,
        /// The layout it was begun with.
        layout: String,
    },
    /// Another process has come further meanwhile.
    #[error("file {0} is being imported or voided by another process")]
    Busy(i32),
    /// There is no such file.
    #[error("there is no file {0}; `usage list` shows those there are")]
    Missing(i32),
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A task was cut off.
    #[error("reading the file was cut off: {0}")]
    CutOff(String),
}
