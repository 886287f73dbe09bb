//! Webhooks, signed as Standard Webhooks has it: the receiver can tell that it is ours, that it is
//! not changed, and that it has had it before.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use platform_adapters::api::guarded_client;
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use super::{
    WebhookSettings,
    notify::{Problem, Told},
};

/// Secrets shorter than this many bytes are no secrets.
const SHORTEST_SECRET_BYTES: usize = 16;

/// A receiver of webhooks.
pub(super) struct Webhook {
    settings: WebhookSettings,
    client: Client,
    timeout: Duration,
}

impl Webhook {
    pub(super) fn new(
        settings: WebhookSettings,
        allow_private_addresses: bool,
        timeout: Duration,
    ) -> Result<Self, String> {
        let client = guarded_client(&settings.url, allow_private_addresses, timeout)
            .map_err(|error| format!("webhook {}: {error}", settings.name))?;
        Ok(Self {
            settings,
            client,
            timeout,
        })
    }

    pub(super) fn wants(&self, event: super::Event) -> bool {
        self.settings.events.is_empty() || self.settings.events.contains(&event)
    }

    pub(super) fn channel(&self) -> String {
        format!("webhook/{}", self.settings.name)
    }

    /// Posts a notification. Of the answer only the status counts; its body is not read.
    pub(super) async fn send(&self, told: &Told, now: DateTime<Utc>) -> Result<(), Problem> {
        let body = told.document().to_string();
        let id = told.id.to_string();
        let timestamp = now.timestamp().to_string();
        let signature = self.signature(&format!("{id}.{timestamp}.{body}"))?;
        let answer = self
            .client
            .post(self.settings.url.clone())
            .timeout(self.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", format!("v1,{signature}"))
            .body(body)
            .send()
            .await
            // The URL may hold a secret.
            .map_err(|error| Problem::passing(chain(&error.without_url())))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(Problem::lasting("the receiver answered 410 Gone")),
            status => Err(Problem::passing(format!("the receiver answered {status}"))),
        }
    }

    fn signature(&self, content: &str) -> Result<String, Problem> {
        let key = signing_key(&self.settings).map_err(Problem::passing)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)
            .map_err(|error| Problem::passing(error.to_string()))?;
        mac.update(content.as_bytes());
        Ok(BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The key behind a webhook's secret.
pub(super) fn signing_key(settings: &WebhookSettings) -> Result<Vec<u8>, String> {
    let name = &settings.name;
    let secret = settings
        .secret
        .reveal(&format!("secret of webhook {name}"))
        .map_err(|fault| fault.message)?;
    secret
        .expose_secret()
        .strip_prefix("whsec_")
        .and_then(|encoded| BASE64_STANDARD.decode(encoded).ok())
        .filter(|key| key.len() >= SHORTEST_SECRET_BYTES)
        .ok_or_else(|| {
            format!(
                "the secret of webhook {name} must be whsec_ and the base64 of at least \
                 {SHORTEST_SECRET_BYTES} bytes; make one: echo whsec_$(openssl rand -base64 32)"
            )
        })
}

/// An error with all that stands behind it, as one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
