//! What is known of a partner's SFTP server before anything connects: its address, directory, pinned
//! host key and credentials, as the platform's row names them.

use std::{fmt, io, net::SocketAddr, sync::OnceLock, time::Duration};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::{
    Code, Fault,
    settings::{Credentials, OldAlgorithm, Platform},
};

/// The port of SSH, where the endpoint names none.
const DEFAULT_PORT: u16 = 22;

/// Connections to one partner at once, where neither `format_specs.sftp.connections` nor
/// `format_specs.limits.concurrency` says how many. Many partners let no more than a handful in.
const DEFAULT_CONNECTIONS: u16 = 4;

/// A server that speaks SSH, whoever we are there.
pub(super) struct Server {
    url: Url,
    pub(super) site: Site,
    /// How long it may take to answer one request, or to take the next bytes of an upload.
    pub(super) answer_timeout: Duration,
    pub(super) old_algorithms: Vec<OldAlgorithm>,
}

/// A partner's SFTP server.
pub(super) struct Endpoint {
    /// `distribution_platforms.id`.
    pub(super) platform: i32,
    pub(super) server: Server,
    pub(super) username: String,
    /// Without a trailing slash; `/` is empty, the login directory is `.`.
    pub(super) directory: String,
    /// As `ssh-keygen -l` prints it, without padding; `None` where nothing is pinned.
    pub(super) host_key: Option<String>,
    /// The kind of the pinned host key, once it was found not to be the one asked for first.
    pub(super) host_key_kind: OnceLock<String>,
    pub(super) credentials: Credentials,
    pub(super) connections: u16,
    /// One file may go over several connections at once.
    pub(super) splits_files: bool,
}

/// How faults and sentences name the server: `SFTP server sftp.example:22 of platform 7 ("Nordlys")`.
#[derive(Clone, Debug)]
pub(super) struct Site {
    address: String,
    platform: String,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SFTP server {} of {}", self.address, self.platform)
    }
}

impl Site {
    /// How a secret is named in faults: `password of platform 7 ("Nordlys")`.
    pub(super) fn secret(&self, what: &str) -> String {
        format!("{what} of {}", self.platform)
    }
}

impl Server {
    /// Reads where the server is. Needs no credentials.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the endpoint names no host.
    pub(super) fn new(platform: &Platform) -> Result<Self, Fault> {
        let url = &platform.endpoint;
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong(platform, "api_endpoint", "names no host"))?;
        let specs = &platform.format_specs.sftp;
        Ok(Self {
            site: Site {
                address: format!("{host}:{}", url.port().unwrap_or(DEFAULT_PORT)),
                platform: label(platform),
            },
            answer_timeout: Duration::from_secs(specs.answer_timeout_s.get().into()),
            old_algorithms: specs.old_algorithms.clone(),
            url: url.clone(),
        })
    }

    /// The addresses that the host's name stands for.
    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.url.socket_addrs(|| Some(DEFAULT_PORT))
    }
}

fn label(platform: &Platform) -> String {
    format!("platform {} ({:?})", platform.id, platform.name)
}

fn wrong(platform: &Platform, column: &str, problem: &str) -> Fault {
    Fault::new(
        Code::SettingsInvalid,
        format!("{column} of {}: {problem}", label(platform)),
    )
}

impl Endpoint {
    /// Reads the platform's settings; no secret is looked up yet.
    ///
    /// # Errors
    /// [`Code::SettingsInvalid`] when the user name or every means of authentication is missing, or
    /// the pinned host key is not written as `ssh-keygen -l` prints it.
    pub(super) fn new(platform: &Platform) -> Result<Self, Fault> {
        let wrong = |column: &str, problem: &str| wrong(platform, column, problem);
        let server = Server::new(platform)?;
        let decoded = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(|text| text.into_owned())
                .map_err(|_| wrong("api_endpoint", "holds what is not UTF-8"))
        };
        let credentials = &platform.credentials;
        let username = match &credentials.username {
            Some(name) => name.clone(),
            None => decoded(server.url.username())?,
        };
        if username.is_empty() {
            return Err(wrong("api_credentials", "username is missing"));
        }
        if credentials.private_key.is_none() && credentials.password.is_none() {
            return Err(wrong(
                "api_credentials",
                "neither private_key nor password is there",
            ));
        }
        let host_key = credentials
            .host_key
            .as_deref()
            .map(|text| {
                pin(text).ok_or_else(|| {
                    wrong(
                        "api_credentials",
                        "host_key is not written as ssh-keygen -l prints it (SHA256:…)",
                    )
                })
            })
            .transpose()?;
        let specs = &platform.format_specs;
        Ok(Self {
            platform: platform.id,
            username,
            directory: directory(&decoded(server.url.path())?),
            host_key,
            host_key_kind: OnceLock::new(),
            credentials: credentials.clone(),
            connections: specs
                .sftp
                .connections
                .or(specs.limits.concurrency)
                .map_or(DEFAULT_CONNECTIONS, u16::from),
            splits_files: specs.sftp.split_files,
            server,
        })
    }

    /// How faults and sentences name the server.
    pub(super) fn site(&self) -> &Site {
        &self.server.site
    }

    /// The path on the server of something named relative to the endpoint's directory.
    pub(super) fn path(&self, relative: &str) -> String {
        match (self.directory.as_str(), relative) {
            ("", "") => "/".into(),
            (directory, "") => directory.into(),
            (".", relative) => relative.into(),
            (directory, relative) => format!("{directory}/{relative}"),
        }
    }
}

/// The directory that an endpoint's path means: absolute, or below the login directory where it
/// begins with `/~/` or is absent.
fn directory(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match trimmed.strip_prefix("/~") {
        Some("") => ".".into(),
        Some(below) if below.starts_with('/') => below.trim_start_matches('/').into(),
        _ if path.is_empty() => ".".into(),
        _ => trimmed.into(),
    }
}

/// `SHA256:` and 43 characters of base64; with or without padding.
pub(super) fn pin(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('=');
    let digest = text.strip_prefix("SHA256:")?;
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    (digest.len() == 43 && digest.chars().all(is_base64)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoints_path_is_absolute_or_below_the_login_directory() {
        assert_eq!(directory("/incoming/"), "/incoming");
        assert_eq!(directory("/"), "");
        assert_eq!(directory(""), ".");
        assert_eq!(directory("/~"), ".");
        assert_eq!(directory("/~/music/in"), "music/in");
        assert_eq!(directory("/~user"), "/~user");
    }

    #[test]
    fn a_pin_is_a_sha256_fingerprint() {
        let digest = "A".repeat(43);
        let whole = format!("SHA256:{digest}");
        assert_eq!(pin(&format!(" {whole}= ")), Some(whole));
        assert_eq!(pin(&digest), None);
        assert_eq!(pin("SHA256:short"), None);
        assert_eq!(pin("MD5:11:22"), None);
    }
}
