//! Which installed PostgreSQL to run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

/// The oldest major version that the worker's SQL runs on.
const OLDEST_MAJOR: u32 = 15;

/// Where Debian and its kin install one directory per major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The directory of PostgreSQL's programs.
#[derive(Debug)]
pub(super) struct Binaries(PathBuf);

impl Binaries {
    pub(super) fn initdb(&self) -> PathBuf {
        self.0.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }
}

/// The PostgreSQL that a cluster was made by, which is the only one that can run it; for a new
/// cluster, the newest of Debian's directories, or else the one in PATH.
pub(super) fn find(made_by: Option<u32>) -> anyhow::Result<Binaries> {
    let path = env::var_os("PATH").unwrap_or_default();
    find_in(Path::new(DEBIAN), env::split_paths(&path), made_by)
}

pub(super) fn find_in(
    versions: &Path,
    path: impl Iterator<Item = PathBuf>,
    made_by: Option<u32>,
) -> anyhow::Result<Binaries> {
    let fits = |(major, _): &(u32, PathBuf)| made_by.is_none_or(|made_by| made_by == *major);
    let versions = versions.read_dir().into_iter().flatten().flatten();
    let newest = versions.filter_map(|version| with_version(version.path().join("bin")));
    let found = newest
        .filter(fits)
        .max()
        .or_else(|| path.filter_map(with_version).find(fits));
    match (found, made_by) {
        (Some((major, directory)), _) if major >= OLDEST_MAJOR => Ok(Binaries(directory)),
        (Some((major, directory)), _) => bail!(
            "PostgreSQL {OLDEST_MAJOR} or newer is needed, but {} is PostgreSQL {major}; install \
             a newer one (Debian: apt-get install postgresql), or configure the URL of a database",
            directory.display()
        ),
        (None, Some(made_by)) => bail!(
            "the embedded cluster was made by PostgreSQL {made_by}, which is not installed; \
             install it (Debian: apt-get install postgresql-{made_by}), or start with a new state \
             directory"
        ),
        (None, None) => bail!(
            "PostgreSQL {OLDEST_MAJOR} or newer is not installed; install it \
             (Debian: apt-get install postgresql), or configure the URL of a database"
        ),
    }
}

fn with_version(directory: PathBuf) -> Option<(u32, PathBuf)> {
    Some((major_version(&directory)?, directory))
}

/// Nothing where one of the programs is missing or does not run.
fn major_version(directory: &Path) -> Option<u32> {
    if !directory.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(directory.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    parse_major_version(&String::from_utf8_lossy(&output.stdout))
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, or of `... 19beta1`.
pub(super) fn parse_major_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let digits = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version.get(..digits)?.parse().ok()
}
