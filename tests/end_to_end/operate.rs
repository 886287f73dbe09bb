//! What an operator does with commands while the daemon runs, and what is kept of it.

use std::fs;

use platform_adapters::{
    ddex::read_message,
    sandbox::{Misbehaviours, SftpKind},
};
use serde_json::json;

use super::{
    processes::{Running, program},
    site::{Site, sftp_credentials},
};

/// How often a command that looks again and again is waited for.
const LOOKS: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_pauses_holds_releases_and_takes_down() {
    let site = Site::new().await;
    let partner = site.http("Fjordwave", Misbehaviours::none()).await;
    let specs = json!({"confirmation": "status", "api": {"takedown": "/releases?upc={upc}"}});
    let platform = site
        .platform("Fjordwave", "api", partner.url(), site.token_file(), specs)
        .await;
    let id = platform.to_string();
    let unexplained = site.cli(&["platforms", "pause", &id]).await;
    unexplained.expect(64, &["--reason"]);
    let paused = ["platforms", "pause", &id, "--reason", "they move house"];
    site.cli(&paused).await.expect(0, &["is paused"]);

    let release = site.scheduled(1..2, &[platform]).await[0];
    let daemon = site.daemon("daemon.log");
    site.until_state(release, platform, "queued").await;
    let queue = format!("deliver/{platform}");
    let queues = site.cli(&["jobs", "queues"]).await;
    queues.expect(0, &[&queue, "they move house"]);
    let queues = site.cli(&["jobs", "queues", "--json"]).await.json();
    assert_eq!(
        (&queues[0]["name"], &queues[0]["due"]),
        (&json!(queue), &json!(1))
    );
    for watched in [
        ["jobs", "queues", "--watch"],
        ["deliveries", "list", "--watch"],
        ["platforms", "list", "--watch"],
        ["schedules", "list", "--watch"],
        ["deliveries", "top", "--every=1"],
    ] {
        sees_again_and_again(&site, &watched).await;
    }
    let hold = [
        "deliveries",
        "hold",
        "--platform",
        &id,
        "--reason",
        "first look at it",
    ];
    site.cli(&hold)
        .await
        .expect(0, &["1 deliveries fit", "--yes"]);
    assert_eq!(
        site.state(release, platform).await.as_deref(),
        Some("queued")
    );
    for (conditions, count) in [
        (&["--state", "queued,held", "--older-than", "0s"][..], 1),
        (&["--state=held"], 0),
        (&["--owner=1", "--isrc", "ZZ0000000000"], 0),
        (&["--title", "no title is like this"], 0),
        (&["--older-than", "1h"], 0),
    ] {
        let list = [&["deliveries", "list", "--json"], conditions].concat();
        let listed = site.cli(&list).await.json();
        assert_eq!(listed.as_array().unwrap().len(), count, "{list:?}");
        let count_only = [
            &["deliveries", "hold", "--reason", "x", "--json"],
            conditions,
        ]
        .concat();
        let counted = site.cli(&count_only).await.json();
        assert_eq!(counted["would_change"], count, "{count_only:?}");
    }
    let top = ["deliveries", "top", "--times=1", "--json"];
    let top = site.cli(&top).await.json();
    assert_eq!(top["shape"][0]["total"], 1, "{top}");
    let both = ["deliveries", "hold", "--reason", "x", "--state", "queued"];
    let both = [&both[..], &["00000000-0000-7000-8000-000000000000"]].concat();
    site.cli(&both).await.expect(64, &["cannot be used with"]);
    let everything = ["deliveries", "hold", "--yes", "--reason", "all of it"];
    site.cli(&everything)
        .await
        .expect(64, &["give a condition"]);
    let hold = [hold.as_slice(), &["--yes"]].concat();
    site.cli(&hold).await.expect(0, &["done: 1"]);
    assert_eq!(site.state(release, platform).await.as_deref(), Some("held"));

    let delivery: String = sqlx::query_scalar("select id::text from worker.deliveries")
        .fetch_one(site.pool())
        .await
        .unwrap();
    let release_it = ["deliveries", "release", &delivery, "--reason", "looked at"];
    site.cli(&release_it).await.expect(0, &["done: 1"]);
    site.cli(&release_it)
        .await
        .expect(1, &["not done", "it is queued"]);
    let resume = ["platforms", "resume", &id, "--reason", "they are back"];
    site.cli(&resume)
        .await
        .expect(0, &["was paused and goes on"]);
    site.until_state(release, platform, "accepted").await;
    let late = ["deliveries", "cancel", &delivery, "--reason", "too late"];
    site.cli(&late).await.expect(1, &["take it down instead"]);

    let number = release.to_string();
    let place = ["--release", &number, "--reason", "rights lost"];
    let takedown = [["deliveries", "takedown"].as_slice(), &place].concat();
    site.cli(&takedown).await.expect(0, &["begun"]);
    let record = "select status::text from distribution_records";
    while sqlx::query_scalar::<_, String>(record)
        .fetch_one(site.pool())
        .await
        .unwrap()
        != "canceled"
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    site.cli(&takedown)
        .await
        .expect(0, &["nothing to do: the release is not there"]);
    site.stop(daemon).await;

    let audit = site.cli(&["audit", "--json"]).await;
    let entries = audit.json();
    let kept: Vec<(&str, &str)> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["action"].as_str().unwrap(),
                entry["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        kept,
        [
            ("release.take_down", "rights lost"),
            ("platform.resume", "they are back"),
            ("delivery.release", "looked at"),
            ("delivery.hold", "first look at it"),
            ("platform.pause", "they move house"),
        ]
    );
    assert!(entries[0]["actor"].as_str().unwrap().starts_with("cli:"));
    site.cli(&["audit"]).await.expect(0, &["rights lost"]);
    let held = site
        .cli(&["audit", "--action", "delivery.hold", "--json"])
        .await
        .json();
    assert_eq!(held.as_array().unwrap().len(), 1, "{held}");
    let delivering = site
        .cli(&["audit", "--action", "delivery", "--json"])
        .await
        .json();
    assert_eq!(delivering.as_array().unwrap().len(), 2, "{delivering}");
    site.cli(&["workers"]).await.expect(0, &["stopped"]);
    let jobs = site
        .cli(&["jobs", "list", "--queue", &queue, "--json"])
        .await
        .json();
    let job = jobs[0]["id"].as_str().unwrap();
    site.cli(&["jobs", "show", job])
        .await
        .expect(0, &["completed", "outcome"]);
    site.cli(&["jobs", "list", "--state", "dead"])
        .await
        .expect(0, &["no jobs"]);
    schedules_by_hand(&site, &number, &id).await;
    site.cli(&["schedules", "list"])
        .await
        .expect(0, &["completed"]);
    site.cli(&["jobs", "dead"])
        .await
        .expect(0, &["no dead jobs"]);
    let retry = ["jobs", "retry", "--kind", "deliver", "--reason", "mended"];
    site.cli(&retry).await.expect(0, &["0 dead jobs fit"]);
}

