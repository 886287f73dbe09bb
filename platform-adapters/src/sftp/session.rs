//! One SSH connection, opened and judged: timeouts, host key, authentication, and what libssh2's
//! errors mean. Blocking; lives on a thread of the pool.

use std::{cell::Cell, io, path::Path, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use ssh2::{ErrorCode, File, KeyboardInteractivePrompt, Prompt, Sftp};

use super::{
    endpoint::{Endpoint, Site},
    greeting::greet,
    pool::{KEEP_ALIVE, Line},
};
use crate::{Code, Fault};

/// Words of libssh2's error numbers (`libssh2.h`), as far as they are told apart here.
pub(super) mod ssh_error {
    pub(in crate::sftp) const BANNER_RECV: i32 = -2;
    pub(in crate::sftp) const TIMEOUT: i32 = -9;
    pub(in crate::sftp) const SOCKET_DISCONNECT: i32 = -13;
    pub(super) const FILE: i32 = -16;
    pub(super) const AUTHENTICATION_FAILED: i32 = -18;
    pub(super) const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub(in crate::sftp) const SOCKET_TIMEOUT: i32 = -30;
    pub(super) const SFTP_PROTOCOL: i32 = -31;
    pub(in crate::sftp) const SOCKET_RECV: i32 = -43;
}

/// Status words of an SFTP server (draft-ietf-secsh-filexfer).
mod sftp_status {
    pub(super) const OK: i32 = 0;
    pub(super) const NO_SUCH_FILE: i32 = 2;
    pub(super) const PERMISSION_DENIED: i32 = 3;
    pub(super) const NO_CONNECTION: i32 = 6;
    pub(super) const CONNECTION_LOST: i32 = 7;
    pub(super) const NO_SUCH_PATH: i32 = 10;
    pub(super) const WRITE_PROTECT: i32 = 12;
    pub(super) const NO_SPACE: i32 = 14;
    pub(super) const QUOTA_EXCEEDED: i32 = 15;
}

/// A connection that is logged in.
pub(super) struct Session {
    // Before `ssh`, whose channel it uses.
    sftp: Sftp,
    ssh: ssh2::Session,
    endpoint: Arc<Endpoint>,
    fingerprint: String,
    authenticated_by: &'static str,
    is_sound: Cell<bool>,
}

impl Session {
    /// Connects, compares the host key and logs in.
    pub(super) fn connect(endpoint: &Arc<Endpoint>, line: &Line) -> Result<Self, Fault> {
        let (ssh, fingerprint) = greet(endpoint, line)?;
        let authenticated_by = authenticate(&ssh, endpoint)?;
        let seconds = u32::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u32::MAX);
        ssh.set_keepalive(true, seconds);
        let sftp = ssh
            .sftp()
            .map_err(|error| fault(endpoint.site(), "starting SFTP", &error))?;
        Ok(Self {
            sftp,
            ssh,
            endpoint: Arc::clone(endpoint),
            fingerprint,
            authenticated_by,
            is_sound: Cell::new(true),
        })
    }

    pub(super) fn sftp(&self) -> &Sftp {
        &self.sftp
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the connection may be used again.
    pub(super) fn is_sound(&self) -> bool {
        self.is_sound.get()
    }

    /// The connection is not used again: something was left half done on it.
    pub(super) fn retire(&self) {
        self.is_sound.set(false);
    }

    /// Asks something harmless, to see that the partner is still there.
    pub(super) fn probe(&self) -> Result<(), Fault> {
        match self.sftp.realpath(Path::new(".")) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.retire();
                Err(self.fault("asking for a sign of life", &error))
            }
        }
    }

    /// Tells the partner that the connection is still wanted.
    pub(super) fn keep_alive(&self) {
        if self.ssh.keepalive_send().is_err() {
            self.retire();
        }
    }

    /// Says good-bye, where the connection still works.
    pub(super) fn close(&self) {
        if self.is_sound() {
            // The partner sees the closed socket in any case.
            let _unheard = self.ssh.disconnect(None, "done", None);
        }
    }

    /// What was found in order while connecting, as sentences.
    pub(super) fn sentences(&self) -> Vec<String> {
        vec![
            format!("Connected to {}.", self.endpoint.site()),
            format!("The host key {} is the pinned one.", self.fingerprint),
            format!(
                "Logged in as {} by {}.",
                self.endpoint.username, self.authenticated_by
            ),
        ]
    }

    /// What an error of libssh2 means. A connection that broke is not used again.
    pub(super) fn fault(&self, doing: &str, error: &ssh2::Error) -> Fault {
        if is_connection_lost(error) {
            self.retire();
        }
        fault(self.endpoint.site(), doing, error)
    }

    /// What an error of reading or writing means: the number behind it is still in the session.
    pub(super) fn io_fault(&self, doing: &str, error: &io::Error) -> Fault {
        self.retire();
        match ssh2::Error::last_session_error(&self.ssh) {
            Some(last) if last.code() != ErrorCode::Session(ssh_error::SFTP_PROTOCOL) => {
                self.fault(doing, &last)
            }
            _ => {
                let words = error.to_string();
                // The words are those of ssh2's own table for the server's status.
                let code = match words.as_str() {
                    "no space on filesystem" | "quota exceeded" => Code::PartnerFull,
                    "permission denied" | "file is write protected" => Code::AccessDenied,
                    _ => Code::PartnerError,
                };
                Fault::new(code, sentence(self.endpoint.site(), doing, &words))
            }
        }
    }
}

