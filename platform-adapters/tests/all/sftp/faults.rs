//! What can be wrong with a partner or its settings, and what the worker says of it.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use platform_adapters::{Adapter, Code, Fault, FaultClass, sftp::SftpAdapter};
use serde_json::{Value, json};

use super::partner::{Partner, handover, keygen};
use crate::fixtures::Fixture;
use platform_adapters::release::ReleaseType;

async fn check(partner: &Partner, credentials: Value) -> Result<Vec<String>, Fault> {
    let fixture = Fixture::new();
    let platform = partner.platform(credentials, json!({}));
    SftpAdapter::new(&platform, fixture.assets.clone())?
        .check()
        .await
}

#[tokio::test]
async fn a_check_says_what_is_in_order_and_leaves_nothing() {
    let partner = Partner::start().await;
    let sentences = check(&partner, json!({})).await.unwrap();
    let address = format!("127.0.0.1:{}", partner.sshd.port());
    assert_eq!(
        sentences,
        [
            format!("Connected to SFTP server {address} of platform 7 (\"Nordlys\")."),
            format!(
                "The host key {} is the pinned one.",
                partner.sshd.fingerprint()
            ),
            format!("Logged in as {} by public key.", partner.sshd.username()),
            format!(
                "Wrote, read back and removed a file in {}.",
                partner.incoming().display()
            ),
        ]
    );
    assert!(partner.files().is_empty());
}

#[tokio::test]
async fn credentials_that_are_refused_hold_the_platform_and_stay_secret() {
    let partner = Partner::start().await;
    let other = partner.state().join("other_key");
    keygen(&["-t", "ed25519", "-N", ""], &other);
    let secret = fs::read_to_string(&other).unwrap();
    for credentials in [
        json!({"private_key": {"file": other}}),
        json!({"private_key": secret}),
        json!({"private_key": null, "password": "hunter2"}),
        json!({"username": "somebody"}),
    ] {
        let fault = check(&partner, credentials).await.unwrap_err();
        assert_eq!(fault.code, Code::CredentialsRefused, "{fault}");
        assert_eq!(fault.class(), FaultClass::Configuration);
        assert!(fault.message.contains("platform 7"), "{fault}");
        let shown = format!("{fault:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("OPENSSH PRIVATE"));
    }
}

#[tokio::test]
async fn a_key_with_a_passphrase_works_with_it_and_only_with_it() {
    let partner = Partner::start().await;
    let key = partner.state().join("locked_key");
    fs::copy(partner.sshd.private_key(), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    keygen(&["-p", "-P", "", "-N", "open sesame"], &key);
    let with = |passphrase: Value| json!({"private_key": {"file": key}, "passphrase": passphrase});
    check(&partner, with(json!("open sesame"))).await.unwrap();
    for wrong in [json!("abracadabra"), Value::Null] {
        let fault = check(&partner, with(wrong)).await.unwrap_err();
        assert_eq!(fault.class(), FaultClass::Configuration, "{fault}");
    }
    let garbage = json!({"private_key": "not a key"});
    let fault = check(&partner, garbage).await.unwrap_err();
    assert_eq!(fault.code, Code::SettingsInvalid, "{fault}");
}

#[tokio::test]
async fn settings_that_lack_something_say_what() {
    let partner = Partner::start().await;
    for (credentials, expected) in [
        (json!({"username": null}), "username is missing"),
        (
            json!({"private_key": null}),
            "neither private_key nor password",
        ),
        (json!({"host_key": "ab:cd"}), "host_key is not written as"),
        (
            json!({"private_key": {"file": "/nonexistent/key"}}),
            "/nonexistent/key",
        ),
    ] {
        let fault = check(&partner, credentials).await.unwrap_err();
        assert_eq!(fault.code, Code::SettingsInvalid, "{fault}");
        assert!(fault.message.contains(expected), "{fault}");
    }
    let platform = partner.platform(json!({}), json!({"confirmation": "status"}));
    let assets = Fixture::new().assets;
    let fault = SftpAdapter::new(&platform, assets).err().unwrap();
    assert_eq!(fault.code, Code::SettingsInvalid);
}

#[tokio::test]
async fn without_a_pinned_host_key_nothing_is_sent_and_the_key_is_shown() {
    let partner = Partner::start().await;
    let fault = check(&partner, json!({"host_key": null}))
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::SettingsInvalid);
    assert!(
        fault.message.contains(partner.sshd.fingerprint()),
        "{fault}"
    );
    assert!(fault.remedy().contains("Ask the partner"));
}

#[tokio::test]
async fn a_host_key_of_any_kind_can_be_pinned() {
    let partner = Partner::start().await;
    let shown = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(partner.state().join("host_key_ecdsa.pub"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let fingerprint = shown.split(' ').nth(1).unwrap();
    assert_ne!(fingerprint, partner.sshd.fingerprint());
    let sentences = check(&partner, json!({"host_key": fingerprint}))
        .await
        .unwrap();
    assert!(sentences[1].contains(fingerprint));
}

#[tokio::test]
async fn a_changed_host_key_holds_the_platform() {
    let mut partner = Partner::start().await;
    let pinned = partner.sshd.fingerprint().to_owned();
    fs::remove_file(partner.state().join("host_key")).unwrap();
    fs::remove_file(partner.state().join("host_key.pub")).unwrap();
    partner.restart().await;
    assert_ne!(partner.sshd.fingerprint(), pinned);
    let fault = check(&partner, json!({"host_key": pinned}))
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::HostKeyChanged);
    assert!(fault.message.contains(&pinned), "{fault}");
    assert!(
        fault.message.contains(partner.sshd.fingerprint()),
        "{fault}"
    );
}

#[tokio::test]
async fn a_directory_that_is_closed_or_missing_is_named() {
    let (partner, fixture) = (Partner::start().await, Fixture::new());
    let package = fixture
        .package(&fixture.release(ReleaseType::Single, 1))
        .await;
    let closed = partner.sshd.make_directory("closed").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    for (directory, code) in [
        ("closed", Code::AccessDenied),
        ("missing", Code::SettingsInvalid),
    ] {
        let endpoint = partner.sshd.endpoint(directory);
        let platform = partner.platform_at(&endpoint, json!({}), json!({}));
        let adapter = SftpAdapter::new(&platform, fixture.assets.clone()).unwrap();
        for fault in [
            adapter.deliver(&handover(1), &package).await.unwrap_err(),
            adapter.check().await.unwrap_err(),
        ] {
            assert_eq!(fault.code, code, "{fault}");
            assert!(fault.message.contains(directory), "{fault}");
        }
    }
}

#[tokio::test]
async fn a_partner_that_is_down_is_tried_again() {
    let mut partner = Partner::start().await;
    partner.sshd.kill();
    let fault = check(&partner, json!({})).await.unwrap_err();
    assert_eq!(fault.code, Code::ConnectionFailed);
    assert_eq!(fault.class(), FaultClass::Transient);
    assert!(fault.message.contains("Connection refused"), "{fault}");
}
