//! The method `api`: one HTTP request with the release's metadata and files, one to ask for its
//! state. What a partner of the usual kind calls its paths and fields stands in
//! `format_specs.api`; no partner has code of its own here.
//!
//! Every hand-over carries its key in `Idempotency-Key`. A partner that honours it answers a
//! repeated request as it answered the first and takes nothing twice; that is what makes it safe to
//! send again after an answer was lost. Where `format_specs.api.lookup` is set, the partner is asked
//! by that key before anything is sent again.

mod address;
mod answer;
mod client;
mod exchange;
mod prepare;
mod request;
mod retry_after;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::StatusCode;
use url::Url;

pub use client::{ClientError, guarded_client};
pub use exchange::Timeouts;

use self::{
    answer::{Answer, text_at, value_at},
    exchange::Connection,
    request::Sending,
    words::Word,
};
use crate::{
    Adapter, Code, Evidence, Fault, Handover, Kind, Located, Receipt, Status,
    package::{AssetStore, Metadata, Package},
    settings::{Confirmation, Platform},
};

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Delivers to one platform over HTTP.
pub struct ApiAdapter {
    platform: Platform,
    /// `platform 7 ("Nordlys")`, for sentences.
    named: String,
    assets: AssetStore,
    connection: Connection,
}

impl ApiAdapter {
    /// An adapter for a platform whose method is `api`.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the endpoint is a private address and the platform does not
    /// allow those; [`Code::WorkerFault`] when no HTTP client can be made.
    pub fn new(platform: &Platform, assets: AssetStore) -> Result<Self, Fault> {
        Self::with_timeouts(platform, assets, Timeouts::default())
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
        let connection = Connection::new(platform, named.clone(), timeouts)?;
        Ok(Self {
            platform: platform.clone(),
            named,
            assets,
            connection,
        })
    }