impl Session {
    /// What a write that failed means. A full disk is a mere "failure" in the version of SFTP that
    /// everybody speaks; many servers say what is free when asked.
    pub(super) fn write_fault(&self, file: &mut File, doing: &str, error: &io::Error) -> Fault {
        let fault = self.io_fault(doing, error);
        if fault.code != Code::PartnerError {
            return fault;
        }
        if file.statvfs().is_ok_and(|volume| volume.f_bavail == 0) {
            return Fault::new(
                Code::PartnerFull,
                format!("{}; its disk is full", fault.message),
            );
        }
        fault.with_remedy(
            "The server opened the file, took nothing into it and gives no reason. Most often its \
             disk or our quota there is full: ask the partner. The worker tries again by itself.",
        )
    }
}

/// The server answered that there is no such file or directory.
pub(super) fn is_absent(error: &ssh2::Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::SFTP(sftp_status::NO_SUCH_FILE | sftp_status::NO_SUCH_PATH)
    )
}

/// The server answered at all: whatever was asked is known not to have been done.
pub(super) fn is_answer(error: &ssh2::Error) -> bool {
    !is_connection_lost(error)
}

fn is_connection_lost(error: &ssh2::Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::Session(_)
            | ErrorCode::SFTP(
                sftp_status::OK | sftp_status::NO_CONNECTION | sftp_status::CONNECTION_LOST
            )
    )
}

fn sentence(site: &Site, doing: &str, words: &str) -> String {
    format!("{doing} failed on {site}: {words}")
}

pub(super) fn fault(site: &Site, doing: &str, error: &ssh2::Error) -> Fault {
    let code = match error.code() {
        ErrorCode::Session(ssh_error::TIMEOUT | ssh_error::SOCKET_TIMEOUT) => Code::TimedOut,
        _ if is_connection_lost(error) => Code::ConnectionLost,
        ErrorCode::SFTP(sftp_status::PERMISSION_DENIED | sftp_status::WRITE_PROTECT) => {
            Code::AccessDenied
        }
        ErrorCode::SFTP(sftp_status::NO_SPACE | sftp_status::QUOTA_EXCEEDED) => Code::PartnerFull,
        _ => Code::PartnerError,
    };
    let fault = Fault::new(code, sentence(site, doing, error.message()));
    match code {
        Code::TimedOut => fault.with_remedy(
            "The worker tries again by itself. If it lasts, ask the partner whether its SFTP server \
             works; one that is merely slow needs a larger format_specs.sftp.answer_timeout_s.",
        ),
        Code::ConnectionLost => fault.with_remedy(
            "The worker tries again by itself and goes on where it stopped. If it lasts, ask the \
             partner what ends connections on the way: its server or a firewall, after a time, a \
             number of bytes, or more connections than it allows (format_specs.sftp.connections).",
        ),
        _ => fault,
    }
}

/// Logs in by key where there is one, else by password. Answers with what it used.
fn authenticate(ssh: &ssh2::Session, endpoint: &Endpoint) -> Result<&'static str, Fault> {
    let site = endpoint.site();
    let credentials = &endpoint.credentials;
    let user = endpoint.username.as_str();
    if let Some(source) = &credentials.private_key {
        let key = source.reveal(&site.secret("private_key"))?;
        let passphrase = credentials
            .passphrase
            .as_ref()
            .map(|source| source.reveal(&site.secret("passphrase")))
            .transpose()?;
        // A reference is read without its last line break, which the format wants.
        let key = SecretString::from(format!("{}\n", key.expose_secret().trim_end()));
        ssh.userauth_pubkey_memory(
            user,
            None,
            key.expose_secret(),
            passphrase.as_ref().map(ExposeSecret::expose_secret),
        )
        .map_err(|error| refused(endpoint, "the private key", &error))?;
        return Ok("public key");
    }
    let Some(source) = &credentials.password else {
        return Err(Fault::new(
            Code::SettingsInvalid,
            format!("neither private_key nor password is set for {site}"),
        ));
    };
    let password = source.reveal(&site.secret("password"))?;
    let asks_interactively = ssh
        .auth_methods(user)
        .is_ok_and(|methods| !has(methods, "password") && has(methods, "keyboard-interactive"));
    if asks_interactively {
        ssh.userauth_keyboard_interactive(user, &mut PasswordPrompt(&password))
    } else {
        ssh.userauth_password(user, password.expose_secret())
    }
    .map_err(|error| refused(endpoint, "the password", &error))?;
    Ok("password")
}

fn has(methods: &str, method: &str) -> bool {
    methods.split(',').any(|offered| offered == method)
}

fn refused(endpoint: &Endpoint, what: &str, error: &ssh2::Error) -> Fault {
    let (site, user) = (endpoint.site(), &endpoint.username);
    match error.code() {
        ErrorCode::Session(ssh_error::AUTHENTICATION_FAILED | ssh_error::PUBLICKEY_UNVERIFIED) => {
            Fault::new(
                Code::CredentialsRefused,
                format!("{site} refused {what} of user {user}: {}", error.message()),
            )
        }
        ErrorCode::Session(ssh_error::FILE) => Fault::new(
            Code::SettingsInvalid,
            format!(
                "{what} for {site} cannot be used: it is not a private key in OpenSSH or PEM \
                 form, or its passphrase is wrong"
            ),
        ),
        _ => fault(site, &format!("logging in as {user}"), error),
    }
}

/// Answers a server that asks for the password in a dialogue.
struct PasswordPrompt<'a>(&'a SecretString);

impl KeyboardInteractivePrompt for PasswordPrompt<'_> {
    fn prompt(&mut self, _user: &str, _instructions: &str, prompts: &[Prompt<'_>]) -> Vec<String> {
        prompts
            .iter()
            .map(|_| self.0.expose_secret().to_owned())
            .collect()
    }
}
