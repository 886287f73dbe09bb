//! Who a server is, and what it can: host keys and algorithms.

use platform_adapters::{
    Adapter, Code, Fault,
    sftp::{SftpAdapter, host_keys},
};
use serde_json::{Value, json};

use super::partner::Partner;
use crate::fixtures::Fixture;

/// A server that nobody brought up to date for a long time.
const OLD: [&str; 4] = [
    "KexAlgorithms diffie-hellman-group14-sha1",
    "HostKeyAlgorithms ssh-rsa",
    "Ciphers aes128-cbc",
    "MACs hmac-sha1",
];

async fn check(partner: &Partner, specs: Value) -> Result<Vec<String>, Fault> {
    let fixture = Fixture::new();
    let keys = host_keys(&partner.platform(json!({}), specs.clone())).await?;
    let pinned = json!({"host_key": keys[0].fingerprint});
    let platform = partner.platform(pinned, specs);
    SftpAdapter::new(&platform, fixture.assets.clone())?
        .check()
        .await
}

#[tokio::test]
async fn every_host_key_of_a_server_is_shown_without_credentials() {
    let partner = Partner::start_with_rsa(&[]).await;
    let platform = partner.platform(
        json!({"username": null, "private_key": null, "host_key": null}),
        json!({}),
    );
    let keys = host_keys(&platform).await.unwrap();
    let kinds: Vec<&str> = keys.iter().map(|key| key.kind).collect();
    assert_eq!(kinds, ["Ed25519", "RSA"]);
    assert_eq!(keys[0].fingerprint, partner.sshd.fingerprint());
    for key in &keys {
        let sentences = check_pinned(&partner, &key.fingerprint).await;
        assert!(sentences[1].contains(&key.fingerprint), "{sentences:?}");
    }
}

async fn check_pinned(partner: &Partner, host_key: &str) -> Vec<String> {
    let fixture = Fixture::new();
    let platform = partner.platform(json!({ "host_key": host_key }), json!({}));
    let adapter = SftpAdapter::new(&platform, fixture.assets.clone()).unwrap();
    adapter.check().await.unwrap()
}

#[tokio::test]
async fn an_old_server_is_spoken_to_only_where_the_settings_allow_it() {
    let partner = Partner::start_with_rsa(&OLD).await;
    let fault = check(&partner, json!({})).await.unwrap_err();
    assert_eq!(fault.code, Code::SettingsInvalid, "{fault}");
    for (said, way_out) in [
        (
            "key exchange diffie-hellman-group14-sha1",
            "\"diffie-hellman-group14-sha1\"",
        ),
        ("host key ssh-rsa", "\"ssh-rsa\""),
        ("cipher aes128-cbc", "\"aes128-cbc\""),
        ("message authentication hmac-sha1", "\"hmac-sha1\""),
    ] {
        assert!(fault.message.contains(said), "{fault}");
        assert!(fault.remedy().contains(way_out), "{}", fault.remedy());
    }
    assert!(fault.remedy().contains("format_specs.sftp.old_algorithms"));

    let some = json!({"sftp": {"old_algorithms": ["diffie-hellman-group14-sha1", "ssh-rsa"]}});
    let fault = check(&partner, some).await.unwrap_err();
    assert!(!fault.message.contains("ssh-rsa"), "{fault}");
    assert!(fault.message.contains("aes128-cbc"), "{fault}");

    let all = [
        "diffie-hellman-group14-sha1",
        "ssh-rsa",
        "aes128-cbc",
        "hmac-sha1",
    ];
    let sentences = check(&partner, json!({"sftp": {"old_algorithms": all}}))
        .await
        .unwrap();
    assert_eq!(sentences.len(), 4, "{sentences:?}");
}
