//! An object store where a partner takes hand-overs: `s3://bucket/prefix`, or a directory that this
//! machine sees, `file:///mnt/partner`. An object appears whole or not at all, so that there are no
//! temporary names; what says that a hand-over is complete is put only where nothing is.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    ClientOptions, CredentialProvider, Error, ObjectStore, ObjectStoreExt as _, PutMode,
    PutPayload, RetryConfig,
    aws::{AmazonS3Builder, AwsCredential},
    local::LocalFileSystem,
    path::Path,
    prefix::PrefixStore,
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::{
    Code, Fault,
    package::{AssetStore, PackagedFile},
    settings::Platform,
    sftp::{Entry, Marker},
};

/// A larger file goes in parts of this size: the smallest that every store takes is 5 MiB, and as
/// much is held in memory for each file on its way.
const PART_BYTES: usize = 8 << 20;
/// Files on their way at a time.
const FILES_AT_ONCE: usize = 4;
/// Until there is a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// Without a byte from the store.
const SILENCE: Duration = Duration::from_secs(60);
/// What is tried again within an attempt is tried for so long; the delivery has attempts of its own.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same as a number of tries.
const TRIES: usize = 3;

/// See the module. Paths are relative to the endpoint and use `/`.
pub(super) struct Store {
    platform: Platform,
    opened: OnceCell<Arc<dyn ObjectStore>>,
}

impl Store {
    /// The store that the platform's endpoint names; nothing is asked of it yet.
    pub(super) fn new(platform: &Platform) -> Self {
        Self {
            platform: platform.clone(),
            opened: OnceCell::new(),
        }
    }

    /// The URL of something in the store, as receipts and sentences show it.
    pub(super) fn full_path(&self, relative: &str) -> String {
        let root = self.platform.endpoint.as_str().trim_end_matches('/');
        format!("{root}/{relative}")
    }

    /// Makes `folder` hold exactly these files, each checked by its size when it is there. One that an
    /// earlier attempt has put whole is kept.
    pub(super) async fn put_files(
        &self,
        assets: &AssetStore,
        folder: &str,
        files: &[&PackagedFile],
    ) -> Result<(), Fault> {
        let puts: Vec<_> = files
            .iter()
            .map(|file| self.put_file(assets, format!("{folder}/{}", file.name), file))
            .collect();
        stream::iter(puts)
            .buffer_unordered(FILES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let ours: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
        for entry in self.list(folder).await? {
            if !entry.is_directory && !ours.contains(entry.name.as_str()) {
                self.remove(&format!("{folder}/{}", entry.name)).await?;
            }
        }
        Ok(())
    }

    async fn put_file(
        &self,
        assets: &AssetStore,
        path: String,
        file: &PackagedFile,
    ) -> Result<(), Fault> {
        if self.is_whole(&path, file).await? {
            return Ok(());
        }
        let store = self.store().await?;
        let location = Path::from(path.as_str());
        let failed = |error: Error| self.fault(&path, &error);
        let mut bytes = assets.stream(file, 0).await?;
        let mut gathered = BytesMut::new();
        if file.size <= PART_BYTES as u64 {
            while let Some(piece) = bytes.try_next().await? {
                gathered.extend_from_slice(&piece);
            }
            let payload = PutPayload::from(gathered.freeze());
            store.put(&location, payload).await.map_err(failed)?;
            return self.check_size(&path, file.size).await;
        }
        let mut upload = store.put_multipart(&location).await.map_err(failed)?;
        let sent = async {
            while let Some(piece) = bytes.try_next().await? {
                gathered.extend_from_slice(&piece);
                while gathered.len() >= PART_BYTES {
                    let part = gathered.split_to(PART_BYTES).freeze();
                    upload.put_part(part.into()).await.map_err(failed)?;
                }
            }
            if !gathered.is_empty() {
                let part = std::mem::take(&mut gathered).freeze();
                upload.put_part(part.into()).await.map_err(failed)?;
            }
            upload.complete().await.map_err(failed)
        };
        if let Err(fault) = sent.await {
            // Parts that are left are cleared away by the store in its time.
            if let Err(error) = upload.abort().await {
                tracing::debug!(path, "an upload could not be taken back: {error}");
            }
            return Err(fault);
        }
        self.check_size(&path, file.size).await
    }

    /// Whether the very file is there already.
    async fn is_whole(&self, path: &str, file: &PackagedFile) -> Result<bool, Fault> {
        let store = self.store().await?;
        let location = Path::from(path);
        let found = match store.head(&location).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(self.fault(path, &error)),
        };
        if found.size != file.size {
            return Ok(false);
        }
        if !self.is_directory() {
            // The tag of what was put in one piece is its MD5.
            let tag = found.e_tag.unwrap_or_default();
            return Ok(tag.trim_matches('"') == file.md5);
        }
        let failed = |error: Error| self.fault(path, &error);
        let mut bytes = store.get(&location).await.map_err(failed)?.into_stream();
        let mut hasher = Sha256::new();
        while let Some(piece) = bytes.try_next().await.map_err(failed)? {
            hasher.update(&piece);
        }
        Ok(hex::encode(hasher.finalize()) == file.sha256)
    }

