//! The method `api`: the release's metadata and files over HTTP, in one request or in several, and a
//! request to ask for its state. What a partner of the usual kind calls its paths and fields, and
//! how it knows us, stands in `format_specs.api` and `api_credentials`; no partner has code of its
//! own here.
//!
//! Every hand-over carries its key in `Idempotency-Key`. A partner that honours it answers a
//! repeated request as it answered the first and takes nothing twice; that is what makes it safe to
//! send again after an answer was lost. Where `format_specs.api.lookup` is set, the partner is asked
//! by that key before anything is sent again.

mod address;
mod answer;
mod auth;
mod check;
mod client;
mod deliver;
mod exchange;
mod prepare;
mod request;
mod retry_after;
mod sign;
mod template;
mod uploads;
pub mod webhook;
mod words;

use std::time::Instant;

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use url::Url;

pub(crate) use check::CHECK_KEY;
pub use client::{ClientError, guarded_client};
pub use exchange::Timeouts;

use self::{
    answer::{Answer, leads_into_an_empty_list, text_at, value_at},
    auth::Tokens,
    exchange::Connection,
    prepare::{Content, Names},
    request::Sending,
    words::{Word, Words},
};
use crate::{
    Adapter, Code, Fault, Handover, Kind, Located, Receipt, Status,
    package::{AssetStore, Package},
    settings::{Confirmation, Platform},
};

/// Delivers to one platform over HTTP.
pub struct ApiAdapter {
    platform: Platform,
    /// `platform 7 ("Nordlys")`, for sentences.
    named: String,
    assets: AssetStore,
    connection: Connection,
    tokens: Tokens,
}

impl ApiAdapter {
    /// An adapter for a platform whose method is `api`.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the endpoint is a private address and the platform does not
    /// allow those; [`Code::WorkerFault`] when no HTTP client can be made.
    pub fn new(platform: &Platform, assets: AssetStore) -> Result<Self, Fault> {
        let timeouts = Timeouts::from(&platform.format_specs.api.timeouts);
        Self::with_timeouts(platform, assets, timeouts)
    }

    /// The same, with other timeouts.
    ///
    /// # Errors
    /// As [`ApiAdapter::new`].
    pub fn with_timeouts(
        platform: &Platform,
        assets: AssetStore,
        timeouts: Timeouts,
    ) -> Result<Self, Fault> {
        let named = format!("platform {} ({:?})", platform.id, platform.name);
        auth::scheme(&platform.credentials).map_err(|names| {
            Fault::new(
                Code::SettingsInvalid,
                format!(
                    "api_credentials of {named} holds {names}, and a request can carry one of them"
                ),
            )
            .with_remedy("Leave in only what the partner asks for.")
        })?;
        let connection = Connection::new(platform, named.clone(), timeouts)?;
        Ok(Self {
            platform: platform.clone(),
            named,
            assets,
            connection,
            tokens: Tokens::default(),
        })
    }

    /// Asks for the hand-over by its key.
    async fn look(&self, handover: &Handover, package: &Package) -> Result<Located, Fault> {
        let Some(template) = &self.platform.format_specs.api.lookup else {
            return Ok(Located::CannotTell);
        };
        let key = handover.key();
        let url = self.url(template, &Names::of(handover, package, None))?;
        let answer = self.get(url).await?;
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Ok(Located::Absent);
        }
        let asked = format!("did not say whether it has delivery {key}");
        if self.found_nothing(&answer) {
            return Ok(Located::Absent);
        }
        if !answer.status.is_success() {
            let reason = &self.platform.format_specs.api.receipt.reason;
            return Err(answer.fault(&self.named, &asked, reason));
        }
        let mut receipt = self.receipt(&answer).map_err(|problem| {
            Fault::new(
                Code::PartnerError,
                format!("{} {asked}: {}, but {problem}", self.named, answer.status),
            )
            .with_evidence(answer.evidence())
        })?;
        let state = answer
            .json()
            .ok()
            .and_then(|json| text_at(&json, &self.platform.format_specs.api.receipt.status))
            .and_then(|said| Words::of(&self.platform.format_specs.api.states).read(&said));
        if state == Some(Word::Incomplete) {
            return Ok(Located::Absent);
        }
        receipt.confirmed = format!("{}, found by its idempotency key", answer.status);
        receipt
            .evidence
            .insert(0, self.document(handover, package)?);
        Ok(Located::Complete(Box::new(receipt)))
    }

    /// Whether a partner that answers a search with a list answers with an empty one.
    fn found_nothing(&self, answer: &Answer) -> bool {
        let pointer = &self.platform.format_specs.api.receipt.id;
        answer.status.is_success()
            && answer
                .json()
                .is_ok_and(|json| leads_into_an_empty_list(&json, pointer))
    }

    /// A request without a body, repeated once with a new token where the old one has ended.
    async fn get(&self, url: Url) -> Result<Answer, Fault> {
        let began = Instant::now();
        let answer = self.get_once(url.clone()).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.tokens.forget_before(began).await {
            return self.get_once(url).await;
        }
        Ok(answer)
    }

    /// Whether the partner refused a token that was fetched for an earlier request, and may take a
    /// new one.
    async fn is_for_want_of_a_token(&self, fault: &Fault, began: Instant) -> bool {
        fault.code == Code::CredentialsRefused && self.tokens.forget_before(began).await
    }

    async fn get_once(&self, url: Url) -> Result<Answer, Fault> {
        let (request, secrets) = self
            .request(Method::GET, url, Content::Nothing, &Names::default())
            .await?;
        self.connection
            .exchange(request, &Sending::harmless(), 0, &secrets)
            .await
    }

    /// Reads id and URL from an answer, or says what is wrong with it.
    fn receipt(&self, answer: &Answer) -> Result<Receipt, String> {
        let pointers = &self.platform.format_specs.api.receipt;
        let json = answer
            .json()
            .map_err(|problem| format!("its answer cannot be used: {problem}"))?;
        let id = value_at(&json, &pointers.id).ok_or_else(|| {
            format!(
                "its answer holds no id at {:?}: {}",
                pointers.id,
                answer.words("")
            )
        })?;
        Ok(Receipt {
            partner_release_id: Some(id),
            url: value_at(&json, &pointers.url),
            is_final: self.platform.format_specs.confirmation == Some(Confirmation::None),
            evidence: vec![answer.evidence()],
            ..Receipt::default()
        })
    }
}

