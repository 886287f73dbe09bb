//! What a partner puts into our folder: whatever it is, it is read or refused, and never more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use platform_adapters::ddex::{Acknowledgement, Verdict, check_rules, read_message};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(all) = Acknowledgement::read(bytes) {
        for said in all {
            let reason = said.reason();
            assert!(!reason.is_empty() && reason.len() < 20_000);
            // An acceptance that the text itself does not say is none.
            if said.verdict() == Verdict::Accepted {
                let text = String::from_utf8_lossy(bytes);
                let words = ["OK", "SuccessfullyIngested", "ReleaseMadeAvailable"];
                assert!(words.iter().any(|word| text.contains(word)) || text.contains("&#"));
            }
        }
    }
    // Messages are read by the same parser.
    let _ = read_message(bytes);
    let _ = check_rules(bytes);
});
