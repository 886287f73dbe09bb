//! `--out DIR`: a copy of what each partner received, as the partner saw it, a folder for each
//! platform.

use std::{fs, io, path::Path};

use anyhow::{Context, bail};
use platform_adapters::sandbox::{Ledger, ReceivedFile};

/// Names a folder as one that a demo wrote, and lists what is in it.
const INDEX: &str = "received.json";

/// Copies messages, manifests and media of every hand-over in the ledger to `out/slug`.
pub(crate) fn copy(ledger: &Ledger, out: &Path, slug: &str) -> anyhow::Result<()> {
    let folder = out.join(slug);
    clear(&folder)?;
    let copy = || -> io::Result<()> {
        let handovers = ledger.handovers()?;
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(INDEX), serde_json::to_vec_pretty(&handovers)?)?;
        for handover in &handovers {
            for name in &handover.documents {
                let place = folder.join(&handover.folder).join(name);
                copy_file(&ledger.document(handover, name), &place)?;
            }
            for ReceivedFile { name, .. } in &handover.files {
                let place = folder.join(&handover.media_folder).join(name);
                copy_file(&ledger.media(handover, name), &place)?;
            }
        }
        Ok(())
    };
    copy().with_context(|| format!("what was received cannot be copied to {}", folder.display()))
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).map(|_| ())
}

/// Takes away what an earlier demo left there, and nothing else.
fn clear(folder: &Path) -> anyhow::Result<()> {
    let is_ours = folder.join(INDEX).exists();
    let is_empty = folder
        .read_dir()
        .is_ok_and(|mut list| list.next().is_none());
    if !folder.exists() || is_empty {
        return Ok(());
    }
    if !is_ours {
        bail!(
            "{} holds something that no demo wrote; give --out another directory",
            folder.display()
        );
    }
    fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))
}
