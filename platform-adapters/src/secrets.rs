//! The worker's key: secrets are sealed with it (age, X25519), so that they can stand in the
//! database and only the worker reads them.
//!
//! The key lies in a file: a line `AGE-SECRET-KEY-1…` for each key, the newest first, and comments
//! that begin with `#`. It is read whenever a sealed secret is needed, so that a new key counts at
//! once. Secrets are sealed with the first key and opened with any of them.

use std::{fs, path::PathBuf, str::FromStr};

use age::x25519::Identity;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};

use crate::{Code, Fault};

/// What a sealed secret begins with in the database.
const MARK: &str = "age:";

/// The file of the worker's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    path: PathBuf,
}

/// A secret as it was opened.
pub struct Opened {
    /// The secret.
    pub secret: SecretString,
    /// It was sealed with the newest key.
    pub by_newest: bool,
}

impl Keyring {
    /// The keys in this file, which need not be there until it is needed.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The text of a key file with a new key, before those of an older text.
    #[must_use]
    pub fn generate(older: &str) -> SecretString {
        let identity = Identity::generate();
        let text = format!(
            "# Key of tunemantra-worker. Keep a copy where the database's backups are not.\n\
             # public key: {}\n{}\n{older}",
            identity.to_public(),
            identity.to_string().expose_secret(),
        );
        text.into()
    }

    /// The public half of the newest key.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the file is missing or holds no key.
    pub fn public_key(&self) -> Result<String, Fault> {
        Ok(self.newest()?.to_public().to_string())
    }

    /// Seals a secret with the newest key, as it stands in `{"sealed": …}`.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the file is missing or holds no key.
    pub fn seal(&self, secret: &SecretString) -> Result<String, Fault> {
        let recipient = self.newest()?.to_public();
        let sealed =
            age::encrypt(&recipient, secret.expose_secret().as_bytes()).map_err(|error| {
                Fault::new(
                    Code::WorkerFault,
                    format!("a secret could not be sealed: {error}"),
                )
            })?;
        Ok(format!("{MARK}{}", STANDARD.encode(sealed)))
    }

    /// Opens a sealed secret. `what` names it in the fault: `password of platform 7 ("Nordlys")`.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the file is missing or holds no key, or none that fits.
    pub fn open(&self, sealed: &str, what: &str) -> Result<Opened, Fault> {
        let wrong = |problem: &str| {
            Fault::new(Code::SettingsInvalid, format!("{what}: {problem}")).with_remedy(
                "Seal the secret again with `platforms seal`, then let the platform go on with \
                 `platforms resume`.",
            )
        };
        let bytes = sealed
            .trim()
            .strip_prefix(MARK)
            .and_then(|text| STANDARD.decode(text).ok())
            .ok_or_else(|| wrong("what stands in \"sealed\" was not made by `platforms seal`"))?;
        for (at, identity) in self.identities()?.iter().enumerate() {
            let Ok(secret) = age::decrypt(identity, &bytes) else {
                continue;
            };
            let secret = String::from_utf8(secret).map_err(|_| wrong("is not text"))?;
            return Ok(Opened {
                secret: secret.into(),
                by_newest: at == 0,
            });
        }
        Err(wrong(&format!(
            "is sealed with a key that is not in {}, or was damaged",
            self.path.display()
        )))
    }

    fn newest(&self) -> Result<Identity, Fault> {
        self.identities()?
            .into_iter()
            .next()
            .ok_or_else(|| self.unusable("it holds no key"))
    }

    fn identities(&self) -> Result<Vec<Identity>, Fault> {
        let text: SecretString = fs::read_to_string(&self.path)
            .map_err(|error| self.unusable(&error.to_string()))?
            .into();
        let found: Vec<Identity> = text
            .expose_secret()
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                Identity::from_str(line).map_err(|_| {
                    // Never the line itself: it may be a key with a slip of the pen.
                    self.unusable("a line of it is no age key (AGE-SECRET-KEY-1…)")
                })
            })
            .collect::<Result<_, _>>()?;
        if found.is_empty() {
            return Err(self.unusable("it holds no key"));
        }
        Ok(found)
    }

    fn unusable(&self, problem: &str) -> Fault {
        Fault::new(
            Code::SettingsInvalid,
            format!(
                "the worker's key {} cannot be used: {problem}",
                self.path.display()
            ),
        )
        .with_remedy(
            "Make one with `tunemantra-worker platforms key`, or set secrets.key to where it lies \
             and let the worker's user read it.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_this_key_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("worker.key");
        let keyring = Keyring::at(path.clone());
        let missing = keyring.seal(&"s3cret".into()).unwrap_err();
        assert!(missing.remedy().contains("platforms key"), "{missing}");

        let first = Keyring::generate("");
        fs::write(&path, first.expose_secret()).unwrap();
        let sealed = keyring.seal(&"s3cret ü".into()).unwrap();
        assert!(sealed.starts_with(MARK) && !sealed.contains("s3cret"));
        assert_ne!(sealed, keyring.seal(&"s3cret ü".into()).unwrap());
        let opened = keyring.open(&sealed, "password").unwrap();
        assert_eq!(opened.secret.expose_secret(), "s3cret ü");
        assert!(opened.by_newest);

        let second = Keyring::generate(first.expose_secret());
        fs::write(&path, second.expose_secret()).unwrap();
        let opened = keyring.open(&sealed, "password").unwrap();
        assert_eq!(opened.secret.expose_secret(), "s3cret ü");
        assert!(!opened.by_newest, "an older key still opens");

        fs::write(&path, Keyring::generate("").expose_secret()).unwrap();
        let fault = keyring
            .open(&sealed, "password of platform 7")
            .err()
            .unwrap();
        assert!(
            fault.message.starts_with("password of platform 7"),
            "{fault}"
        );
        for damaged in ["", "age:", "age:!!", &sealed[..40]] {
            assert!(keyring.open(damaged, "password").is_err(), "{damaged}");
        }
        fs::write(&path, "AGE-SECRET-KEY-1OOPS").unwrap();
        let fault = keyring.public_key().unwrap_err();
        assert!(!fault.message.contains("OOPS"), "{fault}");
    }
}
