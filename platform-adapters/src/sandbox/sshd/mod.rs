//! OpenSSH's own server with a configuration, keys and port of its own, SFTP only, on loopback only.
//!
//! It never runs as root. Started by root it runs as `daemon`; otherwise as whoever starts it. Such
//! a server lets in only the user it runs as, by the key made for it, and needs neither
//! `/run/sshd` nor PAM. What is uploaded belongs to that user, and the directories that it uses must
//! lie where that user may go.

mod setup;

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use nix::unistd::User;
use tokio::{io::AsyncReadExt, net::TcpListener, net::TcpStream, time};

use self::setup::{give, make_keys, prepare_directories, service_user, spawn, write_config};
use super::process;

/// Where systems keep the server's program. It wants to be started by its absolute path.
const PROGRAMS: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];

/// How long the server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may take until it says that it is SSH; then it is tried anew.
const BANNER_TIMEOUT: Duration = Duration::from_secs(1);

/// A free port can be taken by others before the server has it.
const PORT_ATTEMPTS: u32 = 5;

/// What an [`Sshd`] is started with.
#[derive(Clone, Debug)]
pub struct SshdOptions {
    /// Keys, configuration, log and process number are kept here, and used again by the next start.
    pub state: PathBuf,
    /// What partners upload lies below this directory. Made where it is absent.
    pub root: PathBuf,
    /// The port; a free one where it is `None`.
    pub port: Option<u16>,
}

/// A running server. Stopped, with all its connections, when dropped.
#[derive(Debug)]
pub struct Sshd {
    child: Child,
    port: u16,
    user: User,
    options: SshdOptions,
    fingerprint: String,
}

