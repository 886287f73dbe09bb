//! The sandbox's SFTP partner: an OpenSSH server of its own and an inbox behind it.

use std::{io, path::PathBuf};

use tokio::task::JoinHandle;

use super::{
    Ledger, Misbehaviour, Misbehaviours, SftpKind, Sshd, SshdError, SshdOptions,
    acknowledge::ACKNOWLEDGEMENTS,
    front::{Backstage, Front},
    inbox::Inbox,
    misbehave::{self, Course, SharedCourse},
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
    /// What is done wrong with hand-overs, and with connections.
    courses: [SharedCourse; 2],
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
        let backstage = Backstage::prepare(&sshd, &root, &of_connections).await?;
        let courses = [
            Course::resume(of_handovers, &root),
            Course::of_connections(of_connections, &root),
        ];
        let [of_handovers, of_connections] =
            courses.map(|course| course.map(|course| SharedCourse::new(course.into())));
        let of_handovers = of_handovers.map_err(trouble)?;
        let of_connections = of_connections.map_err(trouble)?;
        let front = if has_front {
            let started = Front::start(options.port, backstage, of_connections.clone()).await;
            Some(started.map_err(trouble)?)
        } else {
            None
        };
        let inbox = Inbox::open(
            options.name.clone(),
            options.kind,
            root,
            incoming,
            schemas,
            of_handovers.clone(),
        )
        .map_err(trouble)?;
        Ok(Self {
            sshd,
            front,
            courses: [of_handovers, of_connections],
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

    /// From now on this is done wrong with every connection or hand-over, whatever it was started
    /// with; `None`: no longer. What is done with connections must be among the misbehaviours that
    /// the partner was started with, be it no times: the servers for it are started then.
    pub fn misbehave(&self, what: Option<Misbehaviour>) {
        let [of_handovers, of_connections] = &self.courses;
        let (handover, connection) = match what {
            Some(what) if what.is_of_handover() => (Some(what), None),
            what => (None, what),
        };
        misbehave::lock(of_handovers).stand(handover);
        misbehave::lock(of_connections).stand(connection);
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