#[async_trait]
impl Adapter for ApiAdapter {
    async fn deliver(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault> {
        let send = async || match handover.kind {
            Kind::Insert | Kind::Update => self.hand_over(handover, package).await,
            Kind::Takedown => self.take_down(handover, package).await,
        };
        let began = Instant::now();
        match send().await {
            Err(fault) if self.is_for_want_of_a_token(&fault, began).await => send().await,
            outcome => outcome,
        }
    }

    async fn locate(&self, handover: &Handover, package: &Package) -> Result<Located, Fault> {
        match handover.kind {
            Kind::Insert | Kind::Update => Ok(match self.look(handover, package).await? {
                // The same request under the same key is taken once, whether the first arrived
                // or not.
                Located::CannotTell if self.platform.format_specs.api.idempotent => {
                    Located::Repeatable
                }
                found => found,
            }),
            // Deleting twice leaves what deleting once leaves.
            Kind::Takedown => Ok(Located::Absent),
        }
    }

    async fn status(&self, handover: &Handover, receipt: &Receipt) -> Result<Status, Fault> {
        let specs = &self.platform.format_specs.api;
        let Some(id) = &receipt.partner_release_id else {
            return Err(Fault::new(
                Code::Unsupported,
                format!(
                    "{} gave no id for delivery {}, so its state cannot be asked for",
                    self.named,
                    handover.key()
                ),
            ));
        };
        let asked = format!("did not tell the state of its release {id:?}");
        let answer = self
            .get(self.url(&specs.status, &Names::new(handover, Some(id)))?)
            .await?;
        if !answer.status.is_success() {
            let fault = answer.fault(&self.named, &asked, &specs.receipt.reason);
            return Err(match fault.code {
                // The release was handed over; a no to the question is not a no to the release.
                Code::PartnerRefused => Fault {
                    code: Code::PartnerError,
                    ..fault
                },
                _ => fault,
            });
        }
        let not_understood = |problem: String| {
            Fault::new(
                Code::PartnerError,
                format!("{} {asked}: {}, but {problem}", self.named, answer.status),
            )
            .with_evidence(answer.evidence())
        };
        let json = answer.json().map_err(not_understood)?;
        let said = text_at(&json, &specs.receipt.status).ok_or_else(|| {
            not_understood(format!(
                "there is no state at {:?}: {}",
                specs.receipt.status,
                answer.words("")
            ))
        })?;
        match Words::of(&specs.states).read(&said) {
            Some(Word::Accepted) => Ok(Status::Accepted(Box::new(Receipt {
                url: value_at(&json, &specs.receipt.url).or_else(|| receipt.url.clone()),
                confirmed: format!("the partner says {said:?}"),
                is_final: true,
                evidence: vec![answer.evidence()],
                ..receipt.clone()
            }))),
            Some(Word::Rejected) => Ok(Status::Rejected {
                reason: text_at(&json, &specs.receipt.reason)
                    .unwrap_or_else(|| format!("the partner says {said:?} and gives no reason")),
                evidence: vec![answer.evidence()],
            }),
            Some(Word::Pending | Word::Incomplete) => Ok(Status::Pending(said)),
            None => Err(not_understood(format!(
                "{said:?} is no state that is known here"
            ))),
        }
    }

    async fn check(&self) -> Result<Vec<String>, Fault> {
        self.check_connection().await
    }
}
