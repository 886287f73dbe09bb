//! Files as requests of their own: to a path of the partner, or to URLs that its answer names. Where
//! the partner takes byte ranges, a file goes on where it stopped.

use std::{collections::HashMap, sync::Arc, time::Duration};

use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE},
};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::{
    ApiAdapter,
    answer::Answer,
    prepare::{Content, Names, header_name, header_value},
    request::{self, Sending},
};
use crate::{
    Code, Fault, FaultClass,
    package::{Package, PackagedFile},
    settings::{FileSpecs, Ranges},
};

/// Faults of the connection in a row, without a byte more at the partner, after which a file is
/// given up for this attempt.
const FRUITLESS_LIMIT: u32 = 4;

/// Between a fault and the next try; it grows with each in a row.
const PAUSE: Duration = Duration::from_millis(500);

/// Where a file goes.
struct Target {
    method: Method,
    url: Url,
    /// As the partner's answer asks for.
    headers: Vec<(String, String)>,
    /// The partner itself, who is to know us; a URL elsewhere carries its own leave.
    is_partner: bool,
}

/// What the partner has of a file.
enum Progress {
    Whole,
    Bytes(u64),
}

impl ApiAdapter {
    /// Sends every file. `answer` is the partner's to the document.
    pub(super) async fn send_files(
        &self,
        specs: &FileSpecs,
        package: &Package,
        names: &Names,
        answer: &Answer,
    ) -> Result<(), Fault> {
        let named = match &specs.to {
            Some(_) => HashMap::new(),
            None => self.named_urls(specs, answer)?,
        };
        for file in package.files() {
            let names = names.with_file(file);
            let target = match &specs.to {
                Some(line) => {
                    let (method, url) = self.place(line, Method::PUT, &names)?;
                    Target {
                        method,
                        url,
                        headers: Vec::new(),
                        is_partner: true,
                    }
                }
                None => self.target(file, &named, answer)?,
            };
            match specs.ranges {
                Ranges::None => {
                    let answer = self.put(&target, file, 0..file.size, &names).await?;
                    self.expect_taken(&answer, &target, file)?;
                }
                Ranges::ContentRange => {
                    let piece = specs.piece_bytes.max(1);
                    self.send_in_pieces(&target, file, &names, piece).await?;
                }
            }
        }
        Ok(())
    }

    /// URL and headers of each file by its name, as the partner's answer has them.
    fn named_urls(
        &self,
        specs: &FileSpecs,
        answer: &Answer,
    ) -> Result<HashMap<String, (String, Value)>, Fault> {
        let wrong = |problem: String| {
            Fault::new(
                Code::PartnerError,
                format!("{} took the document, but {problem}", self.named),
            )
            .with_evidence(answer.evidence())
        };
        let json = answer.json().map_err(&wrong)?;
        let text = |value: &Value, pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        match json.pointer(&specs.urls) {
            Some(Value::Array(entries)) => Ok(entries
                .iter()
                .filter_map(|entry| {
                    let headers = entry.pointer(&specs.headers).cloned().unwrap_or_default();
                    Some((
                        text(entry, &specs.name)?,
                        (text(entry, &specs.url)?, headers),
                    ))
                })
                .collect()),
            Some(Value::Object(entries)) => Ok(entries
                .iter()
                .filter_map(|(name, url)| {
                    Some((name.clone(), (url.as_str()?.to_owned(), Value::Null)))
                })
                .collect()),
            _ => Err(wrong(format!(
                "its answer names no URLs for the files at {:?}",
                specs.urls
            ))),
        }
    }

    /// Where the partner wants a file. What it says is not trusted: the address is looked at like
    /// any other.
    fn target(
        &self,
        file: &PackagedFile,
        named: &HashMap<String, (String, Value)>,
        answer: &Answer,
    ) -> Result<Target, Fault> {
        let wrong = |problem: String| {
            Fault::new(Code::PartnerError, format!("{} {problem}", self.named))
                .with_evidence(answer.evidence())
        };
        let (text, headers) = named
            .get(&file.name)
            .ok_or_else(|| wrong(format!("named no URL for {}", file.name)))?;
        let url = self
            .platform
            .endpoint
            .join(text)
            .map_err(|error| wrong(format!("named no URL for {}: {error}", file.name)))?;
        let what = format!("the URL for {} in an answer", file.name);
        let url = self.connection.permitted(&url, &what)?;
        let is_partner = url.origin() == self.platform.endpoint.origin();
        let headers = headers
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        Ok(Target {
            method: Method::PUT,
            url,
            headers,
            is_partner,
        })
    }

    /// Sends a piece of a file.
    async fn put(
        &self,
        target: &Target,
        file: &PackagedFile,
        piece: std::ops::Range<u64>,
        names: &Names,
    ) -> Result<Answer, Fault> {
        let length = piece.end.saturating_sub(piece.start);
        let is_whole = length == file.size;
        let (mut request, secrets) = self.put_request(target, file, is_whole, names).await?;
        request = request.header(CONTENT_LENGTH, length);
        if !is_whole {
            let last = piece.end.saturating_sub(1);
            let range = format!("bytes {}-{last}/{}", piece.start, file.size);
            request = request.header(CONTENT_RANGE, range);
        }
        let sending = Arc::new(Sending::repeatable());
        let body = request::body(file, piece, &self.assets, &sending);
        self.connection
            .exchange(request.body(body), &sending, length, &secrets)
            .await
    }

