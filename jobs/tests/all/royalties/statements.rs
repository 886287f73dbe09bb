//! Statements and explanations say what the ledger says; those of all payees are written by a job.

use std::{path::PathBuf, sync::Arc, time::Duration};

use jobs::{
    queue::{Job, Lease},
    royalty::{
        self, Settings, WriteStatements,
        document::{Fonts, Layout, write_csv, write_pdf},
        sets::{self, SetState, StatementSet},
        statement,
    },
};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::harness::{House, by, number};

async fn house() -> House {
    let house = House::build().await;
    house
        .sql("update users set full_name = 'Zoë Ångström, =Ж' where id = 2")
        .await;
    house
        .split(1, &[(2, "33.33", "active"), (3, "10", "pending")])
        .await;
    house.split(2, &[(2, "12.5", "active")]).await;
    house.usage(1, 1, "2026-10-10", "DE", 100, "7").await;
    house.usage(1, 2, "2026-10-10", "FR", 50, "3.0001").await;
    house.usage(2, 2, "2026-10-10", "FR", 50, "0.0007").await;
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_sums_to_the_ledger() {
    let house = house().await;
    let run = house.settle("2026-10").await;
    let mut conn = house.pool().acquire().await.unwrap();
    for payee in statement::payees(&mut conn, run.id).await.unwrap() {
        let statement = statement::statement(&mut conn, &run, payee).await.unwrap();
        let ledger: Decimal = sqlx::query_scalar(
            "select sum(amount) from worker.ledger_entries where payee_id = $1 and kind <> 'share_held'",
        )
        .bind(payee)
        .fetch_one(&mut *conn)
        .await
        .unwrap_or_default();
        assert_eq!(statement.payable, ledger);
        let mut bytes = Vec::new();
        write_csv(&mut bytes, [&statement]).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let sum = |section: &str| -> Decimal {
            csv::Reader::from_reader(text.as_bytes())
                .records()
                .map(Result::unwrap)
                .filter(|row| &row[0] == section)
                .map(|row| number(&row[14]))
                .sum()
        };
        assert_eq!(sum("track"), sum("summary"));
        assert!(reader.records().all(|row| row.unwrap().len() == 17));
    }
    let of_two = statement::statement(&mut conn, &run, 2).await.unwrap();
    assert_eq!(of_two.tracks.len(), 2);
    assert_eq!((of_two.platforms.len(), of_two.territories.len()), (2, 2));
    house.settle("2026-11").await;
    let next = royalty::newest(&mut conn, "2026-11".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let next = statement::statement(&mut conn, &next, 2).await.unwrap();
    assert_eq!(next.previous_payable, Some(of_two.payable));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pdf_says_what_the_ledger_says() {
    let house = house().await;
    let run = house.settle("2026-10").await;
    let mut conn = house.pool().acquire().await.unwrap();
    let statement = statement::statement(&mut conn, &run, 2).await.unwrap();
    let fonts = Fonts::read(&Settings::default().fonts).expect("scripts/setup installs the font");
    let pdf = write_pdf(&statement, &fonts).unwrap();
    assert_eq!(
        pdf,
        write_pdf(&statement, &fonts).unwrap(),
        "the same bytes"
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("statement.pdf");
    std::fs::write(&file, pdf).unwrap();
    let output = std::process::Command::new("pdftotext")
        .args(["-layout".as_ref(), file.as_os_str(), "-".as_ref()])
        .output()
        .expect("scripts/setup installs poppler-utils");
    let text = String::from_utf8(output.stdout).unwrap();
    let payable = format!("Payable {}", statement.payable);
    let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(squeezed.contains(&payable), "{payable}: {text}");
    assert!(squeezed.contains("Zoë Ångström, =Ж"), "{text}");
    for line in &statement.tracks {
        assert!(squeezed.contains(&line.amount.to_string()), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_goes_from_usage_to_the_amount() {
    let house = house().await;
    let run = house.run("2026-10").await;
    let mut conn = house.pool().acquire().await.unwrap();
    let told = royalty::explain(&mut conn, &run, 2, 1)
        .await
        .unwrap()
        .join("\n");
    for part in [
        "Fjordwave, DE: 100 streams, 7.0000 USD",
        "together: 150 streams, 0 downloads, 10.0001 USD",
        "user 2 33.33 % (active)",
        "=> share, 33.33 % of what was left, to user 2",
        "3.3330 USD",
        "share not agreed yet, held, 10 %",
        "payable: 3.3331 USD",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(
        royalty::explain(&mut conn, &run, 2, 6)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn set(house: &House, id: Uuid) -> StatementSet {
    let mut conn = house.pool().acquire().await.unwrap();
    sets::get(&mut conn, id).await.unwrap().unwrap()
}

/// Does what waits on the queue of statements, as a daemon does; one that is cut off goes first.
async fn work(house: &House, fonts: Vec<PathBuf>, set: Uuid) {
    let lease = Lease {
        job: Uuid::nil(),
        token: Uuid::nil(),
        queue: sets::QUEUE.to_owned(),
        kind: WriteStatements::KIND.to_owned(),
        attempt: 1,
        max_attempts: 2,
        crashes: 0,
        worker: "test".to_owned(),
    };
    let services = royalty::Services {
        pool: house.pool().clone(),
        clock: house.clock(),
        settings: Arc::new(Settings {
            fonts,
            ..house.settings.clone()
        }),
    };
    let job = || WriteStatements { set }.run(services.clone(), lease.clone());
    let _ = tokio::time::timeout(Duration::from_millis(5), job()).await;
    job().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statements_of_all_payees_are_written_in_the_background() {
    let house = house().await;
    let started = house.start("2026-10").await.run;
    let early = sets::order(house.pool(), started.id, Layout::Csv, &by(), house.now()).await;
    assert!(
        early
            .unwrap_err()
            .to_string()
            .contains("once it is computed")
    );
    let run = house.compute(started.id).await;
    let order = async || {
        sets::order(house.pool(), run.id, Layout::Csv, &by(), house.now())
            .await
            .unwrap()
    };
    let draft = order().await;
    assert_eq!((draft.is_new, draft.set.state), (true, SetState::Running));
    assert_eq!((draft.set.done, draft.set.total), (0, 3));
    let again = order().await;
    assert_eq!((again.is_new, &again.set), (false, &draft.set));
    work(&house, Vec::new(), draft.set.id).await;
    let done = set(&house, draft.set.id).await;
    assert_eq!((done.state, done.done), (SetState::Completed, 3));
    let mut conn = house.pool().acquire().await.unwrap();
    let mut found = Vec::new();
    for payee in statement::payees(&mut conn, run.id).await.unwrap() {
        let after = found.last().map(|file: &sets::StatementFile| file.payee);
        found.extend(sets::files(&mut conn, &done, after, 1).await.unwrap());
        let statement = statement::statement(&mut conn, &run, payee).await.unwrap();
        let mut alone = Vec::new();
        write_csv(&mut alone, [&statement]).unwrap();
        let file = found.last().unwrap();
        assert_eq!((file.payee, &file.body), (payee, &alone));
        assert_eq!(file.name, statement.file_name("csv"));
    }
    assert_eq!(found.len(), 3);
    // Of another state of the run they are others.
    house.finalise(run.id).await;
    assert!(order().await.is_new);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_cannot_be_written_say_why_and_can_be_asked_for_again() {
    let house = house().await;
    let run = house.run("2026-10").await;
    let order = async || {
        sets::order(house.pool(), run.id, Layout::Pdf, &by(), house.now())
            .await
            .unwrap()
            .set
    };
    let stale = order().await;
    house.finalise(run.id).await;
    work(&house, Settings::default().fonts, stale.id).await;
    let stale = set(&house, stale.id).await;
    assert_eq!(stale.state, SetState::Failed);
    assert!(
        stale
            .fault
            .unwrap()
            .contains("ask for its statements again")
    );
    let fresh = order().await;
    assert_ne!(fresh.id, stale.id);
    work(&house, Settings::default().fonts, fresh.id).await;
    let mut conn = house.pool().acquire().await.unwrap();
    let files = sets::files(&mut conn, &set(&house, fresh.id).await, None, 10)
        .await
        .unwrap();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| file.body.starts_with(b"%PDF-")));
    assert_eq!(
        sets::list(&mut conn, run.id, None, 10).await.unwrap().len(),
        2
    );
}
