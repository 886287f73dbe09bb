//! Requests signed with a shared secret, as `api_credentials.hmac` says.

use chrono::{DateTime, SecondsFormat, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Sha256, Sha512};

use super::template::fill;
use crate::settings::{self, HashAlgorithm, TimestampForm};

/// What of a request can be signed.
pub(super) struct Facts<'a> {
    pub(super) method: &'a str,
    pub(super) host: &'a str,
    /// With the query.
    pub(super) path: &'a str,
    /// The idempotency key; empty where the request has none.
    pub(super) key: &'a str,
    pub(super) content_type: &'a str,
    /// Hex; `None` where it is not known before the body is sent.
    pub(super) body_sha256: Option<&'a str>,
}

/// The headers that sign a request, by name. The value of the first is not to be shown.
///
/// # Errors
/// What is wrong with the settings.
pub(super) fn headers(
    hmac: &settings::Hmac,
    secret: &SecretString,
    facts: &Facts<'_>,
    now: DateTime<Utc>,
) -> Result<[(String, String); 2], String> {
    let timestamp = match hmac.timestamp {
        TimestampForm::Unix => now.timestamp().to_string(),
        TimestampForm::Rfc3339 => now.to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    let value = |name: &str| {
        let text = match name {
            "method" => facts.method,
            "host" => facts.host,
            "path" => facts.path,
            "key" => facts.key,
            "content_type" => facts.content_type,
            "key_id" => &hmac.key_id,
            "timestamp" => &timestamp,
            "body_sha256" => facts.body_sha256?,
            _ => return None,
        };
        Some(text.to_owned())
    };
    let unknown = |name: String| match name.as_str() {
        "body_sha256" => "{body_sha256} of a multipart body is not known before it is sent; use \
                          the body \"json\", or sign without it"
            .to_owned(),
        _ => format!("{{{name}}} is not known"),
    };
    let message = fill(&hmac.message, value).map_err(unknown)?;
    let signature = hmac.encoding.encode(&digest(
        hmac.algorithm,
        secret.expose_secret().as_bytes(),
        message.as_bytes(),
    ));
    let signed = fill(&hmac.value, |name| match name {
        "signature" => Some(signature.clone()),
        _ => value(name),
    })
    .map_err(unknown)?;
    Ok([
        (hmac.header.clone(), signed),
        (hmac.timestamp_header.clone(), timestamp),
    ])
}

/// The HMAC of a message.
pub(super) fn digest(algorithm: HashAlgorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    match algorithm {
        HashAlgorithm::Sha256 => mac::<Hmac<Sha256>>(secret, message),
        HashAlgorithm::Sha512 => mac::<Hmac<Sha512>>(secret, message),
    }
}

fn mac<M: KeyInit + Mac>(secret: &[u8], message: &[u8]) -> Vec<u8> {
    // A key of any length is taken; were it not so, an empty signature fits nothing.
    <M as KeyInit>::new_from_slice(secret).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_rfc_4231() {
        let (key, message) = (b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            hex::encode(digest(HashAlgorithm::Sha256, key, message)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(
            hex::encode(digest(HashAlgorithm::Sha512, key, message))
                .starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554")
        );
    }
}
