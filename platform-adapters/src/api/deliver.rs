//! Handing a release over and taking it down: the requests that change something at the partner.

use std::sync::Arc;

use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    ApiAdapter,
    answer::Answer,
    prepare::{Content, Names},
    request::{self, Sending},
    template,
};
use crate::{
    Code, Evidence, Fault, Handover, Kind, Located, Receipt,
    package::{Metadata, Package},
    settings::{BodyKind, RequestLine},
};

const JSON: &str = "application/json";

impl ApiAdapter {
    pub(super) async fn hand_over(
        &self,
        handover: &Handover,
        package: &Package,
    ) -> Result<Receipt, Fault> {
        let specs = &self.platform.format_specs.api;
        let document = self.document(handover, package)?;
        let id = handover.partner_release_id.as_deref();
        let names = Names::of(handover, package, id);
        let (method, url) = match (&specs.update, handover.kind) {
            (Some(update), Kind::Update) => self.place(update, Method::PUT, &names)?,
            _ => self.place(&specs.create, Method::POST, &names)?,
        };
        if specs.body == BodyKind::Json {
            let request = self
                .request_with(method, url, &document.body, &names)
                .await?;
            return self.in_several(handover, package, document, request).await;
        }
        let sending = Arc::new(Sending::default());
        let form = request::form(
            &document,
            &specs.parts,
            package.files(),
            &self.assets,
            &sending,
        )?;
        let bytes = package.files().map(|file| file.size).sum();
        let (request, secrets) = self
            .request(method, url, Content::Multipart, &names)
            .await?;
        let answer = self
            .connection
            .exchange(request.multipart(form), &sending, bytes, &secrets)
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
        let mut receipt = self.taken(&answer, package, Code::OutcomeUnknown)?;
        receipt.confirmed = format!(
            "{}, {} files in one request",
            answer.status,
            package.files().count()
        );
        receipt.evidence.insert(0, document);
        Ok(receipt)
    }

    /// The document first, then the files, then word that they are all there. Each step may be done
    /// again: the document has its idempotency key, a file is put where it is already.
    async fn in_several(
        &self,
        handover: &Handover,
        package: &Package,
        document: Evidence,
        (request, secrets): (RequestBuilder, Vec<SecretString>),
    ) -> Result<Receipt, Fault> {
        let specs = &self.platform.format_specs.api;
        let has_more = specs.complete.is_some() || specs.files.is_some();
        // Until the last step nothing is handed over, so a lost answer leaves nothing unknown.
        let sending = if has_more {
            Sending::harmless()
        } else {
            Sending::at_once()
        };
        let bytes = u64::try_from(document.body.len()).unwrap_or(u64::MAX);
        let answer = self
            .connection
            .exchange(request, &sending, bytes, &secrets)
            .await?;
        if !answer.status.is_success() {
            return self.refused(handover, package, &answer).await;
        }
        let unreadable = if has_more {
            Code::PartnerError
        } else {
            Code::OutcomeUnknown
        };
        let mut receipt = self.taken(&answer, package, unreadable)?;
        let names = Names::of(handover, package, receipt.partner_release_id.as_deref());
        if let Some(files) = &specs.files {
            self.send_files(files, package, &names, &answer).await?;
        }
        receipt.confirmed = answer.status.to_string();
        if let Some(complete) = &specs.complete {
            let completed = self.complete(complete, package, &names).await?;
            receipt.confirmed = completed.status.to_string();
            receipt.evidence.push(completed.evidence());
        }
        if specs.files.is_some() {
            receipt.confirmed += &format!(", {} files one by one", package.files().count());
        }
        receipt.evidence.insert(0, document);
        Ok(receipt)
    }

    /// Says that all files are there.
    async fn complete(
        &self,
        complete: &RequestLine,
        package: &Package,
        names: &Names,
    ) -> Result<Answer, Fault> {
        let (method, url) = self.place(complete, Method::POST, names)?;
        let (request, secrets) = self.request(method, url, Content::Nothing, names).await?;
        let answer = self
            .connection
            .exchange(request, &Sending::at_once(), 0, &secrets)
            .await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let asked = format!("did not take {} as complete", package.name());
        Err(answer.fault(
            &self.named,
            &asked,
            &self.platform.format_specs.api.receipt.reason,
        ))
    }

    /// A request whose body is the document.
    async fn request_with(
        &self,
        method: Method,
        url: url::Url,
        body: &[u8],
        names: &Names,
    ) -> Result<(RequestBuilder, Vec<SecretString>), Fault> {
        let content = Content::Known {
            sha256: Some(hex::encode(Sha256::digest(body))),
            media_type: JSON,
        };
        let (request, secrets) = self.request(method, url, content, names).await?;
        Ok((request.body(body.to_vec()), secrets))
    }

    /// The document that goes out: our own, or the partner's made from it.
    pub(super) fn document(
        &self,
        handover: &Handover,
        package: &Package,
    ) -> Result<Evidence, Fault> {
        let ours = Metadata::for_handover(handover, package);
        let wrong = |problem: String| {
            Fault::new(
                Code::SettingsInvalid,
                format!("format_specs.api.document of {}: {problem}", self.named),
            )
        };
        let (name, body) = match &self.platform.format_specs.api.document {
            None => (Metadata::FILE_NAME, ours.to_bytes()?),
            Some(template) => {
                let ours: Value =
                    serde_json::to_value(ours).map_err(|error| wrong(error.to_string()))?;
                let theirs = template::render(template, &ours).map_err(wrong)?;
                ("document.json", theirs.to_string().into_bytes())
            }
        };
        Ok(Evidence {
            name: name.into(),
            media_type: JSON.into(),
            body,
        })
    }

    /// The receipt of a request that was taken. `otherwise` is what it means when the answer does
    /// not say under which id.
    fn taken(&self, answer: &Answer, package: &Package, otherwise: Code) -> Result<Receipt, Fault> {
        self.receipt(answer).map_err(|problem| {
            Fault::new(
                otherwise,
                format!(
                    "{} answered {} for {}, but {problem}",
                    self.named,
                    answer.status,
                    package.name()
                ),
            )
            .with_evidence(answer.evidence())
        })
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
                Located::CannotTell | Located::Repeatable => Err(Fault {
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

    pub(super) async fn take_down(
        &self,
        handover: &Handover,
        package: &Package,
    ) -> Result<Receipt, Fault> {
        let specs = &self.platform.format_specs.api;
        let Some(line) = &specs.takedown else {
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
                 what is to be deleted, such as \"/releases/{id}\" or \"/releases?upc={upc}\".",
            ));
        };
        let id = handover.partner_release_id.as_deref();
        let names = Names::of(handover, package, id);
        let (method, url) = self.place(line, Method::DELETE, &names)?;
        let mut evidence = Vec::new();
        let (request, secrets) = if method == Method::DELETE {
            self.request(method, url, Content::Nothing, &names).await?
        } else {
            let document = self.document(handover, package)?;
            let prepared = self
                .request_with(method, url, &document.body, &names)
                .await?;
            evidence.push(document);
            prepared
        };
        let answer = self
            .connection
            .exchange(request, &Sending::at_once(), 0, &secrets)
            .await?;
        if answer.status.is_success() || answer.status == StatusCode::GONE {
            evidence.push(answer.evidence());
            return Ok(Receipt {
                confirmed: format!("{}, taken down", answer.status),
                is_final: true,
                evidence,
                ..Receipt::default()
            });
        }
        let asked = format!("did not take {} down", package.name());
        Err(answer.fault(&self.named, &asked, &specs.receipt.reason))
    }
}
