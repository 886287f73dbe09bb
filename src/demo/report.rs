//! The demo's result: a table for people, or one JSON document.

use std::collections::HashSet;

use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use platform_adapters::sandbox::Verdict;
use serde_json::{Value, json};

use super::{account::Account, royalties::Royalties};

/// The width where standard output is not a terminal.
const PLAIN_WIDTH: u16 = 160;

/// One JSON document with both sides of every delivery.
pub(crate) fn document(accounts: &[Account], royalties: Option<&Royalties>, is_ok: bool) -> Value {
    let deliveries: Vec<Value> = accounts.iter().map(delivery).collect();
    let royalties = royalties.map(Royalties::document);
    // Statistics are of the form, and nothing has computed any.
    json!({"deliveries": deliveries, "royalties": royalties, "statistics": null, "ok": is_ok})
}

fn delivery(account: &Account) -> Value {
    let row = &account.row;
    let files: Vec<Value> = account
        .files
        .iter()
        .map(|file| {
            json!({
                "name": file.name,
                "size": file.size,
                "sha256_sent": file.sha256_sent,
                "sha256_received": file.sha256_received,
            })
        })
        .collect();
    json!({
        "delivery": row.delivery_id,
        "release": row.release_title,
        "release_id": row.release_id,
        "upc": row.upc,
        "platform": row.platform_name,
        "platform_id": row.platform_id,
        "method": row.method,
        "kind": row.kind,
        "state": row.state,
        "attempts": row.attempts,
        "receipt": row.raw_receipt,
        "problems": account.problems,
        "files": files,
    })
}

/// A table with a line for each delivery; below it what is wrong, if anything is.
pub(crate) fn table(accounts: &[Account]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([
            "Release",
            "Platform",
            "Method",
            "State",
            "Attempts",
            "Files equal",
            "What the partner confirmed",
        ]);
    if !table.is_tty() {
        table.set_width(PLAIN_WIDTH);
    }
    let by_release = accounts.chunk_by(|one, other| one.row.release_id == other.row.release_id);
    for (at, of_release) in by_release.enumerate() {
        if at > 0 {
            table.add_row([""]);
        }
        for (line, account) in of_release.iter().enumerate() {
            table.add_row(delivery_row(line, account));
        }
    }
    let mut text = table.to_string();
    for account in accounts {
        for problem in &account.problems {
            text += &format!(
                "\n{:?} on {}: {problem}",
                account.row.release_title, account.row.platform_name
            );
        }
    }
    text
}

/// A release's first row has its title, the second its bar code.
fn delivery_row(line: usize, account: &Account) -> [Cell; 7] {
    let row = &account.row;
    let release = match (line, &row.upc) {
        (0, _) => row.release_title.clone(),
        (1, Some(upc)) => format!("UPC {upc}"),
        _ => String::new(),
    };
    let colour = if account.problems.is_empty() {
        Color::Green
    } else {
        Color::Red
    };
    [
        Cell::new(release),
        Cell::new(&row.platform_name),
        Cell::new(&row.method),
        Cell::new(&row.state).fg(colour),
        Cell::new(row.attempts).set_alignment(CellAlignment::Right),
        Cell::new(files_equal(account)).set_alignment(CellAlignment::Right),
        Cell::new(confirmed(account)),
    ]
}

/// How many files have the same SHA-256 on both sides.
fn files_equal(account: &Account) -> String {
    let equal = account
        .files
        .iter()
        .filter(|file| file.sha256_received.as_ref() == Some(&file.sha256_sent))
        .count();
    format!("{equal} of {}", account.files.len())
}

fn confirmed(account: &Account) -> String {
    let Some(received) = &account.received else {
        return "nothing".into();
    };
    let words = match (&received.verdict, &account.row.receipt) {
        (Verdict::Rejected(_), _) => "rejected",
        (Verdict::Accepted, Some(receipt)) => &receipt.confirmed,
        (Verdict::Accepted, None) => "received",
    };
    let words: Vec<String> = words.split_whitespace().map(shorten).collect();
    words.join(" ")
}

/// Names of acknowledgements are long; their two ends tell them apart. The document has all of it.
fn shorten(word: &str) -> String {
    const LONGEST: usize = 28;
    const END: usize = 12;
    let characters = word.chars().count();
    if characters <= LONGEST {
        return word.to_owned();
    }
    let start: String = word.chars().take(END).collect();
    let end: String = word.chars().skip(characters - END).collect();
    format!("{start}…{end}")
}

/// One line that sums it up.
pub(crate) fn summary(accounts: &[Account], seconds: u64) -> String {
    let well = accounts
        .iter()
        .filter(|account| account.problems.is_empty())
        .count();
    let releases: HashSet<i32> = accounts.iter().map(|a| a.row.release_id).collect();
    let platforms: HashSet<i32> = accounts.iter().map(|a| a.row.platform_id).collect();
    let retried = accounts.iter().filter(|a| a.row.attempts > 1).count();
    let files: usize = accounts.iter().map(|a| a.files.len()).sum();
    format!(
        "{well} of {} deliveries ended as they should: {} releases on {} platforms, {files} files, \
         {retried} deliveries needed more than one attempt; {seconds} s.",
        accounts.len(),
        releases.len(),
        platforms.len()
    )
}
