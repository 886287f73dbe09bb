//! The sandbox's SSH server: starting, keeping its keys, and what a killed run leaves.

use std::{fs, net::TcpStream, process::Command};

use platform_adapters::sandbox::{Sshd, SshdError, SshdOptions};

fn options(directory: &tempfile::TempDir, port: Option<u16>) -> SshdOptions {
    fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    SshdOptions {
        state: directory.path().join("state of sshd"),
        root: directory.path().join("root"),
        port,
    }
}

#[tokio::test]
async fn keys_and_port_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = Sshd::start(options(&directory, None)).await.unwrap();
    let (port, fingerprint) = (first.port(), first.fingerprint().to_owned());
    let key = fs::read(first.private_key()).unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    drop(first);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());

    let second = Sshd::start(options(&directory, Some(port))).await.unwrap();
    assert_eq!(second.port(), port);
    assert_eq!(second.fingerprint(), fingerprint);
    assert_eq!(fs::read(second.private_key()).unwrap(), key);
}

#[tokio::test]
async fn a_server_left_by_a_killed_run_is_stopped_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let left = Sshd::start(options(&directory, None)).await.unwrap();
    let port = left.port();
    // As if this process had been killed: nothing stops the server.
    std::mem::forget(left);
    let next = Sshd::start(options(&directory, Some(port))).await.unwrap();
    assert_eq!(next.port(), port);
}

#[tokio::test]
async fn a_process_that_took_the_number_of_an_old_server_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut innocent = Command::new("sleep").arg("600").spawn().unwrap();
    let options = options(&directory, None);
    fs::create_dir_all(&options.state).unwrap();
    fs::write(options.state.join("sshd.pid"), innocent.id().to_string()).unwrap();
    let _server = Sshd::start(options).await.unwrap();
    assert!(innocent.try_wait().unwrap().is_none());
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_said_in_the_servers_own_words() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Sshd::start(options(&directory, Some(port)))
        .await
        .unwrap_err();
    assert!(matches!(error, SshdError::NotStarted { .. }), "{error}");
    assert!(
        error.to_string().contains("Address already in use"),
        "{error}"
    );
}
