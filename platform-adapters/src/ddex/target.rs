//! Where hand-overs go: a partner's SFTP server, or an object store.

use super::store::Store;
use crate::{
    Fault,
    package::{AssetStore, PackagedFile},
    settings::Platform,
    sftp::{Entry, Marker, Remote},
};

/// See the module.
pub(super) enum Target {
    Sftp(Remote),
    Store(Box<Store>),
}

impl Target {
    /// What the platform's endpoint names.
    pub(super) fn new(platform: &Platform) -> Result<Self, Fault> {
        Ok(match platform.endpoint.scheme() {
            "sftp" => Self::Sftp(Remote::new(platform)?),
            _ => Self::Store(Box::new(Store::new(platform))),
        })
    }

    /// See [`Remote::full_path`].
    pub(super) fn full_path(&self, relative: &str) -> String {
        match self {
            Self::Sftp(remote) => remote.full_path(relative),
            Self::Store(store) => store.full_path(relative),
        }
    }

    /// See [`Remote::put_files`].
    pub(super) async fn put_files(
        &self,
        assets: &AssetStore,
        folder: &str,
        files: &[&PackagedFile],
    ) -> Result<(), Fault> {
        match self {
            Self::Sftp(remote) => remote.put_files(assets, folder, files, &[]).await.map(drop),
            Self::Store(store) => store.put_files(assets, folder, files).await,
        }
    }

    /// See [`Remote::put_document`].
    pub(super) async fn put_document(&self, path: &str, body: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Sftp(remote) => remote.put_document(path, body).await,
            Self::Store(store) => store.put_document(path, body).await,
        }
    }

    /// See [`Remote::put_marker`].
    pub(super) async fn put_marker(&self, path: &str, body: &[u8]) -> Result<Marker, Fault> {
        match self {
            Self::Sftp(remote) => remote.put_marker(path, body).await,
            Self::Store(store) => store.put_marker(path, body).await,
        }
    }

    /// See [`Remote::read_small`].
    pub(super) async fn read_small(
        &self,
        path: &str,
        limit_bytes: usize,
    ) -> Result<Option<Vec<u8>>, Fault> {
        match self {
            Self::Sftp(remote) => remote.read_small(path, limit_bytes).await,
            Self::Store(store) => store.read_small(path, limit_bytes).await,
        }
    }

    /// See [`Remote::list`].
    pub(super) async fn list(&self, directory: &str) -> Result<Vec<Entry>, Fault> {
        match self {
            Self::Sftp(remote) => remote.list(directory).await,
            Self::Store(store) => store.list(directory).await,
        }
    }

    /// See [`Remote::remove_folder`].
    pub(super) async fn remove_folder(&self, folder: &str) -> Result<(), Fault> {
        match self {
            Self::Sftp(remote) => remote.remove_folder(folder).await,
            Self::Store(store) => store.remove_folder(folder).await,
        }
    }

    /// See [`Remote::check`].
    pub(super) async fn check(&self, probe: &str) -> Result<Vec<String>, Fault> {
        match self {
            Self::Sftp(remote) => remote.check(probe).await,
            Self::Store(store) => store.check(probe).await,
        }
    }
}
