//! What a hand-over says of itself, read by the partner's own eyes: only what it needs to judge.

use serde::Deserialize;

use super::ledger::{ReceivedFile, is_file_name};

/// A hand-over's metadata or manifest, as far as the partner reads it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Announced {
    pub(super) kind: String,
    pub(super) upc: String,
    pub(super) files: Vec<ReceivedFile>,
}

impl Announced {
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        let announced: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if !is_gtin(&announced.upc) {
            return Err(format!("{:?} is no bar code", announced.upc));
        }
        if announced.files.is_empty() {
            return Err("it announces no files".into());
        }
        for file in &announced.files {
            if !is_file_name(&file.name) {
                return Err(format!("{:?} is no file name", file.name));
            }
            if file.size == 0 {
                return Err(format!("{} is announced as empty", file.name));
            }
        }
        Ok(announced)
    }

    /// All differences between what was announced and what came.
    pub(super) fn compare(&self, received: &[ReceivedFile]) -> Vec<String> {
        let mut violations = Vec::new();
        for expected in &self.files {
            let name = &expected.name;
            match received.iter().find(|file| file.name == *name) {
                None => violations.push(format!("{name} is missing")),
                Some(file) if file.size != expected.size => violations.push(format!(
                    "{name} has {} bytes, announced were {}",
                    file.size, expected.size
                )),
                Some(file) if file.sha256 != expected.sha256 => violations.push(format!(
                    "{name} has the SHA-256 {}, announced was {}",
                    file.sha256, expected.sha256
                )),
                Some(_) => {}
            }
        }
        for file in received {
            if !self.files.iter().any(|expected| expected.name == file.name) {
                violations.push(format!("{} was not announced", file.name));
            }
        }
        violations
    }
}

/// 12 or 13 digits whose weighted sum is a multiple of ten.
fn is_gtin(text: &str) -> bool {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(10)).collect();
    digits.is_some_and(|digits| {
        let sum: u32 = digits
            .iter()
            .rev()
            .zip([1, 3].into_iter().cycle())
            .map(|(digit, weight)| digit * weight)
            .sum();
        (12..=13).contains(&digits.len()) && sum.is_multiple_of(10)
    })
}
