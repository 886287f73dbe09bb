//! Lyrics: a text of the catalogue that becomes a file of the package.

use bytes::Bytes;
use unicode_normalization::UnicodeNormalization;

use super::{PackagedFile, findings::Findings, hash, numbering::Placed};

/// The longest lyrics that go along, in bytes: what somebody sings in hours. More is some other text.
const MAX_BYTES: usize = 256 * 1024;

/// The lyrics of a track as they are written: in UTF-8 and normal form C, each line ended by a line
/// feed. `None` where it has none.
pub(super) fn check(placed: &Placed<'_>, findings: &mut Findings) -> Option<Bytes> {
    let lyrics = placed.track.lyrics.as_deref()?.trim();
    if lyrics.is_empty() {
        return None;
    }
    let field = format!("{} lyrics", placed.name);
    if lyrics.len() > MAX_BYTES {
        findings.add(
            field,
            format!("are longer than {MAX_BYTES} bytes"),
            "Correct tracks.lyrics: it holds something else than the words of a song.",
        );
        return None;
    }
    let text = lyrics.replace("\r\n", "\n").replace('\r', "\n");
    let is_plain = |c: char| matches!(c, '\n' | '\t') || !c.is_control();
    if let Some(bad) = text.chars().find(|c| !is_plain(*c)) {
        findings.add(
            field,
            format!(
                "hold the character U+{:04X}, which no text file should",
                u32::from(bad)
            ),
            "Delete the invisible character in tracks.lyrics.",
        );
        return None;
    }
    let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
    let text: String = lines.collect::<String>().nfc().collect();
    Some(text.into())
}

/// The file that lyrics go in, beside the audio of this name.
pub(super) fn packaged(audio: &str, track_id: i32, text: Bytes) -> PackagedFile {
    let sums = hash::of_bytes(&text);
    PackagedFile {
        name: format!("{audio}.txt"),
        path: object_store::path::Path::from(format!("tracks.lyrics/{track_id}")),
        size: u64::try_from(text.len()).unwrap_or(u64::MAX),
        sha256: sums.sha256,
        md5: sums.md5,
        media_type: "text/plain",
        text: Some(text),
    }
}
