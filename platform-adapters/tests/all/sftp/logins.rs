//! Logging in by password. An `sshd` that does not run as root cannot check passwords: the one of
//! this test runs as root, in a mount namespace of its own in which it has users of its own. Where
//! that cannot be made, nothing is tested here, and that is said.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use platform_adapters::{Adapter, Code, FaultClass, sftp::SftpAdapter};
use serde_json::json;

use super::partner::Partner;
use crate::fixtures::Fixture;

const PASSWORD: &str = "correct horse";

/// `crypt(3)` of [`PASSWORD`].
const HASH: &str = "$6$nordlys$rmzhjE4ltFs00ys1oydKm58.G0xDWjy5NHWoe.D.o1fAYEI2yX6J2Jxdp6Qmgz4\
                    Xr9ajPLtD47MLhWBjmH1nW0";

/// Ended when dropped.
struct RootSshd(Child);

impl Drop for RootSshd {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Whether this process may have mounts of its own.
fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/run"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

fn start(directory: &Path, host_key: &Path, port: u16) -> RootSshd {
    fs::create_dir_all(directory.join("home")).unwrap();
    let append = |name: &str, line: String| {
        let system = fs::read_to_string(Path::new("/etc").join(name)).unwrap();
        fs::write(directory.join(name), format!("{system}{line}\n")).unwrap();
    };
    let home = directory.join("home");
    append(
        "passwd",
        format!("nordlys:x:1:1::{}:/bin/sh", home.display()),
    );
    append("shadow", format!("nordlys:{HASH}:19000:0:99999:7:::"));
    let own_key = directory.join("root_host_key");
    fs::copy(host_key, &own_key).unwrap();
    fs::set_permissions(&own_key, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&own_key, Some(0), Some(0)).unwrap();
    let config = directory.join("root_sshd_config");
    fs::write(
        &config,
        format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\n\
             PasswordAuthentication yes\nPubkeyAuthentication no\nAllowUsers nordlys\n\
             StrictModes no\nSubsystem sftp internal-sftp\nForceCommand internal-sftp\n",
            own_key.display()
        ),
    )
    .unwrap();
    let script = "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd \
                  && mount --bind \"$1/passwd\" /etc/passwd \
                  && mount --bind \"$1/shadow\" /etc/shadow \
                  && exec /usr/sbin/sshd -D -f \"$1/root_sshd_config\"";
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    RootSshd(child)
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "what is skipped is said")]
async fn the_right_password_lets_in_and_a_wrong_one_does_not() {
    if !may_mount() {
        eprintln!("logging in by password is not tested: that takes root and mounts of its own");
        return;
    }
    // For its host key and a directory that everybody may enter.
    let partner = Partner::start().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let directory = partner.state();
    let _sshd = start(&directory, &directory.join("host_key"), port);

    let fixture = Fixture::new();
    let endpoint = format!("sftp://127.0.0.1:{port}{}", partner.incoming().display());
    let check = async |password: &str| {
        let credentials = json!({
            "username": "nordlys", "private_key": null, "password": password,
        });
        let platform = partner.platform_at(&endpoint, credentials, json!({}));
        let adapter = SftpAdapter::new(&platform, fixture.assets.clone()).unwrap();
        adapter.check().await
    };
    let sentences = loop {
        match check(PASSWORD).await {
            Err(fault) if fault.code == Code::ConnectionFailed => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            checked => break checked.unwrap(),
        }
    };
    assert_eq!(sentences[2], "Logged in as nordlys by password.");

    let fault = check("incorrect horse").await.unwrap_err();
    assert_eq!(fault.code, Code::CredentialsRefused, "{fault}");
    assert_eq!(fault.class(), FaultClass::Configuration);
    assert!(!format!("{fault:?}").contains("horse"));
}
