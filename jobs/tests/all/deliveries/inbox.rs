//! Folders of acknowledgements: a word is heard once, when its file is complete, however late.

use jobs::delivery::{InboxSettings, look_everywhere};
use platform_adapters::{Code, Evidence, Fault, Located, Receipt, Said, Status, Wanted, WordFile};
use test_support::catalogue;

use super::harness::{World, taken};

/// A file about the only delivery's first transmission, written at this second.
async fn file(world: &World, second: u32) -> (WordFile, String) {
    let id = world.delivery("id").await.unwrap().replace('-', "");
    let key = format!("{id}-r1-t1");
    let name = format!("ACK_{key}_202611231200{second:02}000.xml");
    (WordFile { name, size: 100 }, key)
}

fn document(file: &WordFile) -> Vec<Evidence> {
    vec![Evidence {
        name: file.name.clone(),
        media_type: "application/xml".into(),
        body: b"<ack/>".to_vec(),
    }]
}

fn yes(file: &WordFile) -> Status {
    Status::Accepted(Box::new(Receipt {
        evidence: document(file),
        ..taken()
    }))
}

fn no(file: &WordFile) -> Status {
    Status::Rejected {
        reason: "no sound".into(),
        evidence: document(file),
    }
}

async fn put(world: &World, second: u32, status: fn(&WordFile) -> Status) -> WordFile {
    let (file, key) = file(world, second).await;
    let said = Said {
        key,
        release_id: None,
        status: status(&file),
    };
    let mut inbox = world.partner.inbox.lock().unwrap();
    inbox.push((file.clone(), Ok(vec![said])));
    file
}

async fn look(world: &World, settle_s: u32) -> u64 {
    let settings = InboxSettings {
        settle_s,
        days: 36_500,
        ..InboxSettings::default()
    };
    look_everywhere(&world.services(), &settings).await.unwrap()
}

async fn delivered(world: &mut World) {
    let release = world.release(1).await;
    let platform = catalogue::platform(world.pool(), "Nordlys").await;
    let schedule = catalogue::schedule(world.pool(), release, &[platform]).await;
    world.start();
    assert_eq!(world.decided(schedule).await, "completed");
    world.stop().await;
}

async fn evidence(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from worker.evidence where name like 'ACK%'")
        .fetch_one(world.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_word_is_heard_once_and_an_older_one_not_after_it() {
    let mut world = World::new().await;
    delivered(&mut world).await;
    assert_eq!(look(&world, 300).await, 0);
    put(&world, 20, no).await;
    assert_eq!(look(&world, 300).await, 1);
    assert_eq!(world.delivery("state").await.as_deref(), Some("rejected"));
    assert_eq!(evidence(&world).await, 1);
    assert_eq!(look(&world, 300).await, 0, "heard once");

    // An older word that is found later says nothing any more; a newer one does.
    put(&world, 10, yes).await;
    look(&world, 300).await;
    assert_eq!(world.delivery("state").await.as_deref(), Some("rejected"));
    put(&world, 30, yes).await;
    look(&world, 300).await;
    assert_eq!(world.delivery("state").await.as_deref(), Some("accepted"));
    assert_eq!(evidence(&world).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_waited_for_and_then_wrong() {
    let mut world = World::new().await;
    delivered(&mut world).await;
    let (file, _) = file(&world, 20).await;
    let fault = Fault::new(Code::PartnerError, "it ends before it does");
    world.partner.inbox.lock().unwrap().push((file, Err(fault)));
    assert_eq!(look(&world, 300).await, 0, "it may be being written");
    assert_eq!(look(&world, 0).await, 1);
    let problem: Option<String> =
        sqlx::query_scalar("select problem from worker.acknowledgement_files")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(problem.as_deref(), Some("it ends before it does"));
    assert_eq!(look(&world, 0).await, 0);
    assert_eq!(world.delivery("state").await.as_deref(), Some("accepted"));

    // It was being written after all: now it is longer.
    let (grown, key) = {
        let mut inbox = world.partner.inbox.lock().unwrap();
        let (mut grown, _) = inbox.pop().unwrap();
        grown.size += 1;
        let key = grown.name[4..].rsplit_once('_').unwrap().0.to_owned();
        (grown, key)
    };
    let status = no(&grown);
    let said = Said {
        key,
        release_id: None,
        status,
    };
    world
        .partner
        .inbox
        .lock()
        .unwrap()
        .push((grown, Ok(vec![said])));
    assert_eq!(look(&world, 300).await, 1);
    assert_eq!(world.delivery("state").await.as_deref(), Some("rejected"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_request_for_a_resend_is_honoured_and_a_stranger_is_noted() {
    let mut world = World::new().await;
    delivered(&mut world).await;
    let again = |file: &WordFile| Status::Resend {
        wanted: Wanted::MessageAlone,
        reason: "ResourceMissing".into(),
        evidence: document(file),
    };
    put(&world, 20, again).await;
    let stranger = WordFile {
        name: "ACK_theirs_20261123120000000.xml".into(),
        size: 9,
    };
    let said = Said {
        key: "theirs".into(),
        release_id: None,
        status: yes(&stranger),
    };
    world
        .partner
        .inbox
        .lock()
        .unwrap()
        .push((stranger, Ok(vec![said])));
    assert_eq!(look(&world, 300).await, 2);
    assert_eq!(world.delivery("state").await.as_deref(), Some("queued"));
    assert_eq!(world.delivery("transmission").await.as_deref(), Some("2"));
    let problems: Vec<String> = sqlx::query_scalar(
        "select problem from worker.acknowledgement_files where problem is not null",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("theirs"), "{problems:?}");
    assert_eq!(evidence(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_waits_until_what_was_handed_over_is_on_record() {
    let mut world = World::new().await;
    delivered(&mut world).await;
    // As a daemon left it that died after the last byte: nothing is known of the files.
    sqlx::raw_sql(
        "update worker.deliveries set state = 'unknown', receipt = null, fingerprint = null,
             unknown_since = now(), unknown_reason = 'the worker that sent it went away';
         delete from worker.delivery_files;
         update worker.jobs set state = 'available', finished_at = null, run_at = now()
         where kind = 'deliver'",
    )
    .execute(world.pool())
    .await
    .unwrap();
    put(&world, 20, yes).await;
    assert_eq!(look(&world, 300).await, 0, "not before the next attempt");
    assert_eq!(world.delivery("state").await.as_deref(), Some("unknown"));

    let complete = Located::Complete(Box::new(taken()));
    world.partner.locate.lock().unwrap().push_back(complete);
    world.start();
    world.until_delivery("accepted").await;
    world.stop().await;
    assert_eq!(world.partner.deliveries(), 1, "nothing is sent again");
    let files: i64 = sqlx::query_scalar("select count(*) from worker.delivery_files")
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!(files, 2);
    assert_eq!(look(&world, 300).await, 1);
    assert_eq!(world.delivery("state").await.as_deref(), Some("accepted"));
}
