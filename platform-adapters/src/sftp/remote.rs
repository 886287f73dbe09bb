//! A partner's SFTP server as delivery code sees it: files, documents and markers under the
//! endpoint's directory, asynchronous. Connections and threads are in `pool`, the blocking steps in
//! `transfer`.

use std::sync::Arc;

use super::{
    endpoint::{Endpoint, Server},
    freight::Freight,
    greeting::{self, HostKey},
    pool::Pool,
    session::Session,
    transfer,
};
use crate::{
    Code, Fault,
    package::{AssetStore, PackagedFile},
    settings::Platform,
};

/// A partner's SFTP server. Cheap to clone; clones share their connections.
///
/// Paths are relative to the endpoint's directory and use `/`. Directories below it are made as
/// needed; the endpoint's directory itself must exist. Dropping a future of any method closes the
/// connection that it used, so that nothing goes on in the background.
#[derive(Clone)]
pub struct Remote {
    pool: Arc<Pool>,
}

/// What [`Remote::put_files`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Files sent now.
    pub sent: usize,
    /// Files that an earlier attempt had left there whole.
    pub kept: usize,
    /// Bytes sent now, those that had to be sent again included.
    pub sent_bytes: u64,
}

/// What [`Remote::put_marker`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// It was not there and is now.
    Written,
    /// Something of this name was there already and was left alone.
    AlreadyThere,
}

/// A file in a remote directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// It is a directory.
    pub is_directory: bool,
}

impl Remote {
    /// Reads the platform's settings; connects only when something is asked.
    ///
    /// # Errors
    /// [`crate::Code::SettingsInvalid`] when user name, means of authentication or pin cannot be
    /// used.
    pub fn new(platform: &Platform) -> Result<Self, Fault> {
        Ok(Self {
            pool: Arc::new(Pool::new(Endpoint::new(platform)?)),
        })
    }

    /// The path on the server of something named relative to the endpoint's directory, as receipts
    /// and sentences show it.
    #[must_use]
    pub fn full_path(&self, relative: &str) -> String {
        self.pool.endpoint().path(relative)
    }

    /// Makes `folder` hold exactly these files.
    ///
    /// Each is sent under a temporary name made from its name and hash sum, checked, and renamed;
    /// several at once, over as many connections as are free. Where a connection is lost it is made
    /// anew, a few times, and the file goes on where it stopped; so it does in a later attempt. What
    /// is checked: the size of every file; by reading back, what was there of a file before it was
    /// gone on with, and the SHA-256 of one that was there already, which is then kept as it is and
    /// not sent again. Other files in the folder, left by an earlier attempt, are removed, but for
    /// those named in `beside`.
    ///
    /// # Errors
    /// A fault that names the server and the file; what has arrived stays for the next attempt.
    pub async fn put_files(
        &self,
        assets: &AssetStore,
        folder: &str,
        files: &[&PackagedFile],
        beside: &[&str],
    ) -> Result<Transferred, Fault> {
        Freight::new(&self.pool, assets, folder, files)
            .carry(beside)
            .await
    }

    /// Writes a document under a temporary name and renames it. One that is there already with the
    /// same bytes is left alone, any other is replaced.
    ///
    /// # Errors
    /// A fault that names the server and the document.
    pub async fn put_document(&self, path: &str, body: &[u8]) -> Result<(), Fault> {
        let (path, body) = (path.to_owned(), body.to_vec());
        self.persistently(move |session| transfer::put_document(session, &path, &body))
            .await
    }

    /// Writes what tells the partner that a hand-over is complete, at most once: complete under a
    /// temporary name first, then given its name by a rename that does not replace anything.
    ///
    /// # Errors
    /// [`crate::Code::OutcomeUnknown`] when the connection fails while the marker gets its name. The
    /// fault of any earlier step means that the marker is not there. When the future is dropped, it
    /// cannot be known either.
    pub async fn put_marker(&self, path: &str, body: &[u8]) -> Result<Marker, Fault> {
        let (path, body) = (path.to_owned(), body.to_vec());
        self.pool
            .lease()
            .await?
            .run(move |session| transfer::put_marker(session, &path, &body))
            .await
    }

    /// The size of a file in bytes; `None` where there is none.
    ///
    /// # Errors
    /// A fault when the partner cannot be asked.
    pub async fn stat(&self, path: &str) -> Result<Option<u64>, Fault> {
        let path = path.to_owned();
        self.persistently(move |session| {
            let found = transfer::stat(session, &path)?;
            Ok(found.map(|stat| stat.size.unwrap_or_default()))
        })
        .await
    }

    /// Reads a file of at most `limit_bytes`; `None` where there is none.
    ///
    /// # Errors
    /// A fault when the partner cannot be asked or the file is larger.
    pub async fn read_small(
        &self,
        path: &str,
        limit_bytes: usize,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let path = path.to_owned();
        self.persistently(move |session| transfer::read_small(session, &path, limit_bytes))
            .await
    }

    /// What a directory holds, sorted by name; nothing where there is no such directory.
    ///
    /// # Errors
    /// A fault when the partner cannot be asked or the directory holds too much to be looked
    /// through.
    pub async fn list(&self, directory: &str) -> Result<Vec<Entry>, Fault> {
        let directory = directory.to_owned();
        self.persistently(move |session| transfer::list(session, &directory))
            .await
    }

    /// Removes a directory with all that is in it; it may be gone already.
    ///
    /// # Errors
    /// A fault when the partner cannot be asked or does not allow it.
    pub async fn remove_folder(&self, folder: &str) -> Result<(), Fault> {
        let folder = folder.to_owned();
        self.persistently(move |session| transfer::remove_folder(session, &folder, 0))
            .await
    }

    /// Connects and writes, reads back and removes a file of this name in the endpoint's directory.
    /// Answers with one sentence for each thing found in order.
    ///
    /// # Errors
    /// The first fault met.
    pub async fn check(&self, probe: &str) -> Result<Vec<String>, Fault> {
        let probe = probe.to_owned();
        let mut lease = self.pool.lease().await?;
        lease
            .run(move |session| {
                let mut sentences = session.sentences();
                sentences.push(transfer::check_writing(session, &probe)?);
                Ok(sentences)
            })
            .await
    }

    async fn persistently<T, W>(&self, work: W) -> Result<T, Fault>
    where
        T: Send + 'static,
        W: Fn(&Session) -> Result<T, Fault> + Clone + Send + 'static,
    {
        self.pool.lease().await?.run_persistently(work).await
    }
}

/// The host keys that a platform's server shows, one of each kind that it has. Needs no credentials
/// and sends nothing.
///
/// # Errors
/// A fault when the server cannot be reached or shows none.
pub async fn host_keys(platform: &Platform) -> Result<Vec<HostKey>, Fault> {
    let server = Server::new(platform)?;
    tokio::task::spawn_blocking(move || greeting::host_keys(&server))
        .await
        .map_err(|error| {
            Fault::new(
                Code::WorkerFault,
                format!("asking for host keys ended abnormally: {error}"),
            )
        })?
}
