//! A report of usage.
#![no_main]

#[path = "../../jobs/tests/all/usage/checks.rs"]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    checks::report(bytes);
});
