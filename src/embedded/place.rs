//! Where the cluster lies and whose it is. PostgreSQL refuses to run as root, so root gives it to
//! an unprivileged user, who must be able to get there.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt,
};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use nix::unistd::{Uid, User};
use uuid::Uuid;

use super::binaries::Binaries;

/// What a Unix socket's path may have, less PostgreSQL's `/socket/.s.PGSQL.65535`.
const LONGEST_DIRECTORY_BYTES: usize = 107 - "/socket/.s.PGSQL.65535.lock".len();

/// Says in the state directory that the cluster is not there but in the directory it names. It
/// ties the two together: without it the other directory belongs to a state that was deleted.
const ELSEWHERE: &str = "postgres-is-elsewhere";

/// The directory that holds the cluster, and the user it belongs to.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    /// The user to run PostgreSQL as; nothing when that is the user of this process.
    user: Option<User>,
}

impl Place {
    /// Finds or makes the cluster's directory.
    pub(super) fn prepare(state_dir: &Path) -> anyhow::Result<Self> {
        let state_dir = canonical(state_dir)?;
        let outside = Self::outside(&state_dir)?;
        let is_elsewhere = points_to(&state_dir, &outside);
        if !is_elsewhere {
            let inside = Self::inside(&state_dir)?;
            if inside.is_usable(&state_dir)? {
                inside.make_directory()?;
                return Ok(inside);
            }
            if outside.directory.symlink_metadata().is_ok() {
                outside.delete()?;
            }
        }
        outside.make_directory()?;
        fs::write(
            state_dir.join(ELSEWHERE),
            outside.directory.as_os_str().as_encoded_bytes(),
        )?;
        tracing::info!(
            postgres.directory = %outside.directory.display(),
            "the embedded PostgreSQL cannot work in the state directory; it has its own directory"
        );
        Ok(outside)
    }

    /// The places that hold a cluster of this state directory.
    pub(super) fn used_by(state_dir: &Path) -> anyhow::Result<Vec<Self>> {
        let state_dir = canonical(state_dir)?;
        let mut places = vec![Self::inside(&state_dir)?];
        let outside = Self::outside(&state_dir)?;
        if points_to(&state_dir, &outside) {
            places.push(outside);
        }
        places.retain(|place| place.directory.symlink_metadata().is_ok());
        Ok(places)
    }

    /// Stops what an earlier run left running there, and deletes all of it.
    pub(super) fn delete(&self) -> anyhow::Result<()> {
        self.check_directory()?;
        super::server::stop_leftover(&self.data())?;
        remove_if_there(&self.directory)
    }

    fn inside(state_dir: &Path) -> anyhow::Result<Self> {
        let directory = state_dir.join("postgres");
        let owner = fs::symlink_metadata(directory.join("data"))
            .ok()
            .map(|data| data.uid());
        Ok(Self {
            user: user_for(&directory, owner)?,
            directory,
        })
    }

