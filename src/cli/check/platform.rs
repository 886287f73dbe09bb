//! One platform's settings.

use std::{path::Path, sync::Arc};

use platform_adapters::{
    Adapter, connect,
    package::AssetStore,
    release::ReleaseType,
    settings::{Method, Platform, PlatformRow, SecretReference, SecretSource},
};
use serde::Deserialize as _;
use serde_json::Value;

use super::{Finding, Level, environment::Environment, keys};

/// What a finding about this platform is about.
pub(super) fn subject(row: &PlatformRow) -> String {
    format!("platform {} ({:?})", row.id, row.name)
}

/// Everything that can be said without connecting. The adapter, if there can be one.
pub(super) fn examine(
    row: &PlatformRow,
    environment: &Environment,
    findings: &mut Vec<Finding>,
) -> Option<Arc<dyn Adapter>> {
    let subject = subject(row);
    let before = findings.len();
    let adapter = settings(row, environment, &subject, findings);
    let is_clean = findings
        .get(before..)
        .is_some_and(|own| own.iter().all(|one| one.level == Level::Ok));
    if is_clean {
        findings.push(Finding::ok(subject, "its settings are in order"));
    }
    adapter
}

fn settings(
    row: &PlatformRow,
    environment: &Environment,
    subject: &str,
    findings: &mut Vec<Finding>,
) -> Option<Arc<dyn Adapter>> {
    let unknown = keys::unknown(row);
    if !unknown.is_empty() {
        findings.push(Finding::warn(
            subject,
            format!("{}: not known, so not heeded", unknown.join(", ")),
            "Look for a slip of the pen: config/platforms/README.md has all keys.",
        ));
    }
    let mut platform = match Platform::from_row(row) {
        Ok(platform) => platform,
        Err(fault) => {
            findings.push(Finding::fault(subject, &fault));
            return None;
        }
    };
    if let Some(keyring) = &environment.options.keyring {
        platform.credentials.unlock_with(keyring);
    }
    words(row, &platform, subject, findings);
    credentials(&platform, subject, findings);
    if platform.method == Method::Ddex && environment.options.ddex_schemas.is_none() {
        findings.push(Finding::warn(
            subject,
            "its messages are not validated before they are sent",
            "Set ddex.schemas to the directory with DDEX's .xsd files.",
        ));
    }
    // Nothing is read from it here; where the assets should be has been said already.
    let assets = environment
        .assets
        .clone()
        .or_else(|| AssetStore::local(Path::new("/")).ok())?;
    match connect(platform, assets, &environment.options) {
        Ok(adapter) => Some(adapter),
        Err(fault) => {
            findings.push(Finding::fault(subject, &fault));
            None
        }
    }
}

/// Columns whose words can be of no effect.
fn words(row: &PlatformRow, platform: &Platform, subject: &str, findings: &mut Vec<Finding>) {
    let text = row.processing_time.as_deref().unwrap_or_default();
    if !text.trim().is_empty() && platform.processing_time.is_none() {
        findings.push(Finding::warn(
            subject,
            format!("processing_time {text:?} cannot be read, so it counts as not given"),
            "Write it as \"48 hours\" or \"2-5 days\".",
        ));
    }
    let is_type = |label: &&String| {
        let label = Value::String(label.to_ascii_lowercase());
        ReleaseType::deserialize(label).is_ok()
    };
    let odd: Vec<&String> = platform
        .supported_content
        .iter()
        .filter(|label| !is_type(label))
        .collect();
    if !odd.is_empty() {
        findings.push(Finding::warn(
            subject,
            format!("supported_content {odd:?}: there is no such type of release"),
            "The types are single, album, ep, compilation, remix, live.",
        ));
    }
    let odd: Vec<&String> = platform
        .territory_restrictions
        .iter()
        .filter(|code| code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase()))
        .collect();
    if !odd.is_empty() {
        findings.push(Finding::warn(
            subject,
            format!("territory_restrictions {odd:?}: no ISO 3166-1 codes"),
            "Write territories with two letters: KP.",
        ));
    }
}

fn credentials(platform: &Platform, subject: &str, findings: &mut Vec<Finding>) {
    let credentials = &platform.credentials;
    match platform.method {
        Method::Api if credentials.is_anonymous() => {
            findings.push(Finding::warn(
                subject,
                "api_credentials has none of bearer_token, api_key, password, oauth2 and hmac: the \
                 partner cannot know us",
                "Put what the partner gave into one of them.",
            ));
        }
        Method::Ddex
            if platform.endpoint.scheme() == "s3"
                && (credentials.username.is_none() || credentials.password.is_none()) =>
        {
            findings.push(Finding::fail(
                subject,
                "api_credentials lacks username or password: the object store cannot know us",
                "Put the access key's id into username, and the secret access key into password.",
            ));
        }
        Method::Sftp | Method::Ddex
            if platform.endpoint.scheme() == "sftp" && credentials.host_key.is_none() =>
        {
            findings.push(Finding::fail(
                subject,
                "api_credentials.host_key is missing, and nothing is sent to a server that may be \
                 anybody's",
                format!(
                    "Ask the partner for its host key's fingerprint (SHA256:…); \
                     `tunemantra-worker platforms check {}` says which one the server shows.",
                    platform.id
                ),
            ));
        }
        _ => {}
    }
    for (name, source) in credentials.secrets() {
        let column = format!("api_credentials.{name}");
        if source.is_plain() {
            findings.push(Finding::warn(
                subject,
                format!("{column} stands in the database in plain, for all who can read it"),
                format!(
                    "Seal it: `tunemantra-worker platforms seal {}`. Or put it into a file that \
                     only the worker's user reads, and {{\"file\": \"/path\"}} in its place.",
                    platform.id
                ),
            ));
        } else if let (SecretSource::Reference(reference), Err(fault)) =
            (source, source.reveal(&column))
        {
            findings.push(unreadable(reference, subject, &fault.message));
        }
    }
}

/// A secret that the service has need not be there for whoever runs this.
pub(super) fn unreadable(reference: &SecretReference, subject: &str, message: &str) -> Finding {
    let from_service = match reference {
        SecretReference::Credential(_) => std::env::var_os("CREDENTIALS_DIRECTORY").is_none(),
        SecretReference::Env(_) => true,
        SecretReference::File(_) | SecretReference::Sealed(_) => false,
    };
    if from_service {
        Finding::warn(
            subject,
            format!("cannot be looked at from here: {message}"),
            "Make sure that the daemon's service sets it.",
        )
    } else {
        Finding::fail(
            subject,
            message,
            "Put the secret there, readable for the worker's user, or mend the reference.",
        )
    }
}