    async fn check_size(&self, path: &str, size: u64) -> Result<(), Fault> {
        let found = match self.store().await?.head(&Path::from(path)).await {
            Ok(found) => found.size,
            Err(Error::NotFound { .. }) => 0,
            Err(error) => return Err(self.fault(path, &error)),
        };
        if found == size {
            return Ok(());
        }
        Err(Fault::new(
            Code::TransferCorrupt,
            format!("{} has {found} bytes of {size}", self.full_path(path)),
        ))
    }

    /// Puts a document; another of the same name is replaced.
    pub(super) async fn put_document(&self, path: &str, body: &[u8]) -> Result<(), Fault> {
        let payload = PutPayload::from(body.to_vec());
        let put = self.store().await?.put(&Path::from(path), payload).await;
        put.map_err(|error| self.fault(path, &error))?;
        self.check_size(path, body.len() as u64).await
    }

    /// Puts what says that a hand-over is complete, unless something of this name is there.
    ///
    /// # Errors
    /// [`Code::OutcomeUnknown`] where it may have been put all the same.
    pub(super) async fn put_marker(&self, path: &str, body: &[u8]) -> Result<Marker, Fault> {
        let payload = PutPayload::from(body.to_vec());
        let store = self.store().await?;
        let location = Path::from(path);
        let put = store.put_opts(&location, payload, PutMode::Create.into());
        match put.await {
            Ok(_) => Ok(Marker::Written),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                Ok(Marker::AlreadyThere)
            }
            Err(error) => {
                let fault = self.fault(path, &error);
                Err(match fault.code {
                    Code::PartnerError => Fault {
                        code: Code::OutcomeUnknown,
                        message: format!("{}; it may be there", fault.message),
                        ..fault
                    },
                    _ => fault,
                })
            }
        }
    }

    /// Reads an object of at most `limit_bytes`; `None` where there is none.
    pub(super) async fn read_small(
        &self,
        path: &str,
        limit_bytes: usize,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let failed = |error: Error| self.fault(path, &error);
        let found = match self.store().await?.get(&Path::from(path)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if found.meta.size > limit_bytes as u64 {
            return Err(Fault::new(
                Code::PartnerError,
                format!(
                    "{} is larger than the {limit_bytes} bytes expected at most",
                    self.full_path(path)
                ),
            )
            .with_remedy("Ask the partner what this object is."));
        }
        let body = found.bytes().await.map_err(failed)?;
        Ok(Some(body.to_vec()))
    }

    /// What lies below a path, sorted by name; nothing where nothing does.
    pub(super) async fn list(&self, directory: &str) -> Result<Vec<Entry>, Fault> {
        let store = self.store().await?;
        let listed = match store
            .list_with_delimiter(Some(&Path::from(directory)))
            .await
        {
            Ok(listed) => listed,
            Err(Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(self.fault(directory, &error)),
        };
        let entry = |path: &Path, size, is_directory| Entry {
            name: path.filename().unwrap_or_default().to_owned(),
            size,
            is_directory,
        };
        let objects = listed.objects.iter();
        let mut entries: Vec<Entry> = objects
            .map(|object| entry(&object.location, object.size, false))
            .chain(
                listed
                    .common_prefixes
                    .iter()
                    .map(|path| entry(path, 0, true)),
            )
            .collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Removes all that lies below a path.
    pub(super) async fn remove_folder(&self, folder: &str) -> Result<(), Fault> {
        let store = self.store().await?;
        let listed = store.list(Some(&Path::from(folder)));
        let found: Vec<_> = listed
            .try_collect()
            .await
            .map_err(|error| self.fault(folder, &error))?;
        for object in found {
            self.remove(object.location.as_ref()).await?;
        }
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), Fault> {
        match self.store().await?.delete(&Path::from(path)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault(path, &error)),
        }
    }

    /// Writes, reads back and removes an object of this name. Answers with one sentence for each thing
    /// found in order.
    pub(super) async fn check(&self, probe: &str) -> Result<Vec<String>, Fault> {
        const BODY: &[u8] = b"Written to see whether deliveries can be. It can be removed.\n";
        self.put_document(probe, BODY).await?;
        let is_back = self.read_small(probe, BODY.len()).await?.as_deref() == Some(BODY);
        self.remove(probe).await?;
        Ok(vec![format!(
            "Wrote{} and removed an object in {}.",
            if is_back { ", read back" } else { "" },
            self.platform.endpoint
        )])
    }

    fn is_directory(&self) -> bool {
        self.platform.endpoint.scheme() == "file"
    }

    async fn store(&self) -> Result<&Arc<dyn ObjectStore>, Fault> {
        if !self.is_directory() {
            // What is wrong with them is ours to mend, and not the store's fault.
            Keys::of(&self.platform).reveal()?;
        }
        self.opened.get_or_try_init(|| async { self.open() }).await
    }

    fn open(&self) -> Result<Arc<dyn ObjectStore>, Fault> {
        let unusable = |problem: String| {
            Fault::new(
                Code::SettingsInvalid,
                format!(
                    "{} of platform {} ({:?}) cannot be used: {problem}",
                    self.platform.endpoint, self.platform.id, self.platform.name
                ),
            )
        };
        let endpoint = &self.platform.endpoint;
        if self.is_directory() {
            let directory = endpoint
                .to_file_path()
                .map_err(|()| unusable("it is no path of this machine".into()))?;
            let store = LocalFileSystem::new_with_prefix(directory)
                .map_err(|error| unusable(error.to_string()))?;
            return Ok(Arc::new(store.with_automatic_cleanup(true)));
        }
        let specs = &self.platform.format_specs.store;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(endpoint.host_str().unwrap_or_default())
            .with_region(&specs.region)
            .with_virtual_hosted_style_request(specs.virtual_hosted)
            .with_credentials(Arc::new(Keys::of(&self.platform)))
            // Not every store of this kind takes it.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                max_retries: TRIES,
                retry_timeout: PATIENCE,
                ..RetryConfig::default()
            });
        let mut is_encrypted = true;
        if let Some(url) = &specs.endpoint {
            is_encrypted = url.scheme() != "http";
            builder = builder.with_endpoint(url.as_str().trim_end_matches('/'));
        }
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            .with_timeout_disabled()
            .with_read_timeout(SILENCE)
            .with_allow_http(!is_encrypted);
        let store = builder
            .with_client_options(client)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Arc::new(PrefixStore::new(
            store,
            endpoint.path().trim_matches('/'),
        )))
    }

    fn fault(&self, path: &str, error: &Error) -> Fault {
        let code = match error {
            Error::Unauthenticated { .. } => Code::CredentialsRefused,
            Error::PermissionDenied { .. } => Code::AccessDenied,
            Error::NotFound { .. } => Code::SettingsInvalid,
            _ => Code::PartnerError,
        };
        Fault::new(
            code,
            format!(
                "{} at {}: {error}",
                self.full_path(path),
                self.platform.name
            ),
        )
    }
}

/// Whom the store knows us as; read each time, so that a new key counts at once.
struct Keys {
    platform: Platform,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys of platform {}", self.platform.id)
    }
}

impl Keys {
    fn of(platform: &Platform) -> Self {
        Self {
            platform: platform.clone(),
        }
    }

    fn reveal(&self) -> Result<AwsCredential, Fault> {
        let Platform {
            id,
            name,
            credentials,
            ..
        } = &self.platform;
        let missing = |key: &str| {
            Fault::new(
                Code::SettingsInvalid,
                format!("api_credentials.{key} of platform {id} ({name:?}) is missing"),
            )
        };
        let key_id = credentials.username.clone();
        let secret = credentials.password.as_ref();
        let secret = secret
            .ok_or_else(|| missing("password"))?
            .reveal(&format!("password of platform {id} ({name:?})"))?;
        Ok(AwsCredential {
            key_id: key_id.ok_or_else(|| missing("username"))?,
            secret_key: secret.expose_secret().to_owned(),
            token: None,
        })
    }
}

#[async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.reveal().map(Arc::new).map_err(|fault| Error::Generic {
            store: "S3",
            source: Box::new(fault),
        })
    }
}
