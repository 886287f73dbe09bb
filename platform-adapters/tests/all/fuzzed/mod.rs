//! Bytes that others wrote, whatever they are: each is taken or refused with a sentence. The corpora
//! are what `scripts/fuzz` found to reach every corner, and what it found wrong.

pub(crate) mod checks;

use std::{fs, path::Path};

use proptest::{prelude::*, test_runner::TestRunner};

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/fuzzed/corpus");
    let mut paths: Vec<_> = fs::read_dir(directory.join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A few bytes of an input exchanged, taken away or repeated.
fn changed(mut bytes: Vec<u8>, (place, length, what): (usize, usize, u8)) -> Vec<u8> {
    let at = bytes.len() * place / 1000;
    let end = bytes.len().min(at + length);
    match what % 4 {
        0 => drop(bytes.drain(at..end)),
        1 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
        2 => bytes[at..end].fill(what),
        _ => bytes.truncate(at),
    }
    bytes
}

/// Every input of a corpus, and changes of them. Some are taken and some are not.
fn hold(name: &str, check: fn(&[u8]) -> bool) {
    let all = corpus(name);
    let taken = all.iter().filter(|bytes| check(bytes)).count();
    assert!(
        taken >= 1 && taken < all.len(),
        "{name}: {taken} of {}",
        all.len()
    );
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let changes = prop::collection::vec((0..1000usize, 0..64usize, any::<u8>()), 1..6);
    runner
        .run(
            &(any::<prop::sample::Index>(), changes),
            |(which, changes)| {
                let bytes = which.get(&all).clone();
                check(&changes.into_iter().fold(bytes, changed));
                Ok(())
            },
        )
        .unwrap();
}

#[test]
fn audio() {
    hold("audio", checks::audio);
}

#[test]
fn artwork() {
    hold("artwork", checks::artwork);
}

#[test]
fn platforms() {
    hold("platforms", checks::platform);
}

#[test]
fn identifiers() {
    hold("identifiers", checks::identifier);
}
