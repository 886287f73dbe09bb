//! What fuzzing found worth keeping (`scripts/fuzz`): documents that reach every corner of reading. Each
//! is read or refused, and a refusal or a reason never repeats too much of it.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use platform_adapters::ddex::{Acknowledgement, Verdict, check_rules, read_message};

#[test]
fn every_document_of_the_corpus_is_read_or_refused() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/ddex/corpus");
    let (mut all, mut accepted, mut refused) = (0, 0, 0);
    for entry in fs::read_dir(directory).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
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
