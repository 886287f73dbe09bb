//! What fuzzing found worth keeping (`scripts/fuzz`): documents that reach every corner of reading. Each
//! is read or refused, and a refusal or a reason never repeats too much of it.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use platform_adapters::ddex::{Acknowledgement, Verdict, check_rules, read_message};
use proptest::prelude::*;

#[test]
fn every_document_of_the_corpus_is_read_or_refused() {
    let (mut all, mut accepted, mut refused) = (0, 0, 0);
    for bytes in corpus() {
        all += 1;
        match Acknowledgement::read(&bytes) {
            Ok(said) => {
                assert!(!said.is_empty());
                assert!(said.iter().all(|one| one.reason().len() < 20_000));
                let verdicts = said.iter().map(Acknowledgement::verdict);
                accepted += usize::from(verdicts.into_iter().any(|one| one == Verdict::Accepted));
            }
            Err(why) => {
                refused += 1;
                assert!(why.to_string().len() < 2000, "{why}");
            }
        }
        let _ = read_message(&bytes);
        let _ = check_rules(&bytes);
    }
    assert!(
        accepted >= 2 && refused >= 5 && all >= 12,
        "{all} {accepted} {refused}"
    );
}

fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/ddex/corpus");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One change of a document: at a place (in thousandths of its length), what and how much.
fn changed(mut bytes: Vec<u8>, (place, what, amount): (usize, u8, u8)) -> Vec<u8> {
    let at = bytes.len() * place / 1000;
    let end = bytes.len().min(at + usize::from(amount));
    let piece = bytes.get(at..end).unwrap_or_default().to_vec();
    match what % 6 {
        0 => drop(bytes.drain(at..end)),
        1 => drop(bytes.splice(at..at, piece)),
        2 => bytes.truncate(at),
        3 => drop(bytes.splice(
            at..end,
            piece.iter().map(|byte| byte ^ what).collect::<Vec<_>>(),
        )),
        4 => drop(bytes.splice(at..at, b"<x a=\"&#1;\"><![CDATA[ ]]>".to_vec())),
        _ => drop(bytes.splice(at..at, std::iter::repeat_n(b'<', usize::from(amount)))),
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_document_is_more_than_read_or_refused(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((0..1000usize, any::<u8>(), any::<u8>()), 1..12),
    ) {
        let bytes = which.get(&corpus()).clone();
        let bytes = changes.into_iter().fold(bytes, changed);
        for said in Acknowledgement::read(&bytes).unwrap_or_default() {
            prop_assert!(!said.reason().is_empty());
        }
        let _ = read_message(&bytes);
        let _ = check_rules(&bytes);
    }
}
