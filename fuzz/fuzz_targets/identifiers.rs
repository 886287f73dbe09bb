//! A text that is to be an identifier.
#![no_main]

#[path = "../../platform-adapters/tests/all/fuzzed/checks.rs"]
#[allow(dead_code, reason = "each target asks its own part")]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    checks::identifier(bytes);
});
