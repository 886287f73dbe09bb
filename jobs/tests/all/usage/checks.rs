//! What must hold of a report of usage, whatever its bytes are. The fuzz target (`fuzz/`) and the test
//! of its corpus ask the same.

use std::{io::Write as _, path::Path};

use jobs::usage::{Layout, Settings, examine};

/// It is read line by line, or refused whole. Whether it is read. A first byte of 1 takes the layout of
/// a platform that writes otherwise.
pub(crate) fn report(bytes: &[u8]) -> bool {
    let (layout, bytes) = match bytes.split_first() {
        Some((1, rest)) => (other(), rest),
        _ => (Layout::default(), bytes),
    };
    let memory = Path::new("/dev/shm");
    let mut file = match memory.is_dir() {
        true => tempfile::NamedTempFile::new_in(memory).unwrap(),
        false => tempfile::NamedTempFile::new().unwrap(),
    };
    file.write_all(bytes).unwrap();
    let settings = Settings {
        max_line_bytes: 4096,
        ..Settings::default()
    };
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let found = match examine(file.path(), &layout, &settings, now) {
        Ok(found) => found,
        Err(why) => {
            assert!(why.to_string().len() < 2000, "{why}");
            return false;
        }
    };
    let unreadable = found.records - found.readable;
    assert_eq!(found.problems.is_empty(), unreadable == 0);
    for problem in &found.problems {
        assert!(problem.problem.len() < 20_000, "{problem:?}");
    }
    // Read once more it is the same.
    let again = examine(file.path(), &layout, &settings, now).unwrap();
    assert_eq!(found, again);
    found.readable > 0
}

fn other() -> Layout {
    Layout {
        delimiter: ';',
        skip_lines: 1,
        date_format: "%d.%m.%Y".into(),
        quantity: "amount".into(),
        usage: "what".into(),
        usage_streams: vec!["Premium Stream".into()],
        usage_downloads: vec!["Download".into()],
        decimal_comma: true,
        ..Layout::default()
    }
}
