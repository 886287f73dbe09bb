//! A partner's own notices to us: verified and read here, by a pure function. Whoever takes the
//! request gives headers and body as they came, and keeps [`Notice::id`] so that the same notice
//! counts once.
//!
//! A signature is compared in constant time; the time that is signed with it must be near ours, so
//! that an old notice cannot be played again for ever.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    answer::{text_at, value_at},
    sign::digest,
    template::fill,
    words::{Word, Words},
};
use crate::{
    Code, Evidence, Fault, Receipt, Status,
    settings::{HashAlgorithm, Platform, SignatureEncoding, WebhookSpecs},
};

/// The longest notice that is read, in bytes.
pub const LARGEST_NOTICE_BYTES: usize = 1 << 20;

/// What a partner says of a hand-over on its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The same for the same notice, however often it comes: a second one is to be answered like the
    /// first and otherwise left alone.
    pub id: String,
    /// Our key of the hand-over ([`crate::Handover::key`]), where the partner repeats it.
    pub key: Option<String>,
    /// The partner's id of the release, where it names it.
    pub partner_release_id: Option<String>,
    /// What it says. The receipt holds only what the notice adds.
    pub status: Status,
}

/// Why a notice is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The platform's settings name no way to verify one, or its secret cannot be read.
    #[error("{0}")]
    Settings(Fault),
    /// A header that is needed is missing or cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// No signature in it is right.
    #[error("the signature is not right")]
    Signature,
    /// The time of sending is too far from ours.
    #[error("it was sent at {sent_at}, more than {tolerance_s} s from now")]
    Stale {
        /// As signed.
        sent_at: DateTime<Utc>,
        /// As the settings allow.
        tolerance_s: u64,
    },
}

