//! What is new in the partners' ledgers, as lines.

use std::{collections::HashMap, io};

use platform_adapters::sandbox::{Ledger, ReceivedHandover, Refused, Verdict};
use serde_json::json;

use super::troupe::Troupe;

/// Reads the partners' ledgers again and again.
pub(super) struct News {
    partners: Vec<Known>,
}

/// What is known of a partner already.
struct Known {
    name: &'static str,
    ledger: Ledger,
    /// How often each hand-over was completed.
    completed: HashMap<String, u32>,
    refused: usize,
}

impl News {
    /// Everything that comes from now on is new.
    pub(super) fn after_now(troupe: &Troupe) -> io::Result<Self> {
        let mut partners = Vec::new();
        for (name, ledger) in troupe.ledgers() {
            let mut known = Known {
                name,
                ledger,
                completed: HashMap::new(),
                refused: 0,
            };
            known.next(false)?;
            partners.push(known);
        }
        Ok(Self { partners })
    }

    /// A line for each hand-over and refusal since the last time.
    pub(super) fn next(&mut self, as_json: bool) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for known in &mut self.partners {
            lines.extend(known.next(as_json)?);
        }
        // By the time that each begins with.
        lines.sort_by_key(|(at, _)| *at);
        Ok(lines.into_iter().map(|(_, line)| line).collect())
    }
}

type Line = (chrono::DateTime<chrono::Utc>, String);

impl Known {
    fn next(&mut self, as_json: bool) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for handover in self.ledger.handovers()? {
            let before = self
                .completed
                .insert(handover.key.clone(), handover.completed);
            if before != Some(handover.completed) {
                let line = if as_json {
                    json!({"event": "handover", "partner": self.name, "handover": handover})
                        .to_string()
                } else {
                    received(self.name, &handover)
                };
                lines.push((handover.received_at, line));
            }
        }
        let refused = self.ledger.refused()?;
        for refusal in refused.iter().skip(self.refused) {
            let line = if as_json {
                json!({"event": "refused", "partner": self.name, "refused": refusal}).to_string()
            } else {
                refused_line(self.name, refusal)
            };
            lines.push((refusal.at, line));
        }
        self.refused = refused.len();
        Ok(lines)
    }
}

fn received(partner: &str, handover: &ReceivedHandover) -> String {
    let word = match &handover.verdict {
        Verdict::Accepted if handover.violations.is_empty() => "ACCEPTED",
        Verdict::Accepted => "WRONG",
        Verdict::Rejected(_) => "REJECTED",
    };
    let bytes: u64 = handover.files.iter().map(|file| file.size).sum();
    let mut line = format!(
        "{}  {partner:<12}  {word:<8}  {} of UPC {}, {} files, {bytes} bytes, key {}",
        handover.received_at.format("%T"),
        handover.kind,
        handover.upc,
        handover.files.len(),
        handover.key,
    );
    if handover.completed > 1 {
        line += &format!(", completed {} times", handover.completed);
    }
    if let Verdict::Rejected(reason) = &handover.verdict
        && handover.violations.is_empty()
    {
        line += &format!(": {}", reason);
    }
    if !handover.violations.is_empty() {
        line += &format!(": {}", handover.violations.join("; "));
    }
    one_line(&line)
}

fn refused_line(partner: &str, refused: &Refused) -> String {
    let key = refused.key.as_deref().unwrap_or("none");
    one_line(&format!(
        "{}  {partner:<12}  REFUSED   {} answered with {}, key {key}: {}",
        refused.at.format("%T"),
        refused.request,
        refused.status,
        refused.reasons.join("; "),
    ))
}

/// What a sender wrote, without what would move a terminal's cursor.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
