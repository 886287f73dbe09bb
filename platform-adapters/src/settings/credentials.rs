//! `api_credentials`: secrets by reference, sealed with the worker's key or, in old databases, in
//! plain. Secrets are read when they are needed, so that a rotated file counts without a restart.

use std::{env, fmt, fs, path::PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::SignatureEncoding;
use crate::{Code, Fault, secrets::Keyring};

/// What a platform wants to know us by. Keys it does not know are left alone.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Credentials {
    /// User name (SFTP; API: HTTP basic authentication, with `password`); S3: the access key's id.
    pub username: Option<String>,
    /// Password (SFTP, API); S3: the secret access key.
    pub password: Option<SecretSource>,
    /// Private key in OpenSSH or PEM form (SFTP).
    pub private_key: Option<SecretSource>,
    /// Passphrase of the private key.
    pub passphrase: Option<SecretSource>,
    /// Pinned host key: `SHA256:…`, as `ssh-keygen -l` prints it (SFTP).
    pub host_key: Option<String>,
    /// Sent as `Authorization: Bearer …` (API).
    pub bearer_token: Option<SecretSource>,
    /// Sent in the header `api_key_header`, or in the query as `api_key_query` (API).
    pub api_key: Option<SecretSource>,
    /// The header that carries the API key; `X-API-Key` where it is absent.
    pub api_key_header: Option<String>,
    /// The parameter of the query that carries the API key, instead of a header.
    pub api_key_query: Option<String>,
    /// Tokens are fetched with OAuth 2.0 client credentials (API).
    pub oauth2: Option<OAuth2>,
    /// Requests are signed (API).
    pub hmac: Option<Hmac>,
    /// What the partner signs its notices to us with (API). A list while the partner changes it.
    pub webhook_secret: Option<OneOrMore>,
}

/// OAuth 2.0 client credentials, RFC 6749 section 4.4 (`api_credentials.oauth2`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct OAuth2 {
    /// Where tokens are given.
    pub token_url: Url,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: SecretSource,
    /// `scope` of the request for a token.
    #[serde(default)]
    pub scope: Option<String>,
    /// `audience` of the request for a token, which some servers ask for.
    #[serde(default)]
    pub audience: Option<String>,
    /// How id and secret are sent.
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
}

/// How a client shows itself where tokens are given (`api_credentials.oauth2.client_authentication`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthentication {
    /// In the header `Authorization`.
    #[default]
    Basic,
    /// In the form, as `client_id` and `client_secret`.
    Form,
}

/// Requests signed with a shared secret (`api_credentials.hmac`). In `message` and `value`,
/// `{method}`, `{host}`, `{path}` (with the query), `{timestamp}`, `{key_id}`, `{key}` (the
/// idempotency key), `{content_type}` and `{body_sha256}` stand for those of the request; in
/// `value` also `{signature}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Hmac {
    /// The shared secret.
    pub secret: SecretSource,
    /// What the partner knows the secret by.
    #[serde(default)]
    pub key_id: String,
    /// The signed text. `{body_sha256}` in hex; a `multipart` body has none.
    #[serde(default = "signed_message")]
    pub message: String,
    /// The hash function.
    #[serde(default)]
    pub algorithm: HashAlgorithm,
    /// How the signature is written.
    #[serde(default)]
    pub encoding: SignatureEncoding,
    /// The header that carries `value`.
    #[serde(default = "signature_header")]
    pub header: String,
    /// What stands in that header.
    #[serde(default = "signature_value")]
    pub value: String,
    /// The header that carries the time, in the form of `timestamp`.
    #[serde(default = "timestamp_header")]
    pub timestamp_header: String,
    /// How the time is written.
    #[serde(default)]
    pub timestamp: TimestampForm,
}

fn signed_message() -> String {
    "{method}\n{path}\n{timestamp}\n{key}".into()
}

fn signature_header() -> String {
    "X-Signature".into()
}

fn signature_value() -> String {
    "{signature}".into()
}