/// Verifies and reads a partner's notice. `headers` are those of the request, in any case.
///
/// # Errors
/// [`Untrusted`]: nothing of the body has been believed.
pub fn read(
    platform: &Platform,
    headers: &[(&str, &str)],
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Notice, Untrusted> {
    let named = format!("platform {} ({:?})", platform.id, platform.name);
    let Some(specs) = &platform.format_specs.api.webhook else {
        return Err(Untrusted::Settings(Fault::new(
            Code::SettingsInvalid,
            format!("format_specs.api.webhook of {named} is not set: its notices are not taken"),
        )));
    };
    if body.len() > LARGEST_NOTICE_BYTES {
        return Err(Untrusted::Malformed(format!(
            "it is longer than {LARGEST_NOTICE_BYTES} bytes"
        )));
    }
    let secrets = secrets(platform, &named).map_err(Untrusted::Settings)?;
    let header = |name: &str| {
        headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let signatures = header(&specs.signature_header)
        .ok_or_else(|| Untrusted::Malformed(format!("{} is missing", specs.signature_header)))?;
    let timestamp = timestamp(specs, header(&specs.timestamp_header), signatures)?;
    let id = specs.id_header.as_deref().and_then(header);
    let message = message(specs, timestamp.0, id, body)?;
    verify(specs, &secrets, signatures, &message)?;
    let away = (now - timestamp.1).num_seconds().unsigned_abs();
    if away > specs.tolerance_s {
        return Err(Untrusted::Stale {
            sent_at: timestamp.1,
            tolerance_s: specs.tolerance_s,
        });
    }
    let id = id.map_or_else(|| hex::encode(Sha256::digest(&message)), str::to_owned);
    notice(platform, id, body)
}

fn secrets(platform: &Platform, named: &str) -> Result<Vec<SecretString>, Fault> {
    let what = format!("webhook_secret of {named}");
    let sources = platform
        .credentials
        .webhook_secret
        .as_ref()
        .map(|held| held.all())
        .unwrap_or_default();
    let secrets = sources
        .iter()
        .map(|source| source.reveal(&what))
        .collect::<Result<Vec<_>, _>>()?;
    // With an empty secret anybody could sign.
    if secrets.is_empty() || secrets.iter().any(|one| one.expose_secret().is_empty()) {
        return Err(
            Fault::new(Code::SettingsInvalid, format!("{what} is missing or empty"))
                .with_remedy("Put the secret that the partner signs with into api_credentials."),
        );
    }
    Ok(secrets)
}

/// The time as it stands, for the signed text, and as a time.
fn timestamp<'a>(
    specs: &WebhookSpecs,
    header: Option<&'a str>,
    signatures: &'a str,
) -> Result<(&'a str, DateTime<Utc>), Untrusted> {
    let text = header
        .or_else(|| parts(signatures).find_map(|part| part.strip_prefix("t=")))
        .ok_or_else(|| Untrusted::Malformed(format!("{} is missing", specs.timestamp_header)))?;
    let time = match text.parse::<i64>() {
        // A time in milliseconds has 13 digits for the next three centuries.
        Ok(number) if text.len() == 13 => DateTime::from_timestamp_millis(number),
        Ok(number) => DateTime::from_timestamp(number, 0),
        Err(_) => DateTime::parse_from_rfc3339(text).ok().map(Into::into),
    };
    let time = time.ok_or_else(|| Untrusted::Malformed(format!("{text:?} is no time")))?;
    Ok((text, time))
}

fn parts(header: &str) -> impl Iterator<Item = &str> {
    header
        .split([',', ' '])
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// The signed text. The time must be in it, or an old notice could be given a new one.
fn message(
    specs: &WebhookSpecs,
    timestamp: &str,
    id: Option<&str>,
    body: &[u8],
) -> Result<Vec<u8>, Untrusted> {
    let wrong = |problem: String| {
        let message = format!("format_specs.api.webhook.message {problem}");
        Untrusted::Settings(Fault::new(Code::SettingsInvalid, message))
    };
    let Some((before, after)) = specs.message.split_once("{body}") else {
        return Err(wrong("does not hold {body}".into()));
    };
    if !specs.message.contains("{timestamp}") {
        return Err(wrong("does not hold {timestamp}".into()));
    }
    let filled = |template: &str| {
        fill(template, |name| match name {
            "timestamp" => Some(timestamp.to_owned()),
            "id" => Some(id?.to_owned()),
            _ => None,
        })
        .map_err(|name| wrong(format!("holds {{{name}}}, which the notice does not have")))
    };
    Ok([filled(before)?.as_bytes(), body, filled(after)?.as_bytes()].concat())
}

fn verify(
    specs: &WebhookSpecs,
    secrets: &[SecretString],
    signatures: &str,
    message: &[u8],
) -> Result<(), Untrusted> {
    let given: Vec<String> = parts(signatures)
        .filter_map(|part| part.strip_prefix(specs.signature_prefix.as_str()))
        .map(|part| match specs.encoding {
            SignatureEncoding::Hex => part.to_ascii_lowercase(),
            SignatureEncoding::Base64 => part.to_owned(),
        })
        .collect();
    let is_right = secrets.iter().any(|secret| {
        let right = specs.encoding.encode(&digest(
            HashAlgorithm::Sha256,
            secret.expose_secret().as_bytes(),
            message,
        ));
        given
            .iter()
            .any(|one| is_equal(one.as_bytes(), right.as_bytes()))
    });
    if is_right {
        Ok(())
    } else {
        Err(Untrusted::Signature)
    }
}

/// Takes the same time wherever the two differ.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .fold(0, |difference, (one, other)| difference | (one ^ other))
            == 0
}

fn notice(platform: &Platform, id: String, body: &[u8]) -> Result<Notice, Untrusted> {
    let api = &platform.format_specs.api;
    let json: Value = serde_json::from_slice(body)
        .map_err(|error| Untrusted::Malformed(format!("it is not JSON: {error}")))?;
    let (pointers, words) = (&api.receipt, Words::of(&api.states));
    let said = text_at(&json, &pointers.status).ok_or_else(|| {
        Untrusted::Malformed(format!("there is no state at {:?}", pointers.status))
    })?;
    let evidence = vec![Evidence {
        name: "notice.json".into(),
        media_type: "application/json".into(),
        body: body.to_vec(),
    }];
    let partner_release_id = value_at(&json, &pointers.id);
    let status = match words.read(&said) {
        Some(Word::Accepted) => Status::Accepted(Box::new(Receipt {
            partner_release_id: partner_release_id.clone(),
            url: value_at(&json, &pointers.url),
            confirmed: format!("the partner says {said:?}"),
            is_final: true,
            evidence,
            ..Receipt::default()
        })),
        Some(Word::Rejected) => Status::Rejected {
            reason: text_at(&json, &pointers.reason)
                .unwrap_or_else(|| format!("the partner says {said:?} and gives no reason")),
            evidence,
        },
        Some(Word::Pending | Word::Incomplete) => Status::Pending(said),
        None => {
            return Err(Untrusted::Malformed(format!(
                "{said:?} is no state that is known here"
            )));
        }
    };
    Ok(Notice {
        id,
        key: value_at(&json, api.webhook.as_ref().map_or("", |specs| &specs.key)),
        partner_release_id,
        status,
    })
}
