//! What an operator meets: partners and rows with something wrong. Each ends in a clear state, with
//! a sentence that names release, platform and remedy wherever one looks; the others go on.

use std::fs;

use platform_adapters::sandbox::{Misbehaviour, Misbehaviours, SftpKind};
use serde_json::json;

use super::site::{Site, assert_received_once, sftp_credentials};

/// Fails unless record, log, list and story of the delivery all say these words.
async fn assert_told(site: &Site, log: &str, release: i32, platform: i32, words: &[&str]) {
    let details = site.error_details(release, platform).await;
    let (release, platform) = (release.to_string(), platform.to_string());
    let list = [
        "deliveries",
        "list",
        "--json",
        "--release",
        &release,
        "--platform",
        &platform,
    ];
    let listed = site.cli(&list).await;
    listed.expect(0, &[]);
    let listed = &listed.json()[0];
    let id = listed["id"].as_str().unwrap();
    let shown = site.cli(&["deliveries", "show", id]).await;
    shown.expect(0, &[]);
    let story = site.cli(&["deliveries", "show", id, "--json"]).await;
    story.expect(0, &[]);
    let table = site.cli(&["deliveries", "list"]).await;
    table.expect(0, &[id]);
    let line = log
        .lines()
        .find(|line| line.contains(id) && line.contains("WARN"));
    let line = line.unwrap_or_else(|| panic!("no warning of {id} in {log}"));
    for word in words {
        for (place, text) in [
            ("error_details", &details),
            ("deliveries list", &format!("{listed}")),
            ("deliveries show", &shown.stdout),
            ("deliveries show --json", &story.json().to_string()),
            ("the log", &line.to_owned()),
        ] {
            // A word with quotation marks is written differently in JSON.
            let plain = text.replace('\\', "");
            assert!(
                plain.contains(word),
                "{word:?} is missing in {place}: {text}"
            );
        }
    }
}

