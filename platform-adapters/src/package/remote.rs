//! Asset stores that are not directories of this machine, by their URLs.

use std::{sync::Arc, time::Duration};

use object_store::{
    ClientOptions, ObjectStore, aws::AmazonS3Builder, http::HttpBuilder, prefix::PrefixStore,
};
use url::Url;

/// Until there is a connection.
const CONNECT: Duration = Duration::from_secs(15);

/// Without a byte from the store. A file is read as slowly as a partner takes it, so that there is
/// no limit on the whole; what is not asked for does not count as silence.
const SILENCE: Duration = Duration::from_secs(60);

/// The store that a URL names.
///
/// # Errors
/// What is wrong with the URL or with what the environment says of the store.
pub(super) fn store(url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("it must not hold a user name or a password; the environment does".into());
    }
    let prefix = parsed.path().trim_matches('/');
    match parsed.scheme() {
        "s3" => {
            let store = AmazonS3Builder::from_env()
                .with_url(url)
                .with_client_options(options("AWS_ALLOW_HTTP"))
                .build()
                .map_err(|error| error.to_string())?;
            Ok(below(store, prefix))
        }
        "http" | "https" => {
            let store = HttpBuilder::new()
                .with_url(url)
                .with_client_options(client().with_allow_http(parsed.scheme() == "http"))
                .build()
                .map_err(|error| error.to_string())?;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "gcs")]
        "gs" => {
            let store = object_store::gcp::GoogleCloudStorageBuilder::from_env()
                .with_url(url)
                .with_client_options(client())
                .build()
                .map_err(|error| error.to_string())?;
            Ok(below(store, prefix))
        }
        #[cfg(feature = "azure")]
        "az" | "abfss" => {
            let store = object_store::azure::MicrosoftAzureBuilder::from_env()
                .with_url(url)
                .with_client_options(options("AZURE_ALLOW_HTTP"))
                .build()
                .map_err(|error| error.to_string())?;
            Ok(below(store, prefix))
        }
        #[cfg(not(feature = "gcs"))]
        "gs" => Err(not_built(url, "gcs")),
        #[cfg(not(feature = "azure"))]
        "az" | "abfss" => Err(not_built(url, "azure")),
        other => Err(format!("{other}:// is not a store that is known")),
    }
}

#[cfg(not(all(feature = "gcs", feature = "azure")))]
fn not_built(url: &str, feature: &str) -> String {
    format!("this build has no support for {url}; build it with `--features {feature}`")
}

fn below(store: impl ObjectStore, prefix: &str) -> Arc<dyn ObjectStore> {
    if prefix.is_empty() {
        Arc::new(store)
    } else {
        Arc::new(PrefixStore::new(store, prefix))
    }
}

fn client() -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
}

/// With unencrypted connections where the environment allows them by this variable.
fn options(allow_http: &str) -> ClientOptions {
    let is_allowed = std::env::var(allow_http).is_ok_and(|value| value == "true" || value == "1");
    client().with_allow_http(is_allowed)
}
