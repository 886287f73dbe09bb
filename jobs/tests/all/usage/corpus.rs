//! What fuzzing found worth keeping of reports (`scripts/fuzz`): each is read line by line, or refused
//! whole.

use std::{fs, path::Path};

use super::checks;

#[test]
fn every_report_of_the_corpus_is_read_or_refused() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/usage/corpus");
    let reports: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let read = reports.iter().filter(|bytes| checks::report(bytes)).count();
    assert!(
        read >= 5 && reports.len() - read >= 3,
        "{read} of {}",
        reports.len()
    );
}
