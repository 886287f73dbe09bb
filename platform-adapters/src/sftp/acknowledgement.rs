//! The partner's word on a hand-over by the method `sftp`, as it lies in a file:
//!
//! ```json
//! {"delivery": "…-r1-t1", "status": "accepted", "release_id": "NL-4711",
//!  "url": "https://nordlys.example/release/4711"}
//! {"delivery": "…-r1-t1", "status": "rejected", "reason": "The cover shows a web address."}
//! ```
//!
//! Other members are left alone. Anything that is not understood is a fault, never success.

use serde::Deserialize;
use url::Url;

use super::layout::json_document;
use crate::{Code, Fault, Handover, Receipt, Status};

/// An acknowledgement is a few lines.
pub(super) const ACKNOWLEDGEMENT_MAX_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Acknowledgement {
    delivery: String,
    status: String,
    reason: Option<String>,
    release_id: Option<String>,
    url: Option<String>,
}

/// What an acknowledgement says of the hand-over. `path` names it in faults.
pub(super) fn read(
    body: Vec<u8>,
    path: &str,
    handover: &Handover,
    receipt: &Receipt,
) -> Result<Status, Fault> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let evidence = json_document(name, body);
    let not_understood = |problem: String| {
        Fault::new(
            Code::PartnerError,
            format!("the acknowledgement {path} is not understood: {problem}"),
        )
        .with_remedy(
            "Ask the partner to mend the acknowledgement; it is read again until the delivery \
             expires.",
        )
        .with_evidence(evidence.clone())
    };
    let read: Acknowledgement = serde_json::from_slice(&evidence.body)
        .map_err(|error| not_understood(error.to_string()))?;
    if read.delivery != handover.key() {
        return Err(not_understood(format!(
            "it is about the delivery {:?}, not {:?}",
            read.delivery,
            handover.key()
        )));
    }
    match read.status.as_str() {
        "accepted" => {
            let url = read.url.filter(|url| !url.is_empty());
            if let Some(url) = &url
                && !Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
            {
                return Err(not_understood(format!("{url:?} is not a web address")));
            }
            Ok(Status::Accepted(Box::new(Receipt {
                partner_release_id: read.release_id.or(receipt.partner_release_id.clone()),
                url: url.or(receipt.url.clone()),
                confirmed: format!("{}; accepted in {name}", receipt.confirmed),
                is_final: true,
                evidence: vec![evidence],
                ..receipt.clone()
            })))
        }
        "rejected" => Ok(Status::Rejected {
            reason: read
                .reason
                .filter(|reason| !reason.trim().is_empty())
                .unwrap_or_else(|| "the partner gave no reason".into()),
            evidence: vec![evidence],
        }),
        other => Err(not_understood(format!(
            "its status {other:?} is neither accepted nor rejected"
        ))),
    }
}
