//! Statements and explanations say what the ledger says.

use jobs::royalty::{
    self, Settings,
    document::{Fonts, write_csv, write_pdf},
    statement,
};
use rust_decimal::Decimal;

use super::harness::{House, number};

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
