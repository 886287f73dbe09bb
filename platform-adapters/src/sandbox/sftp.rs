//! The sandbox's SFTP partner: an OpenSSH server of its own and an inbox behind it.

use std::{io, path::PathBuf};

use tokio::task::JoinHandle;

use super::{
    Ledger, Misbehaviours, SftpKind, Sshd, SshdError, SshdOptions, acknowledge::ACKNOWLEDGEMENTS,
    inbox::Inbox, misbehave::Course,
};
use crate::{Fault, ddex};

/// The directory that senders write to, below the server's root.
const INCOMING: &str = "incoming";

/// What an SFTP partner needs.
#[derive(Clone, Debug)]
pub struct SftpPartnerOptions {
    /// Its name, for the ledger.
    pub name: String,
    /// Where it keeps keys, what it receives and what it knows. It goes on with what is there.
    pub root: PathBuf,
    /// Its port on 127.0.0.1; any free one where it is `None`.
    pub port: Option<u16>,
    /// The layout that it takes.
    pub kind: SftpKind,
    /// A directory with DDEX's schemas; messages are not validated where it is `None`.
    pub ddex_dir: Option<PathBuf>,
    /// What it does wrong: only [`super::Misbehaviour::RejectLater`] can be done by SFTP.
    pub misbehaviours: Misbehaviours,
}

/// Why an SFTP partner could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SftpPartnerError {
    /// Its server.
    #[error(transparent)]
    Sshd(#[from] SshdError),
    /// Its root.
    #[error("the partner's directory {} cannot be used: {source}", root.display())]
    Root {
        /// The directory.
        root: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// DDEX's schemas.
    #[error(transparent)]
    Schemas(#[from] Fault),
    /// It was asked for what it cannot do.
    #[error("an SFTP partner can only reject; the other misbehaviours are for HTTP")]
    CannotMisbehaveSo,
}

/// An SFTP partner that runs until it is dropped.
#[derive(Debug)]
pub struct SftpPartner {
    sshd: Sshd,
    ledger: Ledger,
    watching: JoinHandle<()>,
}

impl SftpPartner {
    /// Starts a partner; when this returns it takes hand-overs.
    ///
    /// # Errors
    /// [`SftpPartnerError`].
    pub async fn start(options: SftpPartnerOptions) -> Result<Self, SftpPartnerError> {
        if !options.misbehaviours.are_rejections() {
            return Err(SftpPartnerError::CannotMisbehaveSo);
        }
        let schemas = options
            .ddex_dir
            .as_deref()
            .map(ddex::find_schemas)
            .transpose()?;
        let sshd = Sshd::start(SshdOptions {
            state: options.root.join("sshd"),
            root: options.root.join("files"),
            port: options.port,
        })
        .await?;
        let trouble = |source| SftpPartnerError::Root {
            root: options.root.clone(),
            source,
        };
        let incoming = sshd.make_directory(INCOMING).map_err(trouble)?;
        sshd.make_directory(&format!("{INCOMING}/{ACKNOWLEDGEMENTS}"))
            .map_err(trouble)?;
        let root = options.root.canonicalize().map_err(trouble)?;
        let ledger = Ledger::open(&root).map_err(trouble)?;
        let course = Course::resume(options.misbehaviours, &root).map_err(trouble)?;
        let inbox = Inbox::open(
            options.name.clone(),
            options.kind,
            root,
            incoming,
            schemas,
            course,
        )
        .map_err(trouble)?;
        Ok(Self {
            sshd,
            ledger,
            watching: tokio::spawn(inbox.watch()),
        })
    }

    /// Its address, as in `api_endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.sshd.endpoint(INCOMING)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.sshd.port()
    }

    /// Whom it lets in.
    #[must_use]
    pub fn username(&self) -> &str {
        self.sshd.username()
    }

    /// The key with which it lets in.
    #[must_use]
    pub fn private_key_path(&self) -> PathBuf {
        self.sshd.private_key()
    }

    /// Its host key's fingerprint, to be pinned.
    #[must_use]
    pub fn host_key(&self) -> &str {
        self.sshd.fingerprint()
    }

    /// The directory on disk that senders write to.
    #[must_use]
    pub fn incoming(&self) -> PathBuf {
        self.sshd.root().join(INCOMING)
    }

    /// What it received.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Ends the server and the inbox.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for SftpPartner {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