    /// Anybody can make this directory beforehand, so who owns it decides nothing.
    fn outside(state_dir: &Path) -> anyhow::Result<Self> {
        let name = Uuid::new_v5(
            &Uuid::NAMESPACE_OID,
            state_dir.as_os_str().as_encoded_bytes(),
        );
        let directory = PathBuf::from(format!("/var/tmp/tunemantra-{}", name.simple()));
        Ok(Self {
            user: user_for(&directory, None)?,
            directory,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// A command that runs as the cluster's user, in its directory, untouched by the caller's
    /// settings for PostgreSQL.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        if let Some(user) = &self.user {
            // Naming a user drops the supplementary groups of root as well.
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Makes the cluster and returns its password. It appears under its name only when complete.
    pub(super) fn create_cluster(&self, binaries: &Binaries, role: &str) -> anyhow::Result<String> {
        let unfinished = self.directory.join("data.new");
        remove_if_there(&unfinished)?;
        let password = self.create_password()?;
        tracing::info!(
            postgres.directory = %self.directory.display(),
            "making the embedded PostgreSQL's cluster"
        );
        let output = self
            .command(&binaries.initdb())
            .arg("--pgdata")
            .arg(&unfinished)
            .args(["--username", role, "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--auth=scram-sha-256", "--pwfile"])
            .arg(self.password_file())
            .output()
            .context("PostgreSQL's initdb cannot be run")?;
        ensure!(
            output.status.success(),
            "PostgreSQL's initdb could not make a cluster in {}: {}",
            self.directory.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        fs::rename(&unfinished, self.data())?;
        Ok(password)
    }

    /// The major version of PostgreSQL that made the cluster, if there is one.
    pub(super) fn made_by(&self) -> Option<u32> {
        fs::read_to_string(self.data().join("PG_VERSION"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    pub(super) fn read_password(&self) -> anyhow::Result<String> {
        let path = self.password_file();
        let password = fs::read_to_string(&path)
            .with_context(|| format!("the embedded PostgreSQL's {} is missing", path.display()))?;
        Ok(password.trim().to_owned())
    }

    /// For files and directories that this process made and PostgreSQL must use.
    fn give(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(user) = &self.user {
            std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .with_context(|| {
                    format!("{} cannot be given to user {}", path.display(), user.name)
                })?;
        }
        Ok(())
    }

    fn password_file(&self) -> PathBuf {
        self.directory.join("password")
    }

    fn create_password(&self) -> anyhow::Result<String> {
        let mut random = [0_u8; 24];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.password_file();
        remove_if_there(&path)?;
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        writeln!(file, "{password}")?;
        file.sync_all()?;
        self.give(&path)?;
        Ok(password)
    }

    /// Whether the user can get to the directory, whose parent exists, and a socket fits there.
    fn is_usable(&self, parent: &Path) -> anyhow::Result<bool> {
        if self.directory.as_os_str().len() > LONGEST_DIRECTORY_BYTES {
            return Ok(false);
        }
        let Some(user) = &self.user else {
            return Ok(true);
        };
        // Asking the kernel, as that user, counts every directory above and access lists too.
        let status = Command::new("/bin/sh")
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(parent)
            .current_dir("/")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .uid(user.uid.as_raw())
            .gid(user.gid.as_raw())
            .status()
            .context("/bin/sh cannot be run")?;
        Ok(status.success())
    }

    fn make_directory(&self) -> anyhow::Result<()> {
        self.make(&self.directory)?;
        self.check_directory()?;
        self.make(&self.socket())
    }

    fn make(&self, directory: &Path) -> anyhow::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => self.give(directory),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("{} cannot be created", directory.display()))
            }
        }
    }

    /// Under `/var/tmp` anybody may have put something else under this name.
    fn check_directory(&self) -> anyhow::Result<()> {
        let found = fs::symlink_metadata(&self.directory)?;
        let uid = self
            .user
            .as_ref()
            .map_or_else(Uid::effective, |user| user.uid);
        ensure!(
            found.is_dir() && found.uid() == uid.as_raw(),
            "{} is not a directory of user {uid}; remove it, or choose another state directory",
            self.directory.display()
        );
        if found.permissions().mode() & 0o777 != 0o700 {
            fs::set_permissions(&self.directory, Permissions::from_mode(0o700))?;
        }
        Ok(())
    }
}

fn canonical(state_dir: &Path) -> anyhow::Result<PathBuf> {
    state_dir.canonicalize().with_context(|| {
        format!(
            "the state directory {} cannot be found",
            state_dir.display()
        )
    })
}

fn points_to(state_dir: &Path, outside: &Place) -> bool {
    fs::read(state_dir.join(ELSEWHERE))
        .is_ok_and(|target| target == outside.directory.as_os_str().as_encoded_bytes())
}

/// Who runs the cluster in `directory`: the `owner` it already has or, where there is none yet,
/// this process's user and, for root, `postgres` or `nobody`.
fn user_for(directory: &Path, owner: Option<u32>) -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        if let Some(owner) = owner.filter(|owner| *owner != Uid::effective().as_raw()) {
            bail!(
                "{} belongs to user {owner}; start as root or as that user, \
                 or choose another state directory",
                directory.display()
            );
        }
        return Ok(None);
    }
    let owner = owner
        .map(|uid| User::from_uid(Uid::from_raw(uid)))
        .transpose()?
        .flatten();
    let candidates = [
        owner,
        User::from_name("postgres")?,
        User::from_name("nobody")?,
    ];
    match candidates
        .into_iter()
        .flatten()
        .find(|user| !user.uid.is_root())
    {
        Some(user) => Ok(Some(user)),
        None => bail!(
            "PostgreSQL does not run as root, and this system has neither a user postgres nor \
             nobody; start as an ordinary user"
        ),
    }
}

fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}
