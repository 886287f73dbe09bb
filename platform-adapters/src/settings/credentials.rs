//! `api_credentials`: secrets by reference or, in old databases, in plain. Secrets are read when
//! they are needed, so that a rotated file counts without a restart.

use std::{env, fs, path::PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::{Code, Fault};

/// What a platform wants to know us by. Keys it does not know are left alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// User name (SFTP).
    pub username: Option<String>,
    /// Password (SFTP).
    pub password: Option<SecretSource>,
    /// Private key in OpenSSH or PEM form (SFTP).
    pub private_key: Option<SecretSource>,
    /// Passphrase of the private key.
    pub passphrase: Option<SecretSource>,
    /// Pinned host key: `SHA256:…`, as `ssh-keygen -l` prints it (SFTP).
    pub host_key: Option<String>,
    /// Sent as `Authorization: Bearer …` (API).
    pub bearer_token: Option<SecretSource>,
    /// Sent in the header `api_key_header` (API).
    pub api_key: Option<SecretSource>,
    /// The header that carries the API key; `X-API-Key` where it is absent.
    pub api_key_header: Option<String>,
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
                     {{\"file\": \"/path\"}}, {{\"env\": \"NAME\"}} or text",
                    wrong.join(", ")
                )
            }),
            Some(_) => Err("is not a JSON object".into()),
        }
    }
}

/// Where a secret is to be found.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum SecretSource {
    /// The secret itself, in plain. Works, so that an existing database runs; better by reference.
    Plain(SecretString),
    /// A reference.
    Reference(SecretReference),
}

/// A place that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretReference {
    /// A file of this name in systemd's `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// An absolute path.
    File(PathBuf),
    /// An environment variable.
    Env(String),
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
