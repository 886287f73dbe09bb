//! Importing rates. A rate that is published again in another value replaces the old one, which is
//! counted and told: what was converted before keeps the rate it was converted with.

use std::{collections::BTreeMap, io::Read};

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

use super::layout::{Line, Lines, Unreadable};
use crate::{
    audit::{self, By, Change},
    database::storable,
};

/// The most rates of one statement: the whole history of the ECB is some 280,000.
const BATCH: usize = 10_000;

/// Why rates could not be imported. Nothing was changed, if the caller rolls back.
#[derive(Debug, thiserror::Error)]
pub enum RatesError {
    /// The file.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Rates in the file.
    pub read: u64,
    /// That were not known.
    pub added: u64,
    /// That were known with another value or source.
    pub changed: u64,
    /// The first day.
    pub from: Option<NaiveDate>,
    /// The last day.
    pub to: Option<NaiveDate>,
}

/// Imports rates from CSV, in the layout of the European Central Bank or as
/// `base,quote,date,rate`, in the caller's transaction. `source` is kept with each rate.
///
/// # Errors
/// [`RatesError`].
pub async fn import(
    conn: &mut PgConnection,
    input: impl Read + Send,
    source: &str,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Imported, RatesError> {
    let mut lines = Lines::open(input)?;
    let mut imported = Imported::default();
    // By key: one statement cannot write the same row twice, and the file's last word counts.
    let mut batch = BTreeMap::new();
    while let Some(some) = lines.next()? {
        for line in some {
            imported.read += 1;
            imported.from = Some(imported.from.map_or(line.date, |from| from.min(line.date)));
            imported.to = imported.to.max(Some(line.date));
            batch.insert((line.base, line.quote, line.date), line);
        }
        if batch.len() >= BATCH {
            store(
                conn,
                std::mem::take(&mut batch).into_values(),
                source,
                now,
                &mut imported,
            )
            .await?;
        }
    }
    store(conn, batch.into_values(), source, now, &mut imported).await?;
    let change = Change {
        action: "rates.import",
        object_kind: "exchange_rates",
        object_id: storable(source).into_owned(),
        before: None,
        after: Some(json!(imported)),
    };
    audit::record(conn, by, &change, now).await?;
    Ok(imported)
}

async fn store(
    conn: &mut PgConnection,
    lines: impl Iterator<Item = Line>,
    source: &str,
    now: DateTime<Utc>,
    imported: &mut Imported,
) -> Result<(), sqlx::Error> {
    let (mut bases, mut quotes) = (Vec::new(), Vec::new());
    let (mut dates, mut rates): (Vec<NaiveDate>, Vec<Decimal>) = (Vec::new(), Vec::new());
    for line in lines {
        bases.push(String::from(line.base));
        quotes.push(String::from(line.quote));
        dates.push(line.date);
        rates.push(line.rate);
    }
    let source = storable(source);
    // xmax is 0 in a row that this statement inserted.
    let stored = sqlx::query!(
        r#"with stored as (
               insert into worker.exchange_rates as known (base, quote, date, rate, source, imported_at)
               select base, quote, date, rate, $5, $6
               from unnest($1::text[], $2::text[], $3::date[], $4::numeric[]) as line (base, quote, date, rate)
               on conflict (base, quote, date) do update
                   set rate = excluded.rate, source = excluded.source, imported_at = excluded.imported_at
                   where (known.rate, known.source) is distinct from (excluded.rate, excluded.source)
               returning xmax = 0 as is_new
           )
           select count(*) filter (where is_new) as "added!", count(*) filter (where not is_new) as "changed!"
           from stored"#,
        &bases,
        &quotes,
        &dates,
        &rates,
        source.as_ref(),
        now,
    )
    .fetch_one(conn)
    .await?;
    imported.added += u64::try_from(stored.added).unwrap_or_default();
    imported.changed += u64::try_from(stored.changed).unwrap_or_default();
    Ok(())
}