/// What is peculiar about a server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner<'a> {
    /// Lines of its configuration that come before all others, and so count.
    pub(super) directives: &'a [&'a str],
    /// It cannot write a single byte into any file.
    pub(super) has_no_room: bool,
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SshdError {
    /// OpenSSH's server is not installed.
    #[error("sshd was not found in {}; install the package openssh-server", PROGRAMS.join(", "))]
    NotInstalled,
    /// The system has no such user.
    #[error("the user {0}, whom the server is to run as, does not exist")]
    NoUser(String),
    /// The service user may not go there.
    #[error("user {user}, whom the server runs as, may not enter {}; choose another directory", path.display())]
    NotReachable {
        /// The directory that is closed.
        path: PathBuf,
        /// The service user.
        user: String,
    },
    /// A file or program could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program that was needed failed.
    #[error("{program} failed: {output}")]
    Program {
        /// The program.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// The server ended or did not answer.
    #[error("sshd did not start: {log}")]
    NotStarted {
        /// The end of its log.
        log: String,
    },
}

fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> SshdError {
    let what = what.into();
    move |source| SshdError::Io { what, source }
}

impl Sshd {
    /// Starts the server and waits until it answers. One that a killed run left with the same state
    /// directory is stopped first.
    ///
    /// # Errors
    /// [`SshdError`], with the server's own words where it said any.
    pub async fn start(options: SshdOptions) -> Result<Self, SshdError> {
        Self::start_so(options, &Manner::default()).await
    }

    /// Starts a server whose configuration begins with these lines: they count before all others.
    ///
    /// # Errors
    /// [`SshdError`], with the server's own words where it said any.
    pub async fn start_with(options: SshdOptions, directives: &[&str]) -> Result<Self, SshdError> {
        let manner = Manner {
            directives,
            ..Manner::default()
        };
        Self::start_so(options, &manner).await
    }

    /// Starts another server with the same files and users, and these of the keys.
    pub(super) async fn twin(
        &self,
        state: PathBuf,
        keys: &[&str],
        manner: &Manner<'_>,
    ) -> Result<Self, SshdError> {
        let what = || doing(format!("preparing the directory {}", state.display()));
        fs::create_dir_all(&state).map_err(what())?;
        for key in keys {
            for name in [(*key).to_owned(), format!("{key}.pub")] {
                let copy = state.join(&name);
                fs::copy(self.options.state.join(&name), &copy).map_err(what())?;
                give(&copy, &self.user).map_err(what())?;
            }
        }
        let options = SshdOptions {
            state,
            root: self.options.root.clone(),
            port: None,
        };
        Self::start_so(options, manner).await
    }

    async fn start_so(options: SshdOptions, manner: &Manner<'_>) -> Result<Self, SshdError> {
        let program = PROGRAMS
            .iter()
            .find(|program| Path::new(program).exists())
            .ok_or(SshdError::NotInstalled)?;
        let user = service_user()?;
        let options = prepare_directories(options, &user)?;
        stop_stale(&options);
        let fingerprint = make_keys(&options, &user)?;
        let mut attempt = 1;
        loop {
            let port = match options.port {
                Some(port) => port,
                None => free_port().await?,
            };
            write_config(&options, program, &user, port, manner.directives)?;
            let child = spawn(&options, program, &user, manner.has_no_room)?;
            let mut server = Self {
                child,
                port,
                user: user.clone(),
                options: options.clone(),
                fingerprint: fingerprint.clone(),
            };
            match server.wait_until_it_answers().await {
                Ok(()) => return Ok(server),
                Err(_) if options.port.is_none() && attempt < PORT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whom it lets in.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.user.name
    }

    /// The private key that it lets in.
    #[must_use]
    pub fn private_key(&self) -> PathBuf {
        self.options.state.join("client_key")
    }

    /// `SHA256:…`, to be pinned.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What partners upload lies below this directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.options.root
    }

    /// The endpoint, as in `api_endpoint`, of a directory below the root.
    #[must_use]
    pub fn endpoint(&self, directory: &str) -> String {
        self.endpoint_at(self.port, directory)
    }

    /// The same for those who come by another port.
    pub(super) fn endpoint_at(&self, port: u16, directory: &str) -> String {
        let path = self.options.root.join(directory);
        let mut url = url::Url::parse("sftp://127.0.0.1").ok();
        if let Some(url) = &mut url {
            url.set_path(&path.to_string_lossy());
            // A host is there, so a port can be.
            let _set = url.set_port(Some(port));
        }
        url.map(String::from).unwrap_or_default()
    }

    /// Makes a directory below the root in which partners may write.
    ///
    /// # Errors
    /// What the system says.
    pub fn make_directory(&self, directory: &str) -> io::Result<PathBuf> {
        let mut path = self.options.root.clone();
        for name in directory.split('/').filter(|name| !name.is_empty()) {
            path.push(name);
            if !path.is_dir() {
                fs::create_dir(&path)?;
            }
            give(&path, &self.user)?;
        }
        Ok(path)
    }

    /// Ends the server and every connection at once, as a crash would.
    pub fn kill(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // Once waited for, the number may belong to another process.
            if matches!(self.child.try_wait(), Ok(None)) {
                process::kill_tree(pid);
            }
        }
        // It was killed; there is nothing to learn from how it ended.
        let _ended = self.child.wait();
        let _removed = fs::remove_file(pid_file(&self.options));
    }

    async fn wait_until_it_answers(&mut self) -> Result<(), SshdError> {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await {
                let mut banner = [0; 4];
                let read = time::timeout(BANNER_TIMEOUT, stream.read_exact(&mut banner)).await;
                // Another program may have the port; then our server is about to end.
                if matches!(read, Ok(Ok(_)))
                    && &banner == b"SSH-"
                    && matches!(self.child.try_wait(), Ok(None))
                {
                    return Ok(());
                }
            }
            time::sleep(Duration::from_millis(20)).await;
        }
        let log = fs::read_to_string(log_file(&self.options)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(5)..)
            .unwrap_or_default();
        Err(SshdError::NotStarted {
            log: tail.join("; "),
        })
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid_file(options: &SshdOptions) -> PathBuf {
    options.state.join("sshd.pid")
}

fn log_file(options: &SshdOptions) -> PathBuf {
    options.state.join("sshd.log")
}

fn config_file(options: &SshdOptions) -> PathBuf {
    options.state.join("sshd_config")
}

/// Stops a server that a killed run left.
fn stop_stale(options: &SshdOptions) {
    let left = fs::read_to_string(pid_file(options))
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if let Some(pid) = left
        && process::is_started_with(pid, &config_file(options))
    {
        process::kill_tree(pid);
    }
}

async fn free_port() -> Result<u16, SshdError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(doing("looking for a free port"))?;
    let address = listener
        .local_addr()
        .map_err(doing("looking for a free port"))?;
    Ok(address.port())
}