fn timestamp_header() -> String {
    "X-Timestamp".into()
}

/// Hash functions of signatures (`api_credentials.hmac.algorithm`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the functions' own names")]
pub enum HashAlgorithm {
    #[default]
    Sha256,
    Sha512,
}

/// How a time is written (`api_credentials.hmac.timestamp`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TimestampForm {
    /// Seconds since 1970.
    #[default]
    Unix,
    /// `2026-05-01T08:00:00Z`.
    Rfc3339,
}

/// A secret, or several that hold side by side.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    /// Several.
    More(Vec<SecretSource>),
    /// One.
    One(Box<SecretSource>),
}

impl OneOrMore {
    /// Each of them.
    #[must_use]
    pub fn all(&self) -> &[SecretSource] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
    }

    fn all_mut(&mut self) -> &mut [SecretSource] {
        match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::More(more) => more,
        }
    }
}

impl Credentials {
    /// Decodes the column. The error never repeats a value, only where it stands.
    pub(super) fn read(value: Option<&Value>) -> Result<Self, String> {
        match value {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(value @ Value::Object(members)) => Self::deserialize(value).map_err(|_| {
                let wrong: Vec<&str> = members
                    .iter()
                    .filter(|(key, member)| {
                        Self::deserialize(Value::from_iter([((*key).clone(), (*member).clone())]))
                            .is_err()
                    })
                    .map(|(key, _)| key.as_str())
                    .collect();
                format!(
                    "{} cannot be read; a secret is {{\"credential\": \"name\"}}, \
                     {{\"file\": \"/path\"}}, {{\"env\": \"NAME\"}}, \
                     {{\"sealed\": \"age:…\"}} or text",
                    wrong.join(", ")
                )
            }),
            Some(_) => Err("is not a JSON object".into()),
        }
    }

    /// Whether an HTTP partner has nothing to know us by.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.bearer_token.is_none()
            && self.api_key.is_none()
            && self.password.is_none()
            && self.oauth2.is_none()
            && self.hmac.is_none()
    }

    /// Every secret with its path in the column: `password`, `oauth2.client_secret`.
    #[must_use]
    pub fn secrets(&self) -> Vec<(String, &SecretSource)> {
        let plain = [
            ("password", self.password.as_ref()),
            ("private_key", self.private_key.as_ref()),
            ("passphrase", self.passphrase.as_ref()),
            ("bearer_token", self.bearer_token.as_ref()),
            ("api_key", self.api_key.as_ref()),
            (
                "oauth2.client_secret",
                self.oauth2.as_ref().map(|oauth2| &oauth2.client_secret),
            ),
            ("hmac.secret", self.hmac.as_ref().map(|hmac| &hmac.secret)),
        ];
        let mut found: Vec<_> = plain
            .into_iter()
            .filter_map(|(path, source)| Some((path.to_owned(), source?)))
            .collect();
        match &self.webhook_secret {
            Some(OneOrMore::One(one)) => found.push(("webhook_secret".into(), one)),
            Some(OneOrMore::More(more)) => found.extend(
                more.iter()
                    .enumerate()
                    .map(|(at, one)| (format!("webhook_secret.{at}"), one)),
            ),
            None => {}
        }
        found
    }

    /// Seals what stands in `api_credentials` in plain, and what was sealed with an older key.
    /// Answers with the column's new value and the paths of what was sealed.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the column or the worker's key cannot be read.
    pub fn seal(column: &Value, keyring: &Keyring) -> Result<(Value, Vec<String>), Fault> {
        let credentials = Self::read(Some(column)).map_err(|problem| {
            Fault::new(Code::SettingsInvalid, format!("api_credentials {problem}"))
        })?;
        let mut sealed = column.clone();
        let mut paths = Vec::new();
        for (path, source) in credentials.secrets() {
            let secret = match source {
                SecretSource::Plain(secret) => secret.clone(),
                SecretSource::Reference(SecretReference::Sealed(held)) => {
                    let opened = keyring.open(&held.text, &path)?;
                    if opened.by_newest {
                        continue;
                    }
                    opened.secret
                }
                SecretSource::Reference(_) => continue,
            };
            let place = sealed.pointer_mut(&format!("/{}", path.replace('.', "/")));
            if let Some(place) = place {
                *place = serde_json::json!({"sealed": keyring.seal(&secret)?});
                paths.push(path);
            }
        }
        Ok((sealed, paths))
    }

    /// Lets sealed secrets be opened with these keys.
    pub fn unlock_with(&mut self, keyring: &Keyring) {
        let oauth2 = self.oauth2.as_mut().map(|oauth2| &mut oauth2.client_secret);
        let hmac = self.hmac.as_mut().map(|hmac| &mut hmac.secret);
        let webhook = self
            .webhook_secret
            .as_mut()
            .map(OneOrMore::all_mut)
            .unwrap_or_default();
        [
            self.password.as_mut(),
            self.private_key.as_mut(),
            self.passphrase.as_mut(),
            self.bearer_token.as_mut(),
            self.api_key.as_mut(),
            oauth2,
            hmac,
        ]
        .into_iter()
        .flatten()
        .chain(webhook)
        .for_each(|source| {
            if let SecretSource::Reference(SecretReference::Sealed(sealed)) = source {
                sealed.keyring = Some(keyring.clone());
            }
        });
    }
}

