//! The HTTP client of every request that goes to an address from a setting: no redirects, no
//! proxy, no repetition, and no way into our own network unless it is allowed.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, redirect};
use url::{Host, Url};

use super::address::{self, PublicOnly};

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL names an address that is not the internet's, and that is not allowed.
    #[error("{0} is a private address")]
    Private(std::net::IpAddr),
    /// The TLS library could not be set up.
    #[error(transparent)]
    Setup(#[from] reqwest::Error),
}

/// A client for requests to `endpoint`. Unless `allow_private_addresses`, an address written out is
/// checked here, and a name at every connection, after it was resolved.
///
/// # Errors
/// [`ClientError`].
pub fn guarded_client(
    endpoint: &Url,
    allow_private_addresses: bool,
    connect_timeout: Duration,
) -> Result<Client, ClientError> {
    let mut builder = Client::builder()
        .user_agent(concat!("tunemantra-worker/", env!("CARGO_PKG_VERSION")))
        // Another host must not get what is meant for this one, credentials above all.
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // A proxy from the environment would resolve names behind the check of addresses.
        .no_proxy()
        .connect_timeout(connect_timeout)
        // Shorter than common servers keep an idle connection: a request on a connection that
        // the other side has just closed is lost.
        .pool_idle_timeout(Duration::from_secs(10));
    if !allow_private_addresses {
        let literal = match endpoint.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        };
        if let Some(address) = literal.filter(|address| !address::is_public(*address)) {
            return Err(ClientError::Private(address));
        }
        builder = builder.dns_resolver(Arc::new(PublicOnly) as Arc<dyn reqwest::dns::Resolve>);
    }
    Ok(builder.build()?)
}
