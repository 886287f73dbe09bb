//! What every request begins with: its address, from the platform's settings, and what the partner
//! knows us by.

use chrono::Utc;
use reqwest::{
    Method, RequestBuilder,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use url::{Position, Url};

use super::{ApiAdapter, auth, sign, template::fill};
use crate::{
    Code, Fault, Handover,
    package::{Package, PackagedFile},
    settings::RequestLine,
};

/// What stands for the `{names}` of a path.
#[derive(Clone, Default)]
pub(super) struct Names(Vec<(&'static str, String)>);

impl Names {
    /// What is known of a hand-over. `id` is the partner's id of the release.
    pub(super) fn new(handover: &Handover, id: Option<&str>) -> Self {
        let mut names = Self(vec![
            ("key", handover.key()),
            ("delivery", handover.delivery.to_string()),
            ("kind", handover.kind.as_str().to_owned()),
            ("revision", handover.revision.to_string()),
            ("transmission", handover.transmission.to_string()),
        ]);
        if let Some(id) = id {
            names.0.push(("id", id.to_owned()));
        }
        names
    }

    /// What is known of a package as well.
    pub(super) fn of(handover: &Handover, package: &Package, id: Option<&str>) -> Self {
        let mut names = Self::new(handover, id);
        names.0.push(("upc", package.upc.to_string()));
        names
    }

    /// With what is known of a file.
    pub(super) fn with_file(&self, file: &PackagedFile) -> Self {
        let mut names = self.clone();
        names.0.extend([
            ("name", file.name.clone()),
            ("sha256", file.sha256.clone()),
            ("md5", file.md5.clone()),
        ]);
        names
    }

    /// What stands in the place of a hand-over when there is none.
    pub(super) fn for_check(key: &str) -> Self {
        Self(vec![
            ("key", key.to_owned()),
            ("delivery", key.to_owned()),
            ("upc", "000000000000".to_owned()),
        ])
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What a request carries, as far as a signature speaks of it.
pub(super) enum Content<'a> {
    Nothing,
    /// A document or a piece of a file: its hash sum in hex, where it is known, and its type.
    Known {
        sha256: Option<String>,
        media_type: &'a str,
    },
    /// Its type and its hash sum come about as it is sent.
    Multipart,
}

impl ApiAdapter {
    /// A path of the settings below the endpoint, with its `{names}` filled in.
    pub(super) fn url(&self, template: &str, names: &Names) -> Result<Url, Fault> {
        let wrong = |problem: &str| {
            Fault::new(
                Code::SettingsInvalid,
                format!("format_specs.api of {}: {template:?} {problem}", self.named),
            )
        };
        if !template.starts_with('/') {
            return Err(wrong("does not begin with a slash"));
        }
        let mut leads_out = None;
        let path = fill(template, |name| {
            let value = names.get(name)?;
            // A partner's id of this kind would lead out of its folder.
            if matches!(value, "." | "..") {
                leads_out = Some(format!("cannot take {value:?} for {{{name}}}"));
            }
            let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            Some(encoded.replace('+', "%20"))
        });
        if let Some(problem) = leads_out {
            return Err(wrong(&problem));
        }
        let path = path.map_err(|name| match name.as_str() {
            "id" => Fault::new(
                Code::Unsupported,
                format!(
                    "{template:?} needs the partner's id of the release, which {} has not given \
                     to this worker",
                    self.named
                ),
            )
            .with_remedy(
                "Do it in the partner's own portal, or use {upc} in place of {id} where the \
                 partner knows the release by it.",
            ),
            name => wrong(&format!("names {{{name}}}, for which there is no value")),
        })?;
        let mut base = self.platform.endpoint.clone();
        base.set_query(None);
        base.set_fragment(None);
        let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
        Url::parse(&text).map_err(|error| wrong(&format!("makes no URL: {error}")))
    }

    /// Method and address of a request line.
    pub(super) fn place(
        &self,
        line: &RequestLine,
        usual: Method,
        names: &Names,
    ) -> Result<(Method, Url), Fault> {
        let method = match line.method.as_deref() {
            Some("POST") => Method::POST,
            Some("PUT") => Method::PUT,
            Some("PATCH") => Method::PATCH,
            Some("DELETE") => Method::DELETE,
            _ => usual,
        };
        Ok((method, self.url(&line.path, names)?))
    }

    /// A request to the partner, with what it knows us by. The secrets come back so that no answer
    /// repeats them.
    pub(super) async fn request(
        &self,
        method: Method,
        url: Url,
        content: Content<'_>,
        names: &Names,
    ) -> Result<(RequestBuilder, Vec<SecretString>), Fault> {
        let mut secrets = Vec::new();
        let url = self.with_key(url, &mut secrets)?;
        let mut request = self.connection.client.request(method.clone(), url.clone());
        if let Content::Known { media_type, .. } = &content {
            request = request.header(CONTENT_TYPE, *media_type);
        }
        for (name, template) in &self.platform.format_specs.api.headers {
            let value = fill(template, |name| names.get(name).map(str::to_owned));
            let what = format!("format_specs.api.headers of {}", self.named);
            let value = value.map_err(|name| {
                Fault::new(
                    Code::SettingsInvalid,
                    format!("{what}: {{{name}}} has no value here"),
                )
            })?;
            request = request.header(header_name(name, &what)?, header_value(&value, &what)?);
        }
        let key = names.get("key").unwrap_or_default();
        if method != Method::GET && !key.is_empty() {
            let header = &self.platform.format_specs.api.idempotency_header;
            let what = format!("format_specs.api.idempotency_header of {}", self.named);
            request = request.header(header_name(header, &what)?, key);
        }
        if let Some(value) = self.authorization(&mut secrets).await? {
            request = request.header(AUTHORIZATION, sensitive(&value, &self.named)?);
        }
        let request = self.with_header_key(request, &mut secrets)?;
        let request = self.signed(request, &method, &url, &content, key, &mut secrets)?;
        Ok((request, secrets))
    }

    /// The value of `Authorization`, if there is one.
    async fn authorization(
        &self,
        secrets: &mut Vec<SecretString>,
    ) -> Result<Option<SecretString>, Fault> {
        let credentials = &self.platform.credentials;
        let of = |name: &str| format!("{name} of {}", self.named);
        let value: SecretString = if let Some(source) = &credentials.bearer_token {
            let token = source.reveal(&of("bearer_token"))?;
            let value = format!("Bearer {}", token.expose_secret());
            secrets.push(token);
            value.into()
        } else if let Some(oauth2) = &credentials.oauth2 {
            let token = self.tokens.token(oauth2, &self.connection).await?;
            let value = format!("Bearer {}", token.expose_secret());
            secrets.push(token);
            value.into()
        } else if let Some(source) = &credentials.password {
            let password = source.reveal(&of("password"))?;
            let value = auth::basic(credentials.username.as_deref().unwrap_or(""), &password);
            secrets.push(password);
            secrets.push(value.clone());
            value
        } else {
            return Ok(None);
        };
        Ok(Some(value))
    }

    /// The API key in the query.
    fn with_key(&self, mut url: Url, secrets: &mut Vec<SecretString>) -> Result<Url, Fault> {
        let credentials = &self.platform.credentials;
        if let (Some(source), Some(parameter)) = (&credentials.api_key, &credentials.api_key_query)
        {
            let key = source.reveal(&format!("api_key of {}", self.named))?;
            url.query_pairs_mut()
                .append_pair(parameter, key.expose_secret());
            secrets.push(key);
        }
        Ok(url)
    }

    /// The API key in a header.
    fn with_header_key(
        &self,
        request: RequestBuilder,
        secrets: &mut Vec<SecretString>,
    ) -> Result<RequestBuilder, Fault> {
        let credentials = &self.platform.credentials;
        let (Some(source), None) = (&credentials.api_key, &credentials.api_key_query) else {
            return Ok(request);
        };
        let what = format!("api_key of {}", self.named);
        let key = source.reveal(&what)?;
        let header = credentials.api_key_header.as_deref().unwrap_or("X-API-Key");
        let name = header_name(header, &format!("api_key_header of {}", self.named))?;
        let request = request.header(name, sensitive(&key, &what)?);
        secrets.push(key);
        Ok(request)
    }

    fn signed(
        &self,
        request: RequestBuilder,
        method: &Method,
        url: &Url,
        content: &Content<'_>,
        key: &str,
        secrets: &mut Vec<SecretString>,
    ) -> Result<RequestBuilder, Fault> {
        let Some(hmac) = &self.platform.credentials.hmac else {
            return Ok(request);
        };
        let what = format!("api_credentials.hmac of {}", self.named);
        let secret = hmac.secret.reveal(&what)?;
        let facts = sign::Facts {
            method: method.as_str(),
            host: &url[Position::BeforeHost..Position::BeforePath],
            path: &url[Position::BeforePath..Position::AfterQuery],
            key,
            content_type: match content {
                Content::Known { media_type, .. } => media_type,
                Content::Nothing | Content::Multipart => "",
            },
            body_sha256: match content {
                Content::Known { sha256, .. } => sha256.as_deref(),
                Content::Nothing => Some(SHA256_OF_NOTHING),
                Content::Multipart => None,
            },
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the partner holds the signed time against its own clock"
        )]
        let now = Utc::now();
        let headers = sign::headers(hmac, &secret, &facts, now)
            .map_err(|problem| Fault::new(Code::SettingsInvalid, format!("{what}: {problem}")))?;
        let [(name, value), (time_name, time)] = headers;
        let request = request
            .header(header_name(&name, &what)?, sensitive(&value.into(), &what)?)
            .header(header_name(&time_name, &what)?, header_value(&time, &what)?);
        secrets.push(secret);
        Ok(request)
    }
}

const SHA256_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A header's name from the settings.
pub(super) fn header_name(name: &str, what: &str) -> Result<HeaderName, Fault> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        Fault::new(
            Code::SettingsInvalid,
            format!("{what}: {name:?} is no header's name"),
        )
    })
}

/// A header's value from the settings or the partner.
pub(super) fn header_value(value: &str, what: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(value).map_err(|_| {
        Fault::new(
            Code::SettingsInvalid,
            format!("{what} holds characters that an HTTP header cannot carry"),
        )
    })
}

/// A header's value that no log shows.
pub(super) fn sensitive(secret: &SecretString, what: &str) -> Result<HeaderValue, Fault> {
    let mut value = header_value(secret.expose_secret(), what)?;
    value.set_sensitive(true);
    Ok(value)
}
