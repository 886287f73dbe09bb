//! Where the partners lie: in a directory of whoever starts them (the state directory) or, where their servers could not get there, in a
//! directory of its own under `/var/tmp`. Started by root, sshd runs as an unprivileged user, and a
//! checkout below `/root` is closed to it.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use nix::unistd::Uid;
use uuid::Uuid;

/// Says in the state directory that the partners are not there but in the directory it names. It
/// ties the two together: without it the other directory belongs to a state that was deleted.
const ELSEWHERE: &str = "partners-are-elsewhere";

/// Finds or makes the directory of the partners.
pub(crate) fn prepare(state_dir: &Path) -> anyhow::Result<PathBuf> {
    let is_root = Uid::effective().is_root();
    if !is_root || is_open(state_dir)? {
        return Ok(state_dir.join("partners"));
    }
    let outside = outside(state_dir);
    let mark = state_dir.join(ELSEWHERE);
    if !mark.exists() {
        remove_ours(&outside)?;
    }
    match fs::DirBuilder::new().mode(0o711).create(&outside) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_ours(&outside) => {}
        made => made.with_context(|| format!("{} cannot be made", outside.display()))?,
    }
    fs::write(mark, outside.as_os_str().as_encoded_bytes())?;
    Ok(outside)
}

/// Removes the directory outside, if this state directory has one.
pub(crate) fn remove(state_dir: &Path) -> anyhow::Result<()> {
    if state_dir.join(ELSEWHERE).exists() {
        remove_ours(&outside(state_dir))?;
        fs::remove_file(state_dir.join(ELSEWHERE))?;
    }
    Ok(())
}

/// Anybody may pass through the directory and all above it.
fn is_open(directory: &Path) -> anyhow::Result<bool> {
    for ancestor in directory.ancestors() {
        let mode = fs::metadata(ancestor)
            .with_context(|| format!("{} cannot be looked at", ancestor.display()))?
            .permissions()
            .mode();
        if mode & 0o001 == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn outside(state_dir: &Path) -> PathBuf {
    let name = Uuid::new_v5(
        &Uuid::NAMESPACE_OID,
        state_dir.as_os_str().as_encoded_bytes(),
    );
    PathBuf::from(format!("/var/tmp/tunemantra-partners-{}", name.simple()))
}

/// Anybody can make a directory of this name beforehand; one of theirs is not used.
fn is_ours(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|found| found.is_dir() && found.uid() == Uid::effective().as_raw())
}

fn remove_ours(path: &Path) -> anyhow::Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    if !is_ours(path) {
        bail!("{} belongs to somebody else; remove it", path.display());
    }
    fs::remove_dir_all(path).with_context(|| format!("{} cannot be removed", path.display()))
}