    async fn hand_over(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault> {
        let url = self.url(&self.platform.format_specs.api.create, &[])?;
        let metadata = Metadata::for_handover(handover, package).to_bytes()?;
        let sending = Arc::new(Sending::default());
        let form = request::form(&metadata, package.files(), &self.assets, &sending)?;
        let bytes = package.files().map(|file| file.size).sum();
        let (request, secrets) = self.authenticated(self.connection.client.post(url))?;
        let request = request
            .header(IDEMPOTENCY_KEY, handover.key())
            .multipart(form);
        let answer = self
            .connection
            .exchange(request, &sending, bytes, &secrets)
            .await?;
        if !answer.status.is_success() {
            return self.refused(handover, package, &answer).await;
        }
        if !sending.is_whole() {
            return Err(Fault::new(
                Code::PartnerError,
                format!(
                    "{} answered {} before it had the whole of {}",
                    self.named,
                    answer.status,
                    package.name()
                ),
            )
            .with_evidence(answer.evidence()));
        }
        let mut receipt = self.receipt(&answer).map_err(|problem| {
            Fault::new(
                Code::OutcomeUnknown,
                format!(
                    "{} answered {} for {}, but {problem}",
                    self.named,
                    answer.status,
                    package.name()
                ),
            )
            .with_evidence(answer.evidence())
        })?;
        receipt.confirmed = format!(
            "{}, {} files in one request",
            answer.status,
            package.files().count()
        );
        receipt.evidence.insert(0, sent(metadata));
        Ok(receipt)
    }

    /// What a refusal means. A conflict may mean that an earlier attempt arrived: its key is looked
    /// up before it is taken for a no.
    async fn refused(
        &self,
        handover: &Handover,
        package: &Package,
        answer: &Answer,
    ) -> Result<Receipt, Fault> {
        let asked = format!("did not take {}", package.name());
        let reason = &self.platform.format_specs.api.receipt.reason;
        let fault = answer.fault(&self.named, &asked, reason);
        match answer.status {
            StatusCode::CONFLICT if fault.retry_after.is_some() => {
                // Our own earlier request under this key is still being worked on.
                Err(Fault {
                    code: Code::Throttled,
                    ..fault
                })
            }
            StatusCode::CONFLICT => match self.look(handover, package).await? {
                Located::Complete(receipt) => Ok(*receipt),
                Located::Absent => Err(fault),
                Located::CannotTell => Err(Fault {
                    code: Code::OutcomeUnknown,
                    ..fault
                }
                .with_remedy(
                    "The partner says that it has something like this already, perhaps from an \
                     earlier attempt. Ask it, or set format_specs.api.lookup so that the worker can.",
                )),
            },
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Err(Fault {
                code: Code::SettingsInvalid,
                ..fault
            }
            .with_remedy(
                "Nothing takes releases at this address: mend api_endpoint or \
                 format_specs.api.create, then let the platform go on with `platforms resume`.",
            )),
            _ => Err(fault),
        }
    }

    async fn take_down(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault> {
        let Some(template) = &self.platform.format_specs.api.takedown else {
            return Err(Fault::new(
                Code::Unsupported,
                format!(
                    "the settings of {} name no way to take {} down",
                    self.named,
                    package.name()
                ),
            )
            .with_remedy(
                "Take it down in the partner's own portal, or set format_specs.api.takedown to \
                 what is to be deleted, such as \"/releases?upc={upc}\".",
            ));
        };
        let url = self.url(template, &[("upc", package.upc.as_str())])?;
        let (request, secrets) = self.authenticated(self.connection.client.delete(url))?;
        let request = request.header(IDEMPOTENCY_KEY, handover.key());
        let answer = self
            .connection
            .exchange(request, &Sending::at_once(), 0, &secrets)
            .await?;
        if answer.status.is_success() || answer.status == StatusCode::GONE {
            return Ok(Receipt {
                confirmed: format!("{}, taken down", answer.status),
                is_final: true,
                evidence: vec![answer.evidence()],
                ..Receipt::default()
            });
        }
        let asked = format!("did not take {} down", package.name());
        let reason = &self.platform.format_specs.api.receipt.reason;
        Err(answer.fault(&self.named, &asked, reason))
    }

    /// Asks for the hand-over by its key.
    async fn look(&self, handover: &Handover, package: &Package) -> Result<Located, Fault> {
        let Some(template) = &self.platform.format_specs.api.lookup else {
            return Ok(Located::CannotTell);
        };
        let key = handover.key();
        let answer = self.get(self.url(template, &[("key", &key)])?).await?;
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Ok(Located::Absent);
        }
        let asked = format!("did not say whether it has delivery {key}");
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
        receipt.confirmed = format!("{}, found by its idempotency key", answer.status);
        receipt.evidence.insert(
            0,
            sent(Metadata::for_handover(handover, package).to_bytes()?),
        );
        Ok(Located::Complete(Box::new(receipt)))
    }

    async fn get(&self, url: Url) -> Result<Answer, Fault> {
        let (request, secrets) = self.authenticated(self.connection.client.get(url))?;
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

/// The document that went out, to be kept.
fn sent(metadata: Vec<u8>) -> Evidence {
    Evidence {
        name: Metadata::FILE_NAME.into(),
        media_type: "application/json".into(),
        body: metadata,
    }
}

#[async_trait]
impl Adapter for ApiAdapter {
    async fn deliver(&self, handover: &Handover, package: &Package) -> Result<Receipt, Fault> {
        match handover.kind {
            Kind::Insert | Kind::Update => self.hand_over(handover, package).await,
            Kind::Takedown => self.take_down(handover, package).await,
        }
    }

    async fn locate(&self, handover: &Handover, package: &Package) -> Result<Located, Fault> {
        match handover.kind {
            Kind::Insert | Kind::Update => Ok(match self.look(handover, package).await? {
                // The same request under the same key is taken once, whether the first arrived
                // or not.
                Located::CannotTell if self.platform.format_specs.api.idempotent => Located::Absent,
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
        let answer = self.get(self.url(&specs.status, &[("id", id)])?).await?;
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
        match Word::read(&said) {
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
            Some(Word::Pending) => Ok(Status::Pending(said)),
            None => Err(not_understood(format!(
                "{said:?} is no state that is known here"
            ))),
        }
    }

    async fn check(&self) -> Result<Vec<String>, Fault> {
        let specs = &self.platform.format_specs.api;
        let url = match &specs.lookup {
            Some(template) => self.url(template, &[("key", "connection-check")])?,
            None => self.url("/", &[])?,
        };
        let is_encrypted = url.scheme() == "https";
        let answer = self.get(url).await?;
        let fault = answer.fault(&self.named, "did not pass the check", &specs.receipt.reason);
        match fault.code {
            // Any other no is about the address that was asked, which need not exist.
            Code::PartnerRefused => {}
            _ if answer.status.is_success() => {}
            _ => return Err(fault),
        }
        let mut found = vec![format!(
            "{} answers: {}",
            self.platform.endpoint, answer.status
        )];
        found.push(if is_encrypted {
            "its certificate is valid".into()
        } else {
            "the connection is not encrypted: credentials and files can be read on the way".into()
        });
        let credentials = &self.platform.credentials;
        found.push(
            match (&credentials.bearer_token, &credentials.api_key) {
                (None, None) => "there are no credentials, and it asked for none",
                (Some(_), _) => "it did not refuse the bearer token",
                (None, Some(_)) => "it did not refuse the API key",
            }
            .into(),
        );
        Ok(found)
    }
}