/// Where a secret is to be found.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SecretSource {
    /// The secret itself, in plain. Works, so that an existing database runs; better sealed or by
    /// reference.
    Plain(#[schemars(with = "String")] SecretString),
    /// A reference.
    Reference(SecretReference),
}

/// A place that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretReference {
    /// A file of this name in systemd's `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// An absolute path.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// The secret itself, sealed with the worker's key by `platforms seal`: `age:…`.
    Sealed(Sealed),
}

/// A secret that is sealed with the worker's key.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(with = "String")]
pub struct Sealed {
    text: String,
    /// Where the keys are; known once the adapter is made.
    keyring: Option<Keyring>,
}

impl From<String> for Sealed {
    fn from(text: String) -> Self {
        Self {
            text,
            keyring: None,
        }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

impl SecretSource {
    /// Reads the secret. `what` names it in the fault: `password of platform 7 ("Nordlys")`.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the place is missing or cannot be read.
    pub fn reveal(&self, what: &str) -> Result<SecretString, Fault> {
        match self {
            Self::Plain(secret) => Ok(secret.clone()),
            Self::Reference(reference) => reference.reveal(what),
        }
    }

    /// Whether the secret stands in the database in plain.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl SecretReference {
    /// Reads the secret. `what` names it in the fault.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the place is missing or cannot be read.
    pub fn reveal(&self, what: &str) -> Result<SecretString, Fault> {
        let missing = |place: String| Fault::new(Code::SettingsInvalid, format!("{what}: {place}"));
        let read = |path: PathBuf| {
            fs::read_to_string(&path)
                .map(|text| SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
                .map_err(|error| missing(format!("cannot read {}: {error}", path.display())))
        };
        match self {
            Self::Sealed(sealed) => match &sealed.keyring {
                Some(keyring) => Ok(keyring.open(&sealed.text, what)?.secret),
                None => Err(missing("is sealed, and the worker has no key".into())
                    .with_remedy("Set secrets.key to where the worker's key lies.")),
            },
            Self::File(path) => read(path.clone()),
            Self::Env(name) => env::var(name)
                .map(SecretString::from)
                .map_err(|_| missing(format!("the environment variable {name} is not set"))),
            Self::Credential(name) => {
                if name.is_empty() || name.contains('/') || name == ".." {
                    return Err(missing(format!("{name:?} is not a credential's name")));
                }
                let directory = env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    missing(format!(
                        "credential {name} asked for, but $CREDENTIALS_DIRECTORY is not set \
                         (systemd's LoadCredential= sets it)"
                    ))
                })?;
                read(PathBuf::from(directory).join(name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_come_from_their_places_and_never_show() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "s3cret\n").unwrap();
        let credentials = Credentials::read(Some(&json!({
            "username": "tm",
            "password": {"file": file.path()},
            "api_key": "plain-s3cret",
        })))
        .unwrap();
        let password = credentials.password.clone().unwrap();
        assert_eq!(
            password.reveal("password").unwrap().expose_secret(),
            "s3cret"
        );
        assert!(credentials.api_key.as_ref().unwrap().is_plain());
        assert!(!format!("{credentials:?}").contains("s3cret"));
    }

    #[test]
    fn sealed_secrets_open_wherever_they_stand() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), Keyring::generate("").expose_secret()).unwrap();
        let keyring = Keyring::at(file.path().into());
        let sealed = |text: &str| json!({"sealed": keyring.seal(&text.into()).unwrap()});
        let mut credentials = Credentials::read(Some(&json!({
            "password": sealed("one"),
            "oauth2": {"token_url": "https://partner.example/token", "client_id": "tm",
                       "client_secret": sealed("two")},
            "webhook_secret": [sealed("three"), "plain"],
        })))
        .unwrap();
        let fault = credentials.secrets()[0].1.reveal("password").unwrap_err();
        assert!(fault.remedy().contains("secrets.key"), "{fault}");
        credentials.unlock_with(&keyring);
        let opened: Vec<_> = credentials
            .secrets()
            .into_iter()
            .map(|(path, source)| {
                let secret = source.reveal(&path).unwrap();
                (path, secret.expose_secret().to_owned())
            })
            .collect();
        let expected = [
            ("password", "one"),
            ("oauth2.client_secret", "two"),
            ("webhook_secret.0", "three"),
            ("webhook_secret.1", "plain"),
        ];
        assert_eq!(opened, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn plain_secrets_and_those_of_older_keys_are_sealed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |older: &str| {
            let text = Keyring::generate(older);
            fs::write(file.path(), text.expose_secret()).unwrap();
            text
        };
        let first = write("");
        let keyring = Keyring::at(file.path().into());
        let column = json!({
            "username": "tm", "password": "s3cret", "api_key": {"env": "KEY"},
            "hmac": {"secret": "s3cret-2"}, "webhook_secret": ["s3cret-3"], "odd": "kept",
        });
        let (sealed, paths) = Credentials::seal(&column, &keyring).unwrap();
        assert_eq!(paths, ["password", "hmac.secret", "webhook_secret.0"]);
        assert!(!sealed.to_string().contains("s3cret"), "{sealed}");
        assert_eq!(sealed["odd"], "kept");
        assert_eq!(sealed["api_key"], column["api_key"]);
        let mut read = Credentials::read(Some(&sealed)).unwrap();
        read.unlock_with(&keyring);
        let password = read.password.unwrap().reveal("password").unwrap();
        assert_eq!(password.expose_secret(), "s3cret");

        let (again, paths) = Credentials::seal(&sealed, &keyring).unwrap();
        assert_eq!((again, paths.len()), (sealed.clone(), 0));
        write(first.expose_secret());
        let (renewed, paths) = Credentials::seal(&sealed, &keyring).unwrap();
        assert_eq!(paths.len(), 3);
        assert_ne!(renewed, sealed);
    }

    #[test]
    fn what_cannot_be_read_is_named_without_its_value() {
        let error =
            Credentials::read(Some(&json!({"password": {"vault": "hunter2"}}))).unwrap_err();
        assert!(error.starts_with("password cannot be read"), "{error}");
        assert!(!error.contains("hunter2"));
        let missing = SecretSource::Reference(SecretReference::File("/nonexistent/key".into()));
        let fault = missing.reveal("private_key of platform 7").unwrap_err();
        assert_eq!(fault.code, Code::SettingsInvalid);
        assert!(fault.message.contains("/nonexistent/key"));
    }
}
