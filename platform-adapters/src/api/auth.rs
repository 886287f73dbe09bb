//! What a partner knows us by: a key in a header or the query, HTTP basic, a bearer token of our own
//! or one fetched with OAuth 2.0, a signature. One of them, or a key or signature beside another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use super::{exchange::Connection, request::Sending};
use crate::{
    Code, Fault,
    settings::{ClientAuthentication, Credentials, OAuth2},
};

/// A token is no longer used this long before it ends, so that it lasts for the request.
const MARGIN: Duration = Duration::from_secs(60);

/// How long a token is used of which the partner does not say how long it holds.
const USUAL: Duration = Duration::from_secs(300);

/// The token that requests carry at the moment. Fetched once for all that need it.
#[derive(Default)]
pub(super) struct Tokens {
    held: Mutex<Option<Token>>,
}

struct Token {
    value: SecretString,
    fetched_at: Instant,
    use_until: Instant,
}

/// The answer where tokens are given, RFC 6749 section 5.1.
#[derive(Deserialize)]
struct Given {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Which of the credentials go into `Authorization`.
///
/// # Errors
/// Their names, where there is more than one.
pub(super) fn scheme(credentials: &Credentials) -> Result<Option<&'static str>, String> {
    let named = [
        ("bearer_token", credentials.bearer_token.is_some()),
        ("password", credentials.password.is_some()),
        ("oauth2", credentials.oauth2.is_some()),
    ];
    let found: Vec<_> = named.iter().filter(|(_, is_set)| *is_set).collect();
    match found.as_slice() {
        [] => Ok(None),
        [(name, _)] => Ok(Some(name)),
        more => Err(more
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(" and ")),
    }
}

/// `Basic …` for a name and a password.
pub(super) fn basic(name: &str, password: &SecretString) -> SecretString {
    let pair: SecretString = format!("{name}:{}", password.expose_secret()).into();
    format!("Basic {}", STANDARD.encode(pair.expose_secret())).into()
}

impl Tokens {
    /// A token that holds, fetched if need be.
    pub(super) async fn token(
        &self,
        oauth2: &OAuth2,
        connection: &Connection,
    ) -> Result<SecretString, Fault> {
        let mut held = self.held.lock().await;
        if let Some(token) = held
            .as_ref()
            .filter(|token| Instant::now() < token.use_until)
        {
            return Ok(token.value.clone());
        }
        let token = fetch(oauth2, connection).await?;
        let value = token.value.clone();
        *held = Some(token);
        Ok(value)
    }

    /// Forgets a token that was fetched before `began`: the partner may have ended it early.
    /// Whether there was one.
    pub(super) async fn forget_before(&self, began: Instant) -> bool {
        let mut held = self.held.lock().await;
        let is_older = held.as_ref().is_some_and(|token| token.fetched_at < began);
        if is_older {
            *held = None;
        }
        is_older
    }
}

async fn fetch(oauth2: &OAuth2, connection: &Connection) -> Result<Token, Fault> {
    let named = connection.platform();
    let url = connection.permitted(&oauth2.token_url, "api_credentials.oauth2.token_url")?;
    let secret = oauth2
        .client_secret
        .reveal(&format!("oauth2.client_secret of {named}"))?;
    let (form, authorization) = form(oauth2, &secret);
    let mut request = connection
        .client
        .request(Method::POST, url.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json");
    let mut secrets = vec![secret];
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, super::prepare::sensitive(&value, named)?);
        secrets.push(value);
    }
    let fetched_at = Instant::now();
    let answer = connection
        .exchange(
            request.body(form),
            &Arc::new(Sending::default()),
            0,
            &secrets,
        )
        .await?;
    let asked = format!("gave no token at {}", shown(&url));
    if !answer.status.is_success() {
        let fault = answer.fault(named, &asked, "/error_description");
        return Err(match fault.code {
            // RFC 6749: a client that is not known is answered with 400 or 401.
            Code::PartnerRefused => Fault {
                code: Code::CredentialsRefused,
                ..fault
            },
            _ => fault,
        }
        .with_remedy(
            "Put the right id and secret into api_credentials.oauth2, then let the platform go on \
             with `platforms resume`.",
        ));
    }
    // The answer itself is not kept: it holds the token.
    let given: Given = answer
        .json()
        .ok()
        .and_then(|json| serde_json::from_value(json).ok())
        .ok_or_else(|| {
            Fault::new(
                Code::PartnerError,
                format!("{named} {asked}: {} without an access_token", answer.status),
            )
        })?;
    let lasts = given.expires_in.map_or(USUAL, Duration::from_secs);
    // At least half of its time, however short it is.
    let used = lasts.saturating_sub(MARGIN).max(lasts / 2);
    Ok(Token {
        value: given.access_token,
        fetched_at,
        use_until: fetched_at + used.min(Duration::from_secs(86_400)),
    })
}

/// The form that asks for a token, and the header where id and secret are not in it.
fn form(oauth2: &OAuth2, secret: &SecretString) -> (String, Option<SecretString>) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in [("scope", &oauth2.scope), ("audience", &oauth2.audience)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    match oauth2.client_authentication {
        ClientAuthentication::Form => {
            form.append_pair("client_id", &oauth2.client_id);
            form.append_pair("client_secret", secret.expose_secret());
            (form.finish(), None)
        }
        ClientAuthentication::Basic => {
            // RFC 6749 section 2.3.1: both are form-encoded first.
            let encoded = |text: &str| -> String {
                form_urlencoded::byte_serialize(text.as_bytes()).collect()
            };
            let secret = encoded(secret.expose_secret()).into();
            let header = basic(&encoded(&oauth2.client_id), &secret);
            (form.finish(), Some(header))
        }
    }
}

/// A URL without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}
