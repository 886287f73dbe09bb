//! A large partner's acceptance script for DDEX, in every version of ERN: insert an album for one
//! territory; update it with another territory and another release type; a timed release for one
//! track, everywhere; remove one track's deal; take the release down.

use std::{collections::BTreeSet, fs};

use platform_adapters::{
    ddex::{ReceivedDeal, ReceivedMessage, Version, read_message},
    sandbox::{Misbehaviours, SftpKind, SftpPartner, SftpPartnerOptions, Verdict},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, raw_sql};
use test_support::catalogue;

use super::site::{Site, sftp_credentials};

/// A partner that wants a version, and the platform that leads to it.
struct Partner {
    version: Version,
    name: String,
    platform: i32,
    sandbox: SftpPartner,
}

async fn partner(site: &Site, version: Version) -> Partner {
    let name = format!("ern-{}", version.as_str().replace('.', ""));
    let sandbox = SftpPartner::start(SftpPartnerOptions {
        name: name.clone(),
        root: site.path(&name),
        port: None,
        kind: SftpKind::Ddex,
        ddex_dir: test_support::ddex_schemas(),
        misbehaviours: Misbehaviours::none(),
    })
    .await
    .unwrap();
    let specs = json!({"confirmation": "folder", "ddex": {
        "version": version.as_str(),
        "sender_dpid": "PADPIDA2026112301T",
        "recipient_dpid": "PADPIDA2026112302L",
    }});
    let credentials = sftp_credentials(&sandbox, sandbox.host_key());
    let endpoint = sandbox.endpoint();
    let platform = site
        .platform(&name, "ddex", &endpoint, credentials, specs)
        .await;
    Partner {
        version,
        name,
        platform,
        sandbox,
    }
}

impl Partner {
    /// The messages that came, in the order in which they came; each was in order.
    fn messages(&self, site: &Site) -> Vec<ReceivedMessage> {
        let mut handovers = self.sandbox.ledger().handovers().unwrap();
        handovers.sort_by_key(|handover| handover.folder.clone());
        let read = handovers.iter().map(|handover| {
            assert_eq!(handover.verdict, Verdict::Accepted, "{}", self.name);
            assert_eq!(handover.completed, 1, "{}", self.name);
            let [document] = handover.documents.as_slice() else {
                panic!("{:?}", handover.documents)
            };
            let path = site.path(&self.name).join(&handover.folder).join(document);
            let message = read_message(&fs::read(path).unwrap()).unwrap();
            assert_eq!(message.version, self.version);
            message
        });
        read.collect()
    }
}

/// An album of three tracks, for Germany.
async fn album(site: &Site) -> i32 {
    let release = site.release(1).await;
    sql(site, "update releases set type = 'album', title = 'Fjord'").await;
    sql(
        site,
        "insert into tracks (release_id, user_id, title, artist, duration, audio_file, isrc, track_number)
         select release_id, user_id, 'Track ' || number, artist, 1, number || '/1.wav',
             'DEA01260010' || number, number
         from tracks, generate_series(2, 3) as number",
    )
    .await;
    for number in [2, 3] {
        let directory = site.assets().join(number.to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("1.wav"), catalogue::wav(number)).unwrap();
    }
    sql(
        site,
        "insert into rights_management (release_id, user_id, ownership_type, territories)
         select id, user_id, (enum_range(null::ownership_type))[1], '{DE}' from releases",
    )
    .await;
    release
}

async fn sql(site: &Site, text: &str) {
    raw_sql(AssertSqlSafe(text.to_owned()))
        .execute(site.pool())
        .await
        .unwrap();
}

/// The deals of a release of the message that have no end.
fn running<'a>(message: &'a ReceivedMessage, reference: &str) -> Vec<&'a ReceivedDeal> {
    let deals = message.deals.iter().filter(|deal| deal.end.is_none());
    deals
        .filter(|deal| deal.releases.iter().any(|release| release == reference))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_partners_acceptance_script_passes_in_every_version() {
    let site = Site::new().await;
    let mut partners = Vec::new();
    for version in Version::ALL {
        partners.push(partner(&site, version).await);
    }
    let platforms: Vec<i32> = partners.iter().map(|partner| partner.platform).collect();
    let release = album(&site).await;
    let daemon = site.daemon("daemon.log");
    let steps = [
        "",
        "update rights_management set territories = '{DE,FR}'; update releases set type = 'ep'",
        "update rights_management set territories = '{Worldwide}';
         update tracks set metadata = '{\"availability\": {\"from\": \"2099-01-15T05:00:00Z\"}}'
         where track_number = 2",
        "update tracks set metadata = '{\"availability\": {\"withdrawn\": true}}'
         where track_number = 3",
    ];
    for (step, change) in (1..).zip(steps) {
        sql(&site, change).await;
        site.schedule(release, &platforms).await;
        site.until_accepted(3 * step).await;
    }
    let number = release.to_string();
    let takedown = ["deliveries", "takedown", "--release", &number];
    let takedown = [takedown.as_slice(), &["--reason", "the script ends"]].concat();
    site.cli(&takedown).await.expect(0, &["begun"]);
    site.until_accepted(15).await;
    site.stop(daemon).await;
    for partner in partners {
        let version = partner.version;
        check(version, &partner.messages(&site));
        partner.sandbox.stop();
    }
}

fn check(version: Version, messages: &[ReceivedMessage]) {
    let [insert, update, timed, withdrawn, takedown] = messages else {
        panic!("{} messages in {version}", messages.len())
    };
    let ids: BTreeSet<&str> = messages.iter().map(|one| one.message_id.as_str()).collect();
    let threads: BTreeSet<&str> = messages.iter().map(|one| one.thread_id.as_str()).collect();
    assert_eq!((ids.len(), threads.len()), (5, 1), "{version}");

    let everything = ["R0", "R1", "R2", "R3"];
    for reference in everything {
        let territories = |message| {
            let deals = running(message, reference);
            assert_eq!(deals.len(), 2, "{reference} in {version}");
            deals[0].territories.clone()
        };
        assert_eq!(territories(insert), ["DE"], "{version}");
        assert_eq!(territories(update), ["DE", "FR"], "{version}");
        assert_eq!(territories(timed), ["Worldwide"], "{version}");
    }
    assert_eq!(insert.release.release_type, "Album");
    let now = if version == Version::Ern382 {
        "Album"
    } else {
        "EP"
    };
    assert_eq!(update.release.release_type, now);

    let start = |message, reference| running(message, reference)[0].start.clone();
    assert_eq!(
        start(timed, "R2").as_deref(),
        Some("2099-01-15T05:00:00Z"),
        "{version}"
    );
    assert_ne!(start(timed, "R1"), start(timed, "R2"), "{version}");

    assert!(running(withdrawn, "R3").is_empty(), "{version}");
    let ended = withdrawn.deals.iter().filter(|deal| deal.end.is_some());
    let ended: Vec<_> = ended.map(|deal| deal.releases.join(" ")).collect();
    assert_eq!(ended, ["R3", "R3"], "{version}");
    assert_eq!(running(withdrawn, "R0").len(), 2, "{version}");
    assert_eq!(withdrawn.recordings.len(), 3, "{version}");

    assert!(
        !takedown.has_deals && takedown.deals.is_empty(),
        "{version}"
    );
    assert!(takedown.resources.is_empty(), "{version}");
    assert_eq!(insert.resources.len(), 4, "{version}");
}
