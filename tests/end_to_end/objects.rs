//! A partner whose door is a bucket: the daemon puts releases there, alone and in batches, and reads
//! what the partner answers there.

use platform_adapters::ddex::{
    Acknowledgement, FileStatus, ReceivedMessage, read_manifest, read_message,
};
use serde_json::{Value, json};
use test_support::bucket::{self, Bucket};

use super::{processes::until, site::Site};

const US: &str = "PADPIDA2026112301T";
const THEM: &str = "PADPIDA2026112302L";
const WORDS: &str = "The harbour sleeps\r\nuntil the tide\n\n«Ebbe und Flut»";

/// A platform that leads to the bucket, with these additions to `format_specs.ddex`.
async fn platform(site: &Site, bucket: &Bucket, ddex: Value) -> i32 {
    site.keep_secret(bucket::SECRET);
    let mut specs = json!({
        "confirmation": "folder",
        "store": {"endpoint": bucket.url, "region": bucket::REGION},
        "ddex": {"sender_dpid": US, "recipient_dpid": THEM},
    });
    let members = specs["ddex"].as_object_mut().unwrap();
    members.extend(ddex.as_object().unwrap().clone());
    let credentials = json!({"username": bucket::KEY, "password": bucket::SECRET});
    let endpoint = "s3://bucket/incoming";
    site.platform("Bucket", "ddex", endpoint, credentials, specs)
        .await
}

/// The partner puts a word on a message or batch into its folder.
fn say(bucket: &Bucket, of: &str, status: FileStatus) {
    let said = Acknowledgement {
        sender: THEM.into(),
        recipient: US.into(),
        created_at: jobs::clock::system()(),
        release_id: None,
        date: None,
        message_id: None,
        status: Some(status),
        supply_chain: None,
        error_text: None,
        proposed_action: None,
        manual_check_required: false,
        affected_isrcs: Vec::new(),
    };
    let name = format!("incoming/acknowledgements/{}", said.file_name(of));
    let xml = said.to_xml().unwrap();
    bucket.held().objects.insert(name, xml);
}

async fn until_all(site: &Site, state: &str, count: i64) {
    until(&format!("{count} are {state}"), || async {
        let found: i64 =
            sqlx::query_scalar("select count(*) from worker.deliveries where state = $1")
                .bind(state)
                .fetch_one(site.pool())
                .await
                .unwrap();
        (found == count).then_some(())
    })
    .await;
}

/// The messages that lie in the bucket, each with its folder. Their files are what they say, and came
/// before them.
fn messages(bucket: &Bucket) -> Vec<(String, ReceivedMessage)> {
    let held = bucket.held();
    let puts = held.puts();
    let place = |name: &str| puts.iter().position(|put| *put == name).unwrap();
    let xmls = held.objects.iter().filter(|(name, _)| {
        name.ends_with(".xml") && !name.contains("ACK_") && !name.contains("BatchComplete")
    });
    let read = xmls.map(|(name, xml)| {
        let (folder, _) = name.rsplit_once('/').unwrap();
        let message = read_message(xml).unwrap();
        assert!(!message.resources.is_empty(), "{name}");
        for resource in &message.resources {
            let file = format!("{folder}/{}", resource.uri);
            let bytes = &held.objects[&file];
            assert_eq!(resource.hash, bucket::md5(bytes), "{file}");
            assert!(place(&file) < place(name), "{file} came after its message");
        }
        (folder.to_owned(), message)
    });
    read.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_go_to_a_bucket_one_by_one_and_its_words_come_back() {
    let site = Site::new().await;
    site.configure("inbox", "scan_s", 1);
    let bucket = Bucket::start().await;
    let platform = platform(&site, &bucket, json!({"lyrics": true})).await;
    let daemon = site.daemon("daemon.log");
    let sung = site.release(1).await;
    sqlx::query("update tracks set lyrics = $1")
        .bind(WORDS)
        .execute(site.pool())
        .await
        .unwrap();
    let other = site.release(2).await;
    for release in [sung, other] {
        site.schedule(release, &[platform]).await;
    }
    until_all(&site, "sent", 2).await;

    let arrived = messages(&bucket);
    assert_eq!(arrived.len(), 2);
    let with_lyrics: Vec<_> = arrived
        .iter()
        .filter(|(_, message)| message.recordings[0].lyrics.is_some())
        .collect();
    let [(folder, message)] = with_lyrics.as_slice() else {
        panic!("{} messages with lyrics", with_lyrics.len())
    };
    assert_eq!(message.resources.len(), 3);
    let lyrics = &message.resources[2].uri;
    assert!(lyrics.ends_with("_01_001.txt"), "{lyrics}");
    let text = bucket.held().objects[&format!("{folder}/{lyrics}")].clone();
    let expected = "The harbour sleeps\nuntil the tide\n\n«Ebbe und Flut»\n";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
    let ids: Vec<String> = arrived
        .iter()
        .map(|(_, message)| message.message_id.clone())
        .collect();
    for id in &ids {
        say(&bucket, id, FileStatus::FileOk);
    }
    site.until_accepted(2).await;

    // A partner that changes its mind.
    say(&bucket, &ids[0], FileStatus::ResourceCorrupt);
    until_all(&site, "rejected", 1).await;
    assert_eq!(site.accepted().await, 1);
    site.stop(daemon).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_to_a_bucket_and_is_complete_last_of_all() {
    let site = Site::new().await;
    let bucket = Bucket::start().await;
    let specs = json!({"choreography": "batch", "batch": {"releases": 3, "age_s": 600}});
    let platform = platform(&site, &bucket, specs).await;
    let daemons = [site.daemon("one.log"), site.daemon("two.log")];
    site.scheduled(1..4, &[platform]).await;
    until_all(&site, "sent", 3).await;

    let arrived = messages(&bucket);
    assert_eq!(arrived.len(), 3);
    let name: String = sqlx::query_scalar("select name from worker.batches")
        .fetch_one(site.pool())
        .await
        .unwrap();
    let folder = format!("incoming/N_{name}/");
    assert!(arrived.iter().all(|(at, _)| at.starts_with(&folder)));
    let marker = format!("{folder}BatchComplete_{name}.xml");
    {
        let held = bucket.held();
        assert_eq!(held.puts().last(), Some(&marker.as_str()));
        let manifest = read_manifest(&held.objects[&marker]).unwrap();
        assert_eq!(manifest.messages.len(), 3);
    }
    say(&bucket, &name, FileStatus::FileOk);
    site.until_accepted(3).await;
    for daemon in daemons {
        site.stop(daemon).await;
    }
}
