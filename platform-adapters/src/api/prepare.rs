//! What every request begins with: its address, from the platform's settings, and what the partner
//! knows us by.

use reqwest::{
    RequestBuilder,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::ApiAdapter;
use crate::{Code, Fault};

impl ApiAdapter {
    /// A path of the settings below the endpoint, with its `{names}` filled in.
    pub(super) fn url(&self, template: &str, values: &[(&str, &str)]) -> Result<Url, Fault> {
        let wrong = |problem: &str| {
            Fault::new(
                Code::SettingsInvalid,
                format!("format_specs.api of {}: {template:?} {problem}", self.named),
            )
        };
        if !template.starts_with('/') {
            return Err(wrong("does not begin with a slash"));
        }
        let mut path = template.to_owned();
        for (name, value) in values {
            // A partner's id of this kind would lead out of its folder.
            if matches!(*value, "." | "..") {
                return Err(wrong(&format!("cannot take {value:?} for {{{name}}}")));
            }
            let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            path = path.replace(&format!("{{{name}}}"), &encoded.replace('+', "%20"));
        }
        let mut base = self.platform.endpoint.clone();
        base.set_query(None);
        base.set_fragment(None);
        let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
        Url::parse(&text).map_err(|error| wrong(&format!("makes no URL: {error}")))
    }

    /// Adds what the partner knows us by. The secrets come back so that no answer repeats them.
    pub(super) fn authenticated(
        &self,
        request: RequestBuilder,
    ) -> Result<(RequestBuilder, Vec<SecretString>), Fault> {
        let credentials = &self.platform.credentials;
        let mut request = request;
        let mut secrets = Vec::new();
        if let Some(source) = &credentials.bearer_token {
            let what = format!("bearer_token of {}", self.named);
            let token = source.reveal(&what)?;
            let value = SecretString::from(format!("Bearer {}", token.expose_secret()));
            request = request.header(AUTHORIZATION, sensitive(&value, &what)?);
            secrets.push(token);
        }
        if let Some(source) = &credentials.api_key {
            let what = format!("api_key of {}", self.named);
            let key = source.reveal(&what)?;
            let header = credentials.api_key_header.as_deref().unwrap_or("X-API-Key");
            let name = HeaderName::from_bytes(header.as_bytes()).map_err(|_| {
                Fault::new(
                    Code::SettingsInvalid,
                    format!(
                        "api_key_header of {}: {header:?} is no header's name",
                        self.named
                    ),
                )
            })?;
            request = request.header(name, sensitive(&key, &what)?);
            secrets.push(key);
        }
        Ok((request, secrets))
    }
}

/// A header's value that no log shows.
fn sensitive(secret: &SecretString, what: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(secret.expose_secret()).map_err(|_| {
        Fault::new(
            Code::SettingsInvalid,
            format!("{what} holds characters that an HTTP header cannot carry"),
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
