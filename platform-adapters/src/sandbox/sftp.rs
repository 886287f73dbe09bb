//! The sandbox's SFTP partner: an OpenSSH server of its own and an inbox behind it.

use std::{io, path::PathBuf};

use tokio::task::JoinHandle;

use super::{
    Ledger, Misbehaviours, SftpKind, Sshd, SshdError, SshdOptions,
    acknowledge::ACKNOWLEDGEMENTS,
    front::{Backstage, Front},
    inbox::Inbox,
    misbehave::Course,
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
    /// What it does wrong: [`super::Misbehaviour::CutBeforeAnswer`] and
    /// [`super::Misbehaviour::Refuse`] cannot be done by SFTP. Rejections go by hand-overs, all else
    /// by connections.
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
    #[error("an SFTP partner was asked for a misbehaviour that is for HTTP")]
    CannotMisbehaveSo,
}

/// An SFTP partner that runs until it is dropped.
#[derive(Debug)]
pub struct SftpPartner {
    sshd: Sshd,
    /// What senders meet first, where connections are to be ill-treated.
    front: Option<Front>,
    ledger: Ledger,
    watching: JoinHandle<()>,
}

impl SftpPartner {
    /// Starts a partner; when this returns it takes hand-overs.
    ///
    /// # Errors
    /// [`SftpPartnerError`].
    pub async fn start(options: SftpPartnerOptions) -> Result<Self, SftpPartnerError> {
        if !options.misbehaviours.are_for_sftp() {
            return Err(SftpPartnerError::CannotMisbehaveSo);
        }
        let (of_handovers, of_connections) = options.misbehaviours.split();
        let has_front = !of_connections.is_empty();
        let schemas = options
            .ddex_dir
            .as_deref()
            .map(ddex::find_schemas)
            .transpose()?;
        let sshd = Sshd::start(SshdOptions {
            state: options.root.join("sshd"),
            root: options.root.join("files"),
            port: options.port.filter(|_| !has_front),
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
        let course = Course::resume(of_handovers, &root).map_err(trouble)?;
        let front = if has_front {
            let backstage = Backstage::prepare(&sshd, &root, &of_connections).await?;
            let course = Course::of_connections(of_connections, &root).map_err(trouble)?;
            let port = options.port;
            Some(
                Front::start(port, backstage, course)
                    .await
                    .map_err(trouble)?,
            )
        } else {
            None
        };
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
            front,
            ledger,
            watching: tokio::spawn(inbox.watch()),
        })
    }

    /// Its address, as in `api_endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.sshd.endpoint_at(self.port(), INCOMING)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        let front = self.front.as_ref().map(Front::port);
        front.unwrap_or_else(|| self.sshd.port())
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
