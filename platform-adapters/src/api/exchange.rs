//! One request and its answer: timeouts, a bounded answer, and what a broken connection means.

use std::{error::Error, sync::Arc, time::Duration};

use chrono::Utc;
use reqwest::{
    Client, RequestBuilder,
    header::{HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::{
    address::{self, PrivateAddress},
    answer::{self, Answer},
    client::{ClientError, guarded_client},
    request::Sending,
};
use crate::{
    Code, Fault,
    settings::{Platform, TimeoutSpecs},
};

/// How long the parts of an exchange may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Until there is a connection, TLS included.
    pub connect: Duration,
    /// Without a byte moving while the request is being sent or the answer read.
    pub stall: Duration,
    /// From the end of the request to the beginning of the answer: the partner may check what it
    /// got before it answers.
    pub answer: Duration,
    /// The whole exchange may take `connect`, `answer` and the time that its bytes take at this
    /// rate: bytes a second.
    pub slowest_bytes_per_s: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::from(&TimeoutSpecs::default())
    }
}

impl From<&TimeoutSpecs> for Timeouts {
    fn from(specs: &TimeoutSpecs) -> Self {
        Self {
            connect: Duration::from_secs(specs.connect_s),
            stall: Duration::from_secs(specs.stall_s),
            answer: Duration::from_secs(specs.answer_s),
            slowest_bytes_per_s: specs.slowest_bytes_per_s,
        }
    }
}

impl Timeouts {
    fn whole(&self, bytes: u64) -> Duration {
        let moving = bytes / self.slowest_bytes_per_s.max(1);
        self.connect + self.stall + self.answer + Duration::from_secs(moving)
    }
}

/// The connections to one partner.
pub(super) struct Connection {
    pub(super) client: Client,
    timeouts: Timeouts,
    /// `platform 7 ("Nordlys")`, for sentences.
    platform: String,
    allows_private: bool,
    /// The endpoint is: nothing is then sent in the clear, wherever the partner points.
    is_encrypted: bool,
}

impl Connection {
    pub(super) fn new(
        platform: &Platform,
        named: String,
        timeouts: Timeouts,
    ) -> Result<Self, Fault> {
        let allows_private = platform.format_specs.allow_private_addresses;
        let client = guarded_client(&platform.endpoint, allows_private, timeouts.connect).map_err(
            |error| match error {
                ClientError::Private(_) => {
                    private(&format!("api_endpoint of {named}"), &error.to_string())
                }
                ClientError::Setup(error) => Fault::new(
                    Code::WorkerFault,
                    format!("no HTTP client for {named}: {}", chain(&error)),
                ),
            },
        )?;
        let connection = Self {
            client,
            timeouts,
            platform: named,
            allows_private,
            is_encrypted: platform.endpoint.scheme() == "https",
        };
        connection.permitted(&platform.endpoint, "api_endpoint")?;
        Ok(connection)
    }

    /// `platform 7 ("Nordlys")`, for sentences.
    pub(super) fn platform(&self) -> &str {
        &self.platform
    }

    /// A URL that may be sent to, wherever it came from: names are looked at when they are resolved,
    /// addresses here. `what` names its place.
    pub(super) fn permitted(&self, url: &Url, what: &str) -> Result<Url, Fault> {
        let wrong = |problem: String| private(&format!("{what} of {}", self.platform), &problem);
        if !matches!(url.scheme(), "https" | "http") {
            return Err(wrong(format!("{}: is no address for HTTP", url.scheme())));
        }
        if self.is_encrypted && url.scheme() != "https" {
            return Err(wrong("leads away from an encrypted connection".into()));
        }
        if !url.username().is_empty() && what != "api_endpoint" {
            return Err(wrong("holds a user's name".into()));
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        match literal.filter(|address| !self.allows_private && !address::is_public(*address)) {
            Some(address) => Err(wrong(format!("{address} is a private address"))),
            None => Ok(url.clone()),
        }
    }

    /// Sends a request and reads its answer. `bytes` is the request's size, `secrets` are what no
    /// answer may bring into a log.
    pub(super) async fn exchange(
        &self,
        request: RequestBuilder,
        sending: &Arc<Sending>,
        bytes: u64,
        secrets: &[SecretString],
    ) -> Result<Answer, Fault> {
        let talking = async {
            let mut response = request
                .send()
                .await
                .map_err(|error| self.lost(error, sending, secrets))?;
            #[expect(
                clippy::disallowed_methods,
                reason = "when bytes came in is observed; it stands in for the partner's clock"
            )]
            let received_at = Utc::now();
            let mut body = Vec::new();
            let mut is_cut = false;
            while let Some(chunk) = response
                .chunk()
                .await
                .map_err(|error| self.lost(error, sending, secrets))?
            {
                sending.advance(chunk.len());
                if body.len() + chunk.len() > answer::LARGEST_BYTES {
                    is_cut = true;
                    break;
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer {
                status: response.status(),
                headers: clean(response.headers(), secrets),
                body: redacted(body, secrets),
                is_cut,
                received_at,
            })
        };
        let whole = self.timeouts.whole(bytes);
        tokio::select! {
            outcome = tokio::time::timeout(whole, talking) => match outcome {
                Ok(outcome) => outcome,
                Err(_) => Err(self.timed_out(whole, sending)),
            },
            waited = self.stalled(sending) => Err(self.timed_out(waited, sending)),
        }
    }