/// The platform is held for `code`; when `mend` was done it is resumed and delivers everything.
async fn held_until_mended<F: Future<Output = ()>>(
    site: &Site,
    platform: i32,
    other: i32,
    code: &str,
    words: &[&str],
    mend: impl FnOnce() -> F,
) {
    let releases = site.scheduled(1..4, &[platform, other]).await;
    let daemon = site.daemon("daemon.log");
    let held = releases[0];
    for release in &releases {
        site.until_state(*release, other, "accepted").await;
    }
    site.until_state(held, platform, "held").await;
    let log = daemon.log();
    assert_told(site, &log, held, platform, words).await;

    let id = platform.to_string();
    let listed = site.cli(&["platforms", "list"]).await;
    listed.expect(0, &["paused since", code]);
    let check = ["platforms", "check", &id];
    site.cli(&check).await.expect(1, &["FAIL", code]);
    mend().await;
    site.cli(&check).await.expect(0, &["ok "]);
    let resumed = site
        .cli(&["platforms", "resume", &id, "--reason", "mended"])
        .await;
    resumed.expect(0, &["was paused and goes on"]);
    for release in &releases {
        site.until_state(*release, platform, "accepted").await;
    }
    site.stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_holds_the_platform_until_it_is_mended() {
    let site = Site::new().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let good = site.api_platform("Tidepool", partner.url()).await;
    let strict = site.http("Sandstorm", Misbehaviours::none()).await;
    // In plain, as an old database has it.
    let wrong = json!({"bearer_token": "tok-wrong-51c2"});
    site.keep_secret("tok-wrong-51c2");
    let platform = site
        .platform("Sandstorm", "api", strict.url(), wrong, json!({}))
        .await;
    let words = [
        "Single 1",
        "Sandstorm",
        "Put the right credentials into api_credentials",
    ];
    held_until_mended(&site, platform, good, "credentials_refused", &words, || {
        site.mend_credentials(platform, site.token_file())
    })
    .await;
    assert_received_once(partner.ledger(), 3);
    assert_received_once(strict.ledger(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_host_key_holds_the_platform_until_it_is_mended() {
    let site = Site::new().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let good = site.api_platform("Fjordwave", partner.url()).await;
    let moved = site.sftp("Tidepool", SftpKind::Sftp).await;
    let platform = site.sftp_platform("Tidepool", "sftp", &moved).await;
    let pinned = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    site.mend_credentials(platform, sftp_credentials(&moved, pinned))
        .await;
    let words = [
        "Single 1",
        "Tidepool",
        pinned,
        moved.host_key(),
        "Ask the partner whether it changed its host key",
    ];
    let (id, shown) = (platform.to_string(), moved.host_key());
    held_until_mended(
        &site,
        platform,
        good,
        "host_key_changed",
        &words,
        || async {
            let ask = ["platforms", "host-key", &id];
            let told = site.cli(&ask).await;
            told.expect(1, &["Ed25519", shown, "pinned, and not shown", pinned]);
            let of_nobody = [&ask[..], &["--pin", pinned, "--reason", "it was so"]].concat();
            let refused = site.cli(&of_nobody).await;
            refused.expect(64, &["the server does not show"]);
            let pin = [&ask[..], &["--pin", shown, "--reason", "Kari confirmed it"]].concat();
            site.cli(&pin)
                .await
                .expect(0, &["until now", pinned, shown]);
            site.cli(&ask).await.expect(0, &[shown, "yes"]);
            let audit = site.cli(&["audit", "--json"]).await;
            audit.expect(
                0,
                &["platform.host-key", "Kari confirmed it", pinned, shown],
            );
        },
    )
    .await;
    assert_received_once(moved.ledger(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_is_down_is_tried_until_it_is_back() {
    let site = Site::new().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let good = site.api_platform("Fjordwave", partner.url()).await;
    let down = site.http("Sandstorm", Misbehaviours::none()).await;
    let platform = site.api_platform("Sandstorm", down.url()).await;
    let port = down.url().rsplit(':').next().unwrap().parse().unwrap();
    down.stop().await;
    let id = platform.to_string();
    let check = ["platforms", "check", &id];
    site.cli(&check)
        .await
        .expect(1, &["FAIL", "connection_failed"]);

    let releases = site.scheduled(1..4, &[platform, good]).await;
    let daemon = site.daemon("daemon.log");
    for release in &releases {
        site.until_state(*release, good, "accepted").await;
        site.until_state(*release, platform, "retrying").await;
    }
    let words = ["Single 1", "Sandstorm", "The worker tries again by itself"];
    assert_told(&site, &daemon.log(), releases[0], platform, &words).await;

    let back = site
        .http_at("Sandstorm", Misbehaviours::none(), Some(port))
        .await;
    for release in &releases {
        site.until_state(*release, platform, "accepted").await;
    }
    site.stop(daemon).await;
    assert_received_once(back.ledger(), 3);
    let left: i64 = sqlx::query_scalar(
        "select count(*) from distribution_records where error_details is not null",
    )
    .fetch_one(site.pool())
    .await
    .unwrap();
    assert_eq!(left, 0, "what passed is no fault any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_stumbles_gets_everything_once() {
    let site = Site::new().await;
    let stumbles = [
        Misbehaviour::CutAfter { bytes: 20_000 },
        Misbehaviour::CutBeforeAnswer,
        Misbehaviour::Garbage,
        Misbehaviour::Unavailable {
            retry_after: Some("1".into()),
        },
        Misbehaviour::TooManyRequests {
            retry_after: Some("soon".into()),
        },
    ];
    let course = stumbles
        .into_iter()
        .fold(Misbehaviours::none(), |course, one| course.then(1, one));
    let partner = site.http("Fjordwave", course.for_each_handover()).await;
    let platform = site.api_platform("Fjordwave", partner.url()).await;
    site.scheduled(1..4, &[platform]).await;
    let daemon = site.daemon("daemon.log");
    site.until_accepted(3).await;
    site.stop(daemon).await;
    assert_received_once(partner.ledger(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partners_no_is_told_with_its_reason() {
    let site = Site::new().await;
    let reason = "the cover shows a price";
    let no = Misbehaviours::none()
        .then(
            1,
            Misbehaviour::Refuse {
                reason: reason.into(),
            },
        )
        .then(
            1,
            Misbehaviour::RejectLater {
                reason: reason.into(),
            },
        );
    let partner = site.http("Fjordwave", no).await;
    let platform = site.api_platform("Fjordwave", partner.url()).await;
    let daemon = site.daemon("daemon.log");
    for number in 1..3 {
        let release = site.scheduled(number..number + 1, &[platform]).await[0];
        site.until_state(release, platform, "rejected").await;
        let title = format!("Single {number}");
        let words = [
            &title,
            "Fjordwave",
            reason,
            "Read the partner's reason, mend the release",
        ];
        assert_told(&site, &daemon.log(), release, platform, &words).await;
    }
    let accepted = site.scheduled(3..4, &[platform]).await[0];
    site.until_state(accepted, platform, "accepted").await;
    site.stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_with_settings_that_cannot_be_read_are_held_by_themselves() {
    let site = Site::new().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let good = site.api_platform("Fjordwave", partner.url()).await;
    site.keep_secret("tok-plain-77aa");
    let secret = json!({"bearer_token": "tok-plain-77aa"});
    let odd_secret = json!({"bearer_token": {"vault": "tok-plain-77aa"}});
    let url = partner.url();
    let specs = json!({});
    let broken = [
        (
            site.platform("Brittle", "api", url, secret.clone(), json!("{\"audio\":"))
                .await,
            "Brittle",
            "format_specs",
        ),
        (
            site.platform("Wireless", "telex", url, secret.clone(), specs.clone())
                .await,
            "Wireless",
            "\"telex\" is not one of api, sftp, ddex",
        ),
        (
            site.platform("Vault", "api", url, odd_secret, specs.clone())
                .await,
            "Vault",
            "bearer_token cannot be read",
        ),
        (
            site.platform("Nowhere", "sftp", url, secret, specs).await,
            "Nowhere",
            "must begin with sftp://",
        ),
    ];
    let mut platforms = vec![good];
    platforms.extend(broken.iter().map(|(id, ..)| *id));
    let release = site.scheduled(1..2, &platforms).await[0];
    let daemon = site.daemon("daemon.log");
    site.until_state(release, good, "accepted").await;
    for (platform, name, words) in broken {
        site.until_state(release, platform, "held").await;
        let words = ["Single 1", name, words, "Mend the platform's settings"];
        assert_told(&site, &daemon.log(), release, platform, &words).await;
        let id = platform.to_string();
        let checked = site.cli(&["platforms", "check", &id]).await;
        checked.expect(1, &["settings_invalid", name, words[2]]);
        let checked = site.cli(&["platforms", "check", &id, "--json"]).await;
        assert_eq!(checked.json()["fault"]["code"], "settings_invalid");
    }
    site.stop(daemon).await;
    assert_received_once(partner.ledger(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_with_something_wrong_fail_by_themselves() {
    let site = Site::new().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let api = site.api_platform("Fjordwave", partner.url()).await;
    let tidepool = site.sftp("Tidepool", SftpKind::Sftp).await;
    let sftp = site.sftp_platform("Tidepool", "sftp", &tidepool).await;
    let mut releases = Vec::new();
    for number in 1..7 {
        releases.push(site.release(number).await);
    }
    let track = |number: u32| site.assets().join(number.to_string()).join("1.wav");
    let audio = fs::read(track(1)).unwrap();
    fs::write(track(1), &audio[..audio.len() / 2]).unwrap();
    fs::write(track(2), b"").unwrap();
    fs::write(site.path("outside.wav"), &audio).unwrap();
    for (release, sql) in [
        (
            releases[2],
            "update tracks set audio_file = '../outside.wav' where release_id = $1",
        ),
        (
            releases[3],
            "update releases set upc = '842000000041' where id = $1",
        ),
        (releases[4], "delete from tracks where release_id = $1"),
    ] {
        sqlx::query(sql)
            .bind(release)
            .execute(site.pool())
            .await
            .unwrap();
    }
    for release in &releases {
        site.schedule(*release, &[api, sftp]).await;
    }
    let daemon = site.daemon("daemon.log");
    for platform in [api, sftp] {
        site.until_state(releases[5], platform, "accepted").await;
    }
    for (release, title, words) in [
        (releases[0], "Single 1", ["1/1.wav", "truncated"]),
        (releases[1], "Single 2", ["2/1.wav", "empty"]),
        (releases[2], "Single 3", ["../outside.wav", "asset"]),
        (releases[3], "Single 4", ["842000000041", "check digit"]),
        (releases[4], "Single 5", ["track", "Add"]),
    ] {
        for (platform, name) in [(api, "Fjordwave"), (sftp, "Tidepool")] {
            site.until_state(release, platform, "failed").await;
            let words = [title, name, words[0], words[1]];
            assert_told(&site, &daemon.log(), release, platform, &words).await;
        }
    }
    site.stop(daemon).await;
    assert_received_once(partner.ledger(), 1);
    assert_received_once(tidepool.ledger(), 1);
}