    async fn put_request(
        &self,
        target: &Target,
        file: &PackagedFile,
        is_whole: bool,
        names: &Names,
    ) -> Result<(RequestBuilder, Vec<SecretString>), Fault> {
        let (method, url) = (target.method.clone(), target.url.clone());
        let (mut request, secrets) = if target.is_partner {
            let content = Content::Known {
                sha256: is_whole.then(|| file.sha256.clone()),
                media_type: file.media_type,
            };
            self.request(method, url, content, names).await?
        } else {
            let request = self.connection.client.request(method, url);
            (request, Vec::new())
        };
        let what = format!("a header that {} asks for with {}", self.named, file.name);
        let mut has_type = target.is_partner;
        for (name, value) in &target.headers {
            let name = header_name(name, &what)?;
            // What frames the request is ours to say.
            if name == CONTENT_LENGTH || name == CONTENT_RANGE || name == "transfer-encoding" {
                continue;
            }
            has_type |= name == CONTENT_TYPE;
            request = request.header(name, header_value(value, &what)?);
        }
        if !has_type {
            request = request.header(CONTENT_TYPE, file.media_type);
        }
        Ok((request, secrets))
    }

    /// Sends a file piece by piece, from where the partner says it has it; after a fault of the
    /// connection it asks again and goes on.
    async fn send_in_pieces(
        &self,
        target: &Target,
        file: &PackagedFile,
        names: &Names,
        piece_bytes: u64,
    ) -> Result<(), Fault> {
        let mut furthest = 0;
        let mut fruitless = 0;
        // A file that fits into one piece is sent at once; the question is for what was begun.
        let mut at = if file.size <= piece_bytes {
            Some(0)
        } else {
            None
        };
        loop {
            let step = async {
                let from = match at {
                    Some(from) => from,
                    None => match self.progress(target, file, names).await? {
                        Progress::Whole => return Ok(Progress::Whole),
                        Progress::Bytes(bytes) => bytes,
                    },
                };
                let to = from.saturating_add(piece_bytes).min(file.size);
                let answer = self.put(target, file, from..to, names).await?;
                self.progress_in(&answer, target, file)
            };
            match step.await {
                Ok(Progress::Whole) => return Ok(()),
                Ok(Progress::Bytes(bytes)) if bytes > furthest => {
                    furthest = bytes;
                    fruitless = 0;
                    at = Some(bytes);
                }
                Ok(Progress::Bytes(bytes)) => {
                    fruitless += 1;
                    at = None;
                    if fruitless >= FRUITLESS_LIMIT {
                        return Err(Fault::new(
                            Code::PartnerError,
                            format!(
                                "{} takes no more of {} than {bytes} of {} bytes",
                                self.named, file.name, file.size
                            ),
                        ));
                    }
                }
                Err(fault)
                    if fault.class() == FaultClass::Transient
                        && fault.code != Code::AssetChanged
                        && fruitless < FRUITLESS_LIMIT =>
                {
                    fruitless += 1;
                    at = None;
                    tokio::time::sleep(PAUSE * fruitless).await;
                    if let Ok(Progress::Bytes(bytes)) = self.progress(target, file, names).await
                        && bytes > furthest
                    {
                        furthest = bytes;
                        fruitless = 0;
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Asks how much of a file the partner has.
    async fn progress(
        &self,
        target: &Target,
        file: &PackagedFile,
        names: &Names,
    ) -> Result<Progress, Fault> {
        let (request, secrets) = self.put_request(target, file, false, names).await?;
        let request = request
            .header(CONTENT_LENGTH, 0)
            .header(CONTENT_RANGE, format!("bytes */{}", file.size));
        let answer = self
            .connection
            .exchange(request, &Sending::harmless(), 0, &secrets)
            .await?;
        // It knows nothing of the file yet.
        if matches!(
            answer.status,
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST
        ) {
            return Ok(Progress::Bytes(0));
        }
        self.progress_in(&answer, target, file)
    }

    fn progress_in(
        &self,
        answer: &Answer,
        target: &Target,
        file: &PackagedFile,
    ) -> Result<Progress, Fault> {
        if answer.status != StatusCode::PERMANENT_REDIRECT {
            self.expect_taken(answer, target, file)?;
            return Ok(Progress::Whole);
        }
        // 308 without a range: nothing is there.
        let has = answer
            .headers
            .get(RANGE)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.trim().strip_prefix("bytes=0-")?.parse::<u64>().ok())
            .map_or(0, |last| last.saturating_add(1));
        Ok(Progress::Bytes(has.min(file.size)))
    }

    fn expect_taken(
        &self,
        answer: &Answer,
        target: &Target,
        file: &PackagedFile,
    ) -> Result<(), Fault> {
        if answer.status.is_success() {
            return Ok(());
        }
        let asked = format!("did not take the file {}", file.name);
        let reason = &self.platform.format_specs.api.receipt.reason;
        let fault = answer.fault(&self.named, &asked, reason);
        Err(match fault.code {
            // A URL that holds for some time has ended; the next attempt is given another.
            Code::CredentialsRefused if !target.is_partner => Fault {
                code: Code::PartnerError,
                ..fault
            },
            _ => fault,
        })
    }
}