    /// Ends when nothing has moved for as long as the step at hand allows.
    async fn stalled(&self, sending: &Sending) -> Duration {
        let mut seen = sending.passed();
        loop {
            let wait = if sending.passed() == 0 {
                self.timeouts.connect + self.timeouts.answer.max(self.timeouts.stall)
            } else if sending.is_whole() {
                self.timeouts.answer.max(self.timeouts.stall)
            } else {
                self.timeouts.stall
            };
            tokio::time::sleep(wait).await;
            let now = sending.passed();
            if now == seen {
                return wait;
            }
            seen = now;
        }
    }

    fn timed_out(&self, waited: Duration, sending: &Sending) -> Fault {
        let waited = waited.as_secs_f32();
        if sending.leaves_doubt() {
            return unknown(format!(
                "{} has the whole request and did not answer within {waited} s",
                self.platform
            ));
        }
        Fault::new(
            Code::TimedOut,
            format!("{} let {waited} s pass without a byte", self.platform),
        )
    }

    /// What an error of the connection means for the hand-over.
    fn lost(&self, error: reqwest::Error, sending: &Sending, secrets: &[SecretString]) -> Fault {
        if let Some(fault) = sending.fault() {
            return fault;
        }
        // The URL may hold the key of the hand-over, never anything secret; it is left out because
        // it says nothing that the platform's name does not say.
        let error = error.without_url();
        let text = String::from_utf8_lossy(&redacted(chain(&error).into_bytes(), secrets)).into();
        if let Some(found) = source::<PrivateAddress>(&error) {
            return private(
                &format!("an address of {}", self.platform),
                &found.to_string(),
            );
        }
        if error.is_builder() {
            return Fault::new(
                Code::SettingsInvalid,
                format!("no request to {} can be made: {text}", self.platform),
            );
        }
        if error.is_connect() {
            return self.not_connected(&error, &text);
        }
        if sending.leaves_doubt() {
            return unknown(format!(
                "the connection to {} was lost after the whole request was sent: {text}",
                self.platform
            ));
        }
        Fault::new(
            Code::ConnectionLost,
            format!("the connection to {} was lost: {text}", self.platform),
        )
    }

    fn not_connected(&self, error: &reqwest::Error, text: &String) -> Fault {
        if text.contains("certificate") {
            return Fault::new(
                Code::CertificateInvalid,
                format!("the certificate of {} is not valid: {text}", self.platform),
            );
        }
        let code = if error.is_timeout() {
            Code::TimedOut
        } else {
            Code::ConnectionFailed
        };
        Fault::new(code, format!("no connection to {}: {text}", self.platform))
    }
}

fn unknown(message: String) -> Fault {
    Fault::new(Code::OutcomeUnknown, message).with_remedy(
        "The worker looks at the partner before it sends anything again; a repeated request carries \
         the same idempotency key.",
    )
}

fn private(what: &str, problem: &str) -> Fault {
    Fault::new(Code::SettingsInvalid, format!("{what}: {problem}")).with_remedy(
        "Mend the address, or set format_specs.allow_private_addresses if the partner really is \
         in your own network; then let the platform go on with `platforms resume`.",
    )
}

/// An error with all that stands behind it, as one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    answer::one_line(&text)
}

/// The first error of this type behind another.
fn source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The headers that are read, without what is secret.
fn clean(headers: &HeaderMap, secrets: &[SecretString]) -> HeaderMap {
    let mut clean = HeaderMap::new();
    for (name, value) in headers {
        let value = redacted(value.as_bytes().to_vec(), secrets);
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            clean.append(name.clone(), value);
        }
    }
    clean
}

/// The same bytes without what is secret: a partner may repeat a token in its answer.
fn redacted(mut bytes: Vec<u8>, secrets: &[SecretString]) -> Vec<u8> {
    const INSTEAD: &[u8] = b"[redacted]";
    // Shorter ones protect nothing, and taking them out would spoil the answer.
    const SHORTEST_SECRET_BYTES: usize = 4;
    for secret in secrets {
        let secret = secret.expose_secret().as_bytes();
        if secret.len() < SHORTEST_SECRET_BYTES || secret.len() > bytes.len() {
            continue;
        }
        let mut clean = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while let Some((first, others)) = rest.split_first() {
            if let Some(after) = rest.strip_prefix(secret) {
                clean.extend_from_slice(INSTEAD);
                rest = after;
            } else {
                clean.push(*first);
                rest = others;
            }
        }
        bytes = clean;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_secret_is_taken_out() {
        let secrets = [SecretString::from("tok_1".to_owned())];
        assert_eq!(
            redacted(b"bad tok_1tok_1, tok_".to_vec(), &secrets),
            b"bad [redacted][redacted], tok_"
        );
        assert_eq!(redacted(b"tok".to_vec(), &secrets), b"tok");
    }
}
