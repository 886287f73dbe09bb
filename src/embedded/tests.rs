use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, getpgid, getpgrp};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::server::processes_in;
use super::{Embedded, binaries};

/// A directory that any user can get to, as `/var/lib` is.
fn reachable() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    directory
}

async fn write(embedded: &Embedded) {
    let mut connection = PgConnection::connect(&embedded.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept (value integer); INSERT INTO kept VALUES (7)")
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn read(embedded: &Embedded) -> i32 {
    let mut connection = PgConnection::connect(&embedded.url()).await.unwrap();
    sqlx::query_scalar("SELECT value FROM kept")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

fn data(embedded: &Embedded) -> PathBuf {
    embedded.directory().join("data").canonicalize().unwrap()
}

/// What `kill -9` of this process would leave: the lock is given back, the server goes on.
fn abandon(mut embedded: Embedded) {
    drop(embedded.server.child.take().unwrap());
}

#[tokio::test]
async fn it_stops_cleanly_and_keeps_what_was_written() {
    let state = reachable();
    let embedded = Embedded::start(state.path()).await.unwrap();
    assert_eq!(
        embedded.directory(),
        state.path().canonicalize().unwrap().join("postgres")
    );
    write(&embedded).await;
    let (data, url) = (data(&embedded), embedded.url());
    embedded.stop().await.unwrap();
    assert_eq!(processes_in(&data), []);
    assert!(
        !data.join("postmaster.pid").exists(),
        "the shutdown was clean"
    );
    assert!(PgConnection::connect(&url).await.is_err());

    let embedded = Embedded::start(state.path()).await.unwrap();
    assert_eq!(embedded.url(), url, "the port is kept while it is free");
    assert_eq!(read(&embedded).await, 7);
    drop(embedded);
    assert_eq!(processes_in(&data), [], "dropping stops it too");
}

#[tokio::test]
async fn it_is_private_and_out_of_the_terminals_reach() {
    let state = reachable();
    let embedded = Embedded::start(state.path()).await.unwrap();
    let child = Pid::from_raw(
        embedded
            .server
            .child
            .as_ref()
            .unwrap()
            .id()
            .try_into()
            .unwrap(),
    );
    assert_eq!(getpgid(Some(child)).unwrap(), child);
    assert_ne!(getpgid(Some(child)).unwrap(), getpgrp());

    let password = fs::metadata(embedded.directory().join("password")).unwrap();
    assert_eq!(password.permissions().mode() & 0o777, 0o600);
    let directory = fs::metadata(embedded.directory()).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
    assert_ne!(
        directory.uid(),
        0,
        "PostgreSQL's files never belong to root"
    );

    let port = embedded.server.port;
    let wrong = format!("postgres://tunemantra:wrong@127.0.0.1:{port}/postgres");
    assert!(PgConnection::connect(&wrong).await.is_err());
    let socket = embedded.directory().join("socket");
    assert!(socket.join(format!(".s.PGSQL.{port}")).exists());
    assert!(!format!("{embedded:?}").contains(&embedded.password));

    let mut admin = PgConnection::connect(&embedded.admin_url()).await.unwrap();
    let settings: (String, String, String) = sqlx::query_as(
        "SELECT current_setting('fsync'), current_setting('listen_addresses'),
                current_setting('unix_socket_directories')",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    let socket = format!("\"{}\"", socket.display());
    assert_eq!(settings, ("on".to_owned(), "127.0.0.1".to_owned(), socket));
}

#[tokio::test]
async fn only_one_process_uses_a_state_directory() {
    let state = reachable();
    let embedded = Embedded::start(state.path()).await.unwrap();
    let error = Embedded::start(state.path()).await.unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    let error = Embedded::remove(state.path())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("in use by another process"), "{error}");
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_left_behind_by_a_killed_run_is_taken_over() {
    let state = reachable();
    let embedded = Embedded::start(state.path()).await.unwrap();
    write(&embedded).await;
    let (data, url) = (data(&embedded), embedded.url());
    let left_behind = processes_in(&data);
    abandon(embedded);
    assert!(PgConnection::connect(&url).await.is_ok(), "it still runs");

    let embedded = Embedded::start(state.path()).await.unwrap();
    assert_eq!(embedded.url(), url);
    assert_eq!(read(&embedded).await, 7);
    assert!(
        !processes_in(&data)
            .iter()
            .any(|pid| left_behind.contains(pid))
    );
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_killed_recovers() {
    let state = reachable();
    let embedded = Embedded::start(state.path()).await.unwrap();
    write(&embedded).await;
    let data = data(&embedded);
    for pid in processes_in(&data) {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    abandon(embedded);
    // After a reboot, the number in the file can be that of any process: here, of this one.
    let pid_file = data.join("postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", std::process::id())).unwrap();

    let embedded = Embedded::start(state.path()).await.unwrap();
    assert_eq!(read(&embedded).await, 7);
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_initdb_is_done_again() {
    let state = reachable();
    let place = super::place::Place::prepare(state.path()).unwrap();
    fs::create_dir(place.directory().join("data.new")).unwrap();
    fs::write(place.directory().join("data.new/PG_VERSION"), "15").unwrap();
    fs::write(place.directory().join("password"), "of the interrupted one").unwrap();
    let embedded = Embedded::start(state.path()).await.unwrap();
    embedded.stop().await.unwrap();
}

/// In such a directory PostgreSQL cannot work; the cluster lies elsewhere, is found again, and is
/// gone when the state is.
async fn lives_elsewhere(state: &Path) {
    let embedded = Embedded::start(state).await.unwrap();
    let directory = embedded.directory().to_owned();
    assert!(directory.starts_with("/var/tmp"), "{}", directory.display());
    assert_eq!(
        fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    write(&embedded).await;
    embedded.stop().await.unwrap();

    let embedded = Embedded::start(state).await.unwrap();
    assert_eq!(embedded.directory(), directory);
    assert_eq!(read(&embedded).await, 7);
    abandon(embedded);

    fs::remove_dir_all(state).unwrap();
    let embedded = Embedded::start(state).await.unwrap();
    assert_eq!(embedded.directory(), directory);
    let mut connection = PgConnection::connect(&embedded.url()).await.unwrap();
    let kept: Option<String> = sqlx::query_scalar("SELECT to_regclass('kept')::text")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        kept, None,
        "a deleted state directory takes its cluster along"
    );
    drop(connection);
    abandon(embedded);

    Embedded::remove(state).await.unwrap();
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket() {
    let parent = reachable();
    lives_elsewhere(&parent.path().join("long".repeat(30))).await;
}

#[tokio::test]
async fn a_directory_the_unprivileged_user_cannot_reach() {
    if Uid::effective().is_root() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o700)).unwrap();
        lives_elsewhere(&parent.path().join("state")).await;
    } else {
        // The cluster is of the user's own, so what is closed to others is open to it.
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o700)).unwrap();
        let embedded = Embedded::start(parent.path()).await.unwrap();
        assert!(
            embedded
                .directory()
                .starts_with(parent.path().canonicalize().unwrap())
        );
    }
}

#[tokio::test]
async fn a_foreign_directory_in_its_place_is_refused() {
    let parent = reachable();
    let state = parent.path().join("long".repeat(30));
    let embedded = Embedded::start(&state).await.unwrap();
    let directory = embedded.directory().to_owned();
    embedded.stop().await.unwrap();
    Embedded::remove(&state).await.unwrap();

    let target = reachable();
    std::os::unix::fs::symlink(target.path(), &directory).unwrap();
    let error = Embedded::start(&state).await.unwrap_err().to_string();
    fs::remove_file(&directory).unwrap();
    assert!(error.contains("is not a directory of user"), "{error}");
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
}

#[test]
fn the_version_is_read_from_what_postgres_says() {
    for (text, major) in [
        (
            "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n",
            Some(15),
        ),
        ("postgres (PostgreSQL) 19beta1\n", Some(19)),
        ("postgres (EnterpriseDB)\n", None),
        ("", None),
    ] {
        assert_eq!(binaries::parse_major_version(text), major, "{text}");
    }
}

/// A program that only tells its version.
fn install(directory: &Path, version: &str) {
    fs::create_dir_all(directory).unwrap();
    for program in ["postgres", "initdb"] {
        let path = directory.join(program);
        fs::write(
            &path,
            format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n"),
        )
        .unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn the_newest_installed_version_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let versions = root.path().join("versions");
    let path = root.path().join("path");
    let find_for = |made_by| binaries::find_in(&versions, [path.clone()].into_iter(), made_by);
    let find = || find_for(None);

    let error = find().unwrap_err().to_string();
    assert!(error.contains("apt-get install postgresql"), "{error}");
    install(&path, "14.2");
    let error = find().unwrap_err().to_string();
    assert!(error.contains("is PostgreSQL 14"), "{error}");
    install(&path, "17.1");
    assert_eq!(find().unwrap().postgres(), path.join("postgres"));
    install(&versions.join("9.6/bin"), "9.6.24");
    install(&versions.join("16/bin"), "16.4");
    install(&versions.join("15/bin"), "15.8");
    assert_eq!(find().unwrap().postgres(), versions.join("16/bin/postgres"));
    assert_eq!(
        find_for(Some(15)).unwrap().postgres(),
        versions.join("15/bin/postgres")
    );
    assert_eq!(
        find_for(Some(17)).unwrap().postgres(),
        path.join("postgres")
    );
    let error = find_for(Some(18)).unwrap_err().to_string();
    assert!(error.contains("apt-get install postgresql-18"), "{error}");
}
