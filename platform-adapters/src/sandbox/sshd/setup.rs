//! What must be there before the server runs: whom it runs as, directories, keys and configuration.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::unistd::{Uid, User};

use super::{SshdError, SshdOptions, config_file, doing, log_file, pid_file};

/// Whom the server runs as when root starts it. Not `nobody`: where systemd answers for users
/// (`nss-systemd`), that account counts as locked and `sshd` lets nobody in.
const SERVICE_USER: &str = "daemon";

/// The keys and their kinds. Servers have host keys of several kinds, and so has this one.
const KEYS: [(&str, &str); 3] = [
    ("host_key", "ed25519"),
    ("host_key_ecdsa", "ecdsa"),
    ("client_key", "ed25519"),
];

/// Known to OpenSSH from 9.8 on, which otherwise shuts out an address after failed logins.
const NO_PENALTIES: &str = "PerSourcePenalties no\n";

/// Starts what follows without the right to write into files, and deaf to the signal about it.
const NO_ROOM: &str = r#"trap "" XFSZ; ulimit -f 0; exec "$0" "$@""#;

pub(super) fn service_user() -> Result<User, SshdError> {
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
pub(super) fn give(path: &Path, user: &User) -> io::Result<()> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
}

pub(super) fn prepare_directories(
    mut options: SshdOptions,
    user: &User,
) -> Result<SshdOptions, SshdError> {
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

/// Makes the server's and the client's key where they are absent. Answers with the server's
/// fingerprint.
pub(super) fn make_keys(options: &SshdOptions, user: &User) -> Result<String, SshdError> {
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

pub(super) fn write_config(
    options: &SshdOptions,
    program: &str,
    user: &User,
    port: u16,
    directives: &[&str],
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
         {directives}\n\
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
        directives = directives.join("\n"),
        user = user.name,
    );
    let path = config_file(options);
    let write = |text: &str| {
        fs::write(&path, text)
            .and_then(|()| give(&path, user))
            .map_err(doing(format!("writing {}", path.display())))
    };
    write(&format!("{config}{NO_PENALTIES}"))?;
    let mut test = command(program, user);
    let is_known = test
        .arg("-f")
        .arg(&path)
        .arg("-t")
        .output()
        .is_ok_and(|output| output.status.success());
    if is_known { Ok(()) } else { write(&config) }
}

fn command(program: &str, user: &User) -> Command {
    let mut command = Command::new(program);
    command
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
pub(super) fn spawn(
    options: &SshdOptions,
    program: &str,
    user: &User,
    has_no_room: bool,
) -> Result<Child, SshdError> {
    let path = log_file(options);
    let log = fs::File::create(&path).map_err(doing(format!("writing {}", path.display())))?;
    let mut command = if has_no_room {
        // A limit on the size of files is answered as a full disk is.
        let mut shell = command("/bin/sh", user);
        shell.args(["-c", NO_ROOM, program]);
        shell
    } else {
        command(program, user)
    };
    let mut child = command
        .arg("-f")
        .arg(config_file(options))
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