async fn schedules_by_hand(site: &Site, release: &str, platform: &str) {
    let due = ["--due", "2999-01-31T06:00:00Z", "--reason", "pre-order"];
    let place = ["schedules", "create", "--release", release, "--platform"];
    let nowhere = [&place[..], &["4711"], &due].concat();
    site.cli(&nowhere)
        .await
        .expect(66, &["there are no platforms [4711]"]);
    let made = [&place[..], &[platform], &due, &["--json"]].concat();
    let made = site.cli(&made).await.json();
    assert_eq!(
        (&made["status"], &made["scheduled_date"]),
        (&json!("pending"), &json!("2999-01-31T06:00:00"))
    );
    let made = made["id"].to_string();
    let cancel = ["schedules", "cancel", &made, "--reason", "a mistake"];
    site.cli(&cancel).await.expect(0, &["is called off"]);
    let audited = ["audit", "--kind", "schedule", "--id", &made];
    site.cli(&audited)
        .await
        .expect(0, &["schedule.create", "pre-order", "a mistake"]);
}

/// A command that looks until it is interrupted, and prints each look where there is no terminal.
async fn sees_again_and_again(site: &Site, command: &[&str]) {
    let printed = site.path("watched.txt");
    let mut looking = program();
    looking
        .args(command)
        .arg("--config")
        .arg(site.config_file());
    let looking = Running::start_apart(&mut looking, site.path("watch.log"), &printed);
    loop {
        let seen = std::fs::read_to_string(&printed).unwrap();
        assert!(!seen.contains('\u{1b}'), "signs of a terminal: {seen:?}");
        if seen
            .matches("Fjordwave")
            .count()
            .max(seen.matches("deliver/").count())
            >= LOOKS
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    looking.signal(nix::sys::signal::Signal::SIGINT);
}

/// A partner that has agreed to purges is told to forget a release, and no other partner is.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_purged_where_the_partner_agreed() {
    let site = Site::new().await;
    let partner = site.sftp("purges", SftpKind::Ddex).await;
    let mut specs = json!({"confirmation": "folder", "ddex": {
        "sender_dpid": "PADPIDA2026112301T",
        "recipient_dpid": "PADPIDA2026112302L",
    }});
    let credentials = sftp_credentials(&partner, partner.host_key());
    let endpoint = partner.endpoint();
    let platform = site
        .platform("Purges", "ddex", &endpoint, credentials, specs.clone())
        .await;
    let releases = site.scheduled(1..2, &[platform]).await;
    let daemon = site.daemon("daemon.log");
    site.until_accepted(1).await;

    let (release, id) = (releases[0].to_string(), platform.to_string());
    let asked = [
        "deliveries",
        "purge",
        "--release",
        &release,
        "--platform",
        &id,
    ];
    let asked = [asked.as_slice(), &["--reason", "wrong master"]].concat();
    site.cli(&asked).await.expect(64, &["say --yes"]);
    let asked = [asked.as_slice(), &["--yes"]].concat();
    site.cli(&asked)
        .await
        .expect(1, &["not purged", "takes no purges"]);
    specs["ddex"]["purge"] = true.into();
    specs["allow_private_addresses"] = true.into();
    sqlx::query("update distribution_platforms set format_specs = $1")
        .bind(specs)
        .execute(site.pool())
        .await
        .unwrap();
    site.cli(&asked).await.expect(0, &["begun"]);
    site.until_accepted(2).await;
    site.cli(&asked).await.expect(0, &["nothing to do"]);
    site.stop(daemon).await;
    let audit = site.cli(&["audit", "--action", "release.purge"]).await;
    audit.expect(0, &["wrong master"]);

    let mut handovers = partner.ledger().handovers().unwrap();
    handovers.sort_by_key(|handover| handover.folder.clone());
    let purges: Vec<bool> = handovers
        .iter()
        .map(|handover| {
            assert!(handover.violations.is_empty(), "{handover:#?}");
            let folder = site.path("purges").join(&handover.folder);
            let xml = fs::read(folder.join(&handover.documents[0])).unwrap();
            read_message(&xml).unwrap().is_purge
        })
        .collect();
    assert_eq!(purges, [false, true]);
    partner.stop();
}
