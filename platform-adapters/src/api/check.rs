//! The check of a connection: asks what a delivery would ask, without delivering, and says what an
//! operator must know of the answer.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::{ApiAdapter, answer::Answer, prepare::Names};
use crate::{Code, Fault};

/// The key that the check looks for; no hand-over has it.
pub(crate) const CHECK_KEY: &str = "connection-check";

/// An answer that takes longer is worth a word.
const SLOW: Duration = Duration::from_secs(2);

impl ApiAdapter {
    pub(super) async fn check_connection(&self) -> Result<Vec<String>, Fault> {
        let specs = &self.platform.format_specs.api;
        let url = match &specs.lookup {
            Some(template) => self.url(template, &Names::for_check(CHECK_KEY))?,
            None => self.url("/", &Names::default())?,
        };
        let is_encrypted = url.scheme() == "https";
        let began = Instant::now();
        let answer = self.get(url).await?;
        let took = began.elapsed();
        let fault = answer.fault(&self.named, "did not pass the check", &specs.receipt.reason);
        match fault.code {
            // Any other no is about the address that was asked, which need not exist.
            Code::PartnerRefused => {}
            _ if answer.status.is_success() => {}
            _ => return Err(fault),
        }
        if specs.lookup.is_some() {
            self.check_lookup(&answer)?;
        }
        let mut found = vec![format!(
            "{} answers: {}",
            self.platform.endpoint, answer.status
        )];
        if took > SLOW {
            found.push(format!(
                "it took {:.1} s to answer, which is long for a question",
                took.as_secs_f64()
            ));
        }
        if answer.status.is_success()
            && let Err(problem) = answer.json()
        {
            found.push(format!(
                "its answer cannot be used: {problem}; that is no harm if nothing else stands at \
                 this address, but look whether api_endpoint is right"
            ));
        }
        found.push(if is_encrypted {
            "its certificate is valid".into()
        } else {
            "the connection is not encrypted: credentials and files can be read on the way".into()
        });
        found.push(self.known_by());
        Ok(found)
    }

    /// A look for what cannot be there must find nothing.
    fn check_lookup(&self, answer: &Answer) -> Result<(), Fault> {
        let is_missing = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        if is_missing || self.found_nothing(answer) || !answer.status.is_success() {
            return Ok(());
        }
        let wrong = |code: Code, problem: String, remedy: &str| {
            let message = format!(
                "{} was asked for a delivery that it cannot have, and {problem}",
                self.named
            );
            Fault::new(code, message)
                .with_remedy(remedy)
                .with_evidence(answer.evidence())
        };
        match self.receipt(answer) {
            Ok(receipt) => Err(wrong(
                Code::SettingsInvalid,
                format!(
                    "answered with release {:?}",
                    receipt.partner_release_id.unwrap_or_default()
                ),
                "Mend format_specs.api.lookup: with this one every delivery would be taken for one \
                 that has arrived. It must find a hand-over by {key}, and nothing else.",
            )),
            Err(problem) => Err(wrong(
                Code::PartnerError,
                format!("answered {}, but {problem}", answer.status),
                "Look whether api_endpoint and format_specs.api.lookup lead to the partner's API; if \
                 they do, send the partner its answer.",
            )),
        }
    }

    /// What it did not refuse, for the check of the connection.
    fn known_by(&self) -> String {
        let credentials = &self.platform.credentials;
        let mut held: Vec<&str> = Vec::new();
        if credentials.bearer_token.is_some() {
            held.push("the bearer token");
        }
        if credentials.oauth2.is_some() {
            held.push("the token that oauth2 gave");
        }
        if credentials.password.is_some() {
            held.push("user name and password");
        }
        if credentials.api_key.is_some() {
            held.push("the API key");
        }
        if credentials.hmac.is_some() {
            held.push("the signature");
        }
        if held.is_empty() {
            return "there are no credentials, and it asked for none".into();
        }
        format!("it did not refuse {}", held.join(" and "))
    }
}
