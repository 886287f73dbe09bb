//! OpenSSH's own server with a configuration, keys and port of its own, SFTP only, on loopback only.
//!
//! It never runs as root. Started by root it runs as `daemon`; otherwise as whoever starts it. Such
//! a server lets in only the user it runs as, by the key made for it, and needs neither
//! `/run/sshd` nor PAM. What is uploaded belongs to that user, and the directories that it uses must
//! lie where that user may go.

use std::{
    fs, io,
    net::Ipv4Addr,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::unistd::{Uid, User};
use tokio::{io::AsyncReadExt, net::TcpListener, net::TcpStream, time};

use super::process;

/// Whom the server runs as when root starts it. Not `nobody`: where systemd answers for users
/// (`nss-systemd`), that account counts as locked and `sshd` lets nobody in.
const SERVICE_USER: &str = "daemon";

/// Where systems keep the server's program. It wants to be started by its absolute path.
const PROGRAMS: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"];

/// The keys and their kinds. Servers have host keys of several kinds, and so has this one.
const KEYS: [(&str, &str); 3] = [
    ("host_key", "ed25519"),
    ("host_key_ecdsa", "ecdsa"),
    ("client_key", "ed25519"),
];

/// How long the server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection may take until it says that it is SSH; then it is tried anew.
const BANNER_TIMEOUT: Duration = Duration::from_secs(1);

/// A free port can be taken by others before the server has it.
const PORT_ATTEMPTS: u32 = 5;

/// Known to OpenSSH from 9.8 on, which otherwise shuts out an address after failed logins.
const NO_PENALTIES: &str = "PerSourcePenalties no\n";

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
            write_config(&options, program, &user, port)?;
            let child = spawn(&options, program, &user)?;
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
        let path = self.options.root.join(directory);
        let mut url = url::Url::parse("sftp://127.0.0.1").ok();
        if let Some(url) = &mut url {
            url.set_path(&path.to_string_lossy());
            // A host is there, so a port can be.
            let _set = url.set_port(Some(self.port));
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

fn service_user() -> Result<User, SshdError> {
    let found = if Uid::effective().is_root() {
        User::from_name(SERVICE_USER)
    } else {
        User::from_uid(Uid::effective())
    };
    found
        .map_err(|errno| doing("looking up a user")(errno.into()))?
        .ok_or_else(|| SshdError::NoUser(SERVICE_USER.into()))
}

/// Hands a file or directory to the service user, where we are root and it is not ours.
fn give(path: &Path, user: &User) -> io::Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
}

fn prepare_directories(mut options: SshdOptions, user: &User) -> Result<SshdOptions, SshdError> {
    for directory in [&mut options.state, &mut options.root] {
        let what = || doing(format!("preparing the directory {}", directory.display()));
        fs::create_dir_all(&*directory).map_err(what())?;
        give(directory, user).map_err(what())?;
        let absolute = directory.canonicalize().map_err(what())?;
        if let Some(closed) = absolute
            .ancestors()
            .skip(1)
            .find(|ancestor| !may_enter(ancestor, user))
        {
            return Err(SshdError::NotReachable {
                path: closed.to_owned(),
                user: user.name.clone(),
            });
        }
        *directory = absolute;
    }
    Ok(options)
}

fn may_enter(directory: &Path, user: &User) -> bool {
    fs::metadata(directory).is_ok_and(|found| {
        let bit = if found.uid() == user.uid.as_raw() {
            0o100
        } else if found.gid() == user.gid.as_raw() {
            0o010
        } else {
            0o001
        };
        found.mode() & bit != 0
    })
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

/// Makes the server's and the client's key where they are absent. Answers with the server's
/// fingerprint.
fn make_keys(options: &SshdOptions, user: &User) -> Result<String, SshdError> {
    for (name, kind) in KEYS {
        let path = options.state.join(name);
        if !path.exists() {
            keygen(&["-q", "-t", kind, "-N", "", "-C", name, "-f"], &path)?;
        }
        give(&path, user).map_err(doing(format!("handing {} over", path.display())))?;
    }
    let authorized = options.state.join("authorized_keys");
    let client = options.state.join("client_key.pub");
    fs::copy(&client, &authorized)
        .and_then(|_| give(&authorized, user))
        .map_err(doing(format!("writing {}", authorized.display())))?;
    let shown = keygen(&["-l", "-f"], &options.state.join("host_key.pub"))?;
    shown
        .split_whitespace()
        .find(|word| word.starts_with("SHA256:"))
        .map(str::to_owned)
        .ok_or(SshdError::Program {
            program: "ssh-keygen",
            output: shown.clone(),
        })
}

fn keygen(arguments: &[&str], path: &Path) -> Result<String, SshdError> {
    let output = Command::new("ssh-keygen")
        .args(arguments)
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(doing(
            "starting ssh-keygen (package openssh-client)".to_owned(),
        ))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(SshdError::Program {
        program: "ssh-keygen",
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
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

fn write_config(
    options: &SshdOptions,
    program: &str,
    user: &User,
    port: u16,
) -> Result<(), SshdError> {
    let state = options.state.display();
    // Tokens that begin with a percent sign are replaced in this one.
    let authorized_keys = options
        .state
        .join("authorized_keys")
        .display()
        .to_string()
        .replace('%', "%%");
    let config = format!(
        "# Written anew at every start.\n\
         Port {port}\n\
         ListenAddress 127.0.0.1\n\
         HostKey \"{state}/host_key\"\n\
         HostKey \"{state}/host_key_ecdsa\"\n\
         PidFile none\n\
         AuthorizedKeysFile \"{authorized_keys}\"\n\
         # The directories above are checked by the worker; those of systems differ.\n\
         StrictModes no\n\
         UsePAM no\n\
         AllowUsers {user}\n\
         PubkeyAuthentication yes\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         Subsystem sftp internal-sftp\n\
         ForceCommand internal-sftp\n\
         PermitTTY no\n\
         DisableForwarding yes\n\
         MaxStartups 100\n\
         LogLevel INFO\n",
        user = user.name,
    );
    let path = config_file(options);
    let write = |text: &str| {
        fs::write(&path, text)
            .and_then(|()| give(&path, user))
            .map_err(doing(format!("writing {}", path.display())))
    };
    write(&format!("{config}{NO_PENALTIES}"))?;
    let mut test = command(options, program, user);
    let is_known = test
        .arg("-t")
        .output()
        .is_ok_and(|output| output.status.success());
    if is_known { Ok(()) } else { write(&config) }
}

fn command(options: &SshdOptions, program: &str, user: &User) -> Command {
    let mut command = Command::new(program);
    command
        .arg("-f")
        .arg(config_file(options))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/");
    if Uid::effective().is_root() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// Starts the server in a process group of its own, so that a signal to ours leaves it to us.
fn spawn(options: &SshdOptions, program: &str, user: &User) -> Result<Child, SshdError> {
    let path = log_file(options);
    let log = fs::File::create(&path).map_err(doing(format!("writing {}", path.display())))?;
    let mut child = command(options, program, user)
        .args(["-D", "-e"])
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(doing(format!("starting {program}")))?;
    let pid = pid_file(options);
    let written = fs::write(&pid, child.id().to_string())
        .and_then(|()| fs::set_permissions(&pid, fs::Permissions::from_mode(0o644)));
    if let Err(error) = written {
        // Not known by its file it must not stay.
        let _killed = child.kill();
        let _ended = child.wait();
        return Err(doing(format!("writing {}", pid.display()))(error));
    }
    Ok(child)
}
