//! Makes the catalogue's files: tones as WAV and FLAC in `audio`, covers as JPEG in `artwork`.
//! The same track always gives the same bytes; a file that is there and right is kept.

mod artwork;
mod audio;

use std::{
    fs,
    io::{self, Read},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{
    catalogue::{Catalogue, Release, Track},
    screen::Screen,
};

/// One file to be made.
enum Work<'a> {
    Audio(&'a Release, &'a Track),
    Artwork(&'a Release),
}

/// Makes every file of the catalogue below `root` that is not there yet, on all processors, without
/// holding up other tasks. What `stop` interrupts is made next time.
pub(crate) async fn make(
    catalogue: &Arc<Catalogue>,
    root: PathBuf,
    screen: &Arc<Screen>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let (catalogue, screen, stop) = (Arc::clone(catalogue), Arc::clone(screen), stop.clone());
    tokio::task::spawn_blocking(move || {
        make_on_all_processors(&catalogue, &root, &stop, &|done, total| {
            screen.progress(&format!("files: {done} of {total}"), done == total);
        })
    })
    .await
    .context("the task that makes the demo's files ended early")?
}

/// The same, in this thread and its own; `progress` is told how many of how many are done.
pub(super) fn make_on_all_processors(
    catalogue: &Catalogue,
    root: &Path,
    stop: &CancellationToken,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> anyhow::Result<()> {
    let work: Vec<Work<'_>> = catalogue.releases.iter().flat_map(works).collect();
    let total = work.len();
    let done = AtomicUsize::new(0);
    let queue = Mutex::new(work.into_iter());
    let next = || {
        let mut queue = queue.lock().ok()?;
        queue.next().filter(|_| !stop.is_cancelled())
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let running: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(work) = next() {
                        make_one(&work, root)?;
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        running.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a thread that makes the demo's files panicked"))?
        })
    })
}

fn works(release: &Release) -> impl Iterator<Item = Work<'_>> {
    let audio = release
        .tracks
        .iter()
        .map(move |track| Work::Audio(release, track));
    std::iter::once(Work::Artwork(release)).chain(audio)
}

fn make_one(work: &Work<'_>, root: &Path) -> anyhow::Result<()> {
    let (path, magic): (PathBuf, &[u8]) = match work {
        Work::Artwork(release) => (root.join(release.artwork_path()), &[0xff, 0xd8, 0xff]),
        Work::Audio(release, track) => {
            let magic: &[u8] = match track.audio.extension() {
                "flac" => b"fLaC",
                _ => b"RIFF",
            };
            (root.join(release.audio_path(track)), magic)
        }
    };
    if begins_with(&path, magic) {
        return Ok(());
    }
    let bytes = match work {
        Work::Artwork(release) => artwork::jpeg(&release.title, release.upc.as_str())?,
        Work::Audio(_, track) => audio::encode(track)?,
    };
    write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// A file gets its name only when it is complete, so what begins rightly is right.
fn begins_with(path: &Path, magic: &[u8]) -> bool {
    let mut start = vec![0; magic.len()];
    fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok_and(|()| start == magic)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes)?;
    fs::rename(&partial, path)
}

/// A small generator of numbers that look random and are the same at every run (xorshift64*).
struct Dice(u64);

impl Dice {
    /// Seeded with a text: FNV-1a.
    fn of(text: &str) -> Self {
        let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// A number below `limit`; 0 where the limit is 0.
    fn below(&mut self, limit: u32) -> u32 {
        let limit = u64::from(limit.max(1));
        u32::try_from(self.next() % limit).unwrap_or_default()
    }

    /// One of a list.
    fn pick<T: Copy>(&mut self, list: &[T], otherwise: T) -> T {
        let at = self.below(u32::try_from(list.len()).unwrap_or(1)) as usize;
        list.get(at).copied().unwrap_or(otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_file_is_kept_and_a_damaged_one_made_again() {
        let root = tempfile::tempdir().unwrap();
        let go_on = CancellationToken::new();
        let mut catalogue = Catalogue::embedded().unwrap();
        catalogue.releases.truncate(1);
        let (track, cover) = {
            let release = &catalogue.releases[0];
            (
                root.path().join(release.audio_path(&release.tracks[0])),
                root.path().join(release.artwork_path()),
            )
        };
        make_on_all_processors(&catalogue, root.path(), &go_on, &|_, _| {}).unwrap();
        let first = fs::read(&track).unwrap();
        let made = fs::metadata(&cover).unwrap().modified().unwrap();
        fs::write(&track, b"").unwrap();
        make_on_all_processors(&catalogue, root.path(), &go_on, &|_, _| {}).unwrap();
        assert!(fs::read(&track).unwrap() == first, "the same bytes again");
        assert_eq!(fs::metadata(&cover).unwrap().modified().unwrap(), made);
    }
}
