//! Exchange rates: imported, corrected, looked up.

use chrono::{DateTime, NaiveDate, Utc};
use jobs::{
    audit::{self, By},
    royalty::{
        Settings,
        rates::{self, Imported, ListFilter, Rates, RatesError},
    },
};
use sqlx::PgPool;
use test_support::TestDatabase;

async fn import(pool: &PgPool, text: &str) -> Result<Imported, RatesError> {
    let now: DateTime<Utc> = "2026-11-02T08:00:00Z".parse().unwrap();
    let by = By::new("cli:ada", "monthly import").unwrap();
    let mut tx = pool.begin().await.unwrap();
    let imported = rates::import(&mut tx, text.as_bytes(), "ECB", &by, now).await?;
    tx.commit().await.unwrap();
    Ok(imported)
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_is_looked_up_to_the_last_digit() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let text =
        "Date,USD,GBP,IDR,\n2026-10-30,1.1555,0.8771,19221.12345678,\n2026-10-29,1.16,N/A,19000,\n";
    let imported = import(pool, text).await.unwrap();
    assert_eq!((imported.read, imported.added, imported.changed), (5, 5, 0));
    assert_eq!(imported.from, Some(day("2026-10-29")));
    // Again: nothing changes. Corrected: one does.
    assert_eq!(import(pool, text).await.unwrap().added, 0);
    let corrected = import(pool, &text.replace("1.16,", "1.17,")).await.unwrap();
    assert_eq!((corrected.added, corrected.changed), (0, 1));

    let mut conn = pool.acquire().await.unwrap();
    let rates = Rates::load(
        &mut conn,
        &Settings::default(),
        day("2026-10-29"),
        day("2026-11-01"),
    )
    .await
    .unwrap();
    let sunday = rates.at("EUR".parse().unwrap(), day("2026-11-01")).unwrap();
    assert_eq!(
        (sunday.rate.to_string(), sunday.date),
        ("1.1555".to_owned(), day("2026-10-30"))
    );
    assert!(rates.at("GBP".parse().unwrap(), day("2026-10-29")).is_err());
    let filter = ListFilter {
        currency: Some("IDR".parse().unwrap()),
        limit: 1,
        ..ListFilter::default()
    };
    let listed = rates::list(&mut conn, &filter).await.unwrap();
    assert_eq!(listed[0].rate.to_string(), "19221.12345678");
    let audited = audit::list(pool, Some(("exchange_rates", "ECB")), 10)
        .await
        .unwrap();
    assert_eq!(audited.len(), 3);
    assert_eq!(audited[0].action, "rates.import");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_fault_changes_nothing() {
    let database = TestDatabase::create().await;
    let pool = database.pool();
    let error = import(
        pool,
        "base,quote,date,rate\nEUR,USD,2026-10-30,1.1\nEUR,USD,never,1.1\n",
    )
    .await
    .unwrap_err();
    assert!(error.to_string().starts_with("line 3: "), "{error}");
    let count: i64 = sqlx::query_scalar("select count(*) from worker.exchange_rates")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(count, 0);
}
