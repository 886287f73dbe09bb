//! Lines that are not imported: kept with the reason and with what could be read of them, so that they
//! can be matched again.

use sqlx::PgConnection;

use super::layout::{Line, Place};
use crate::database::storable;

/// Characters of a field that are kept.
const FIELD_CHARACTERS: usize = 1000;
/// Fields of a line that are kept.
const FIELDS: usize = 200;

/// A line that is not imported.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    pub(super) place: Place,
    pub(super) reason: &'static str,
    pub(super) problem: String,
    /// `None`: it could not be read.
    line: Option<Line>,
    fields: Vec<String>,
}

impl Aside {
    /// One that cannot be read.
    pub(super) fn unreadable(place: Place, problem: String, fields: &csv::ByteRecord) -> Self {
        Self {
            place,
            reason: "unreadable",
            problem: storable(&problem).into_owned(),
            line: None,
            fields: kept(fields),
        }
    }

    pub(super) fn of(line: &Line, reason: &'static str, problem: String) -> Self {
        Self {
            place: line.place,
            reason,
            problem,
            line: Some(line.clone()),
            fields: kept(&line.fields),
        }
    }
}

fn kept(fields: &csv::ByteRecord) -> Vec<String> {
    fields
        .iter()
        .take(FIELDS)
        .map(|field| {
            let text = String::from_utf8_lossy(field);
            storable(&text).chars().take(FIELD_CHARACTERS).collect()
        })
        .collect()
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A column of the lines that could be read.
fn column<'a, T>(asides: &'a [Aside], of: impl Fn(&'a Line) -> Option<T>) -> Vec<Option<T>> {
    asides
        .iter()
        .map(|one| one.line.as_ref().and_then(&of))
        .collect()
}

/// Keeps lines of a file that are not imported.
pub(super) async fn write(
    conn: &mut PgConnection,
    file: i32,
    asides: &[Aside],
) -> Result<(), sqlx::Error> {
    if asides.is_empty() {
        return Ok(());
    }
    let (records, lines): (Vec<i64>, Vec<i64>) = asides
        .iter()
        .map(|one| (number(one.place.record), number(one.place.line)))
        .unzip();
    let reasons: Vec<&str> = asides.iter().map(|one| one.reason).collect();
    let problems: Vec<&str> = asides.iter().map(|one| one.problem.as_str()).collect();
    // An array of arrays must be rectangular, and lines are not.
    let fields: Vec<serde_json::Value> = asides
        .iter()
        .map(|one| serde_json::Value::from(one.fields.clone()))
        .collect();
    sqlx::query!(
        r#"insert into worker.usage_unmatched
               (file_id, record, line, reason, problem, fields, isrc, upc, date, territory, streams,
                downloads, amount, currency)
           select $1, record, line, reason, problem, array(select jsonb_array_elements_text(fields)),
               isrc, upc, date, territory, streams, downloads, amount, currency
           from unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::jsonb[], $7::text[],
                   $8::text[], $9::date[], $10::text[], $11::integer[], $12::integer[],
                   $13::numeric[], $14::text[])
               as aside (record, line, reason, problem, fields, isrc, upc, date, territory, streams,
                   downloads, amount, currency)"#,
        file,
        &records,
        &lines,
        &reasons as _,
        &problems as _,
        &fields,
        &column(asides, |line| given(&line.isrc)) as _,
        &column(asides, |line| given(&line.upc)) as _,
        &column(asides, |line| Some(line.date)) as _,
        &column(asides, |line| given(&line.territory)) as _,
        &column(asides, |line| Some(line.streams)) as _,
        &column(asides, |line| Some(line.downloads)) as _,
        &column(asides, |line| line.amount) as _,
        &column(asides, |line| line.currency.as_ref().map(|currency| currency.as_str())) as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lines of a file that could be read, after a record and in their order.
pub(super) async fn readable(
    conn: &mut PgConnection,
    file: i32,
    after: i64,
    limit: i64,
) -> Result<Vec<Line>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select record, line, isrc, upc, date as "date!", territory, streams as "streams!",
               downloads as "downloads!", amount, currency
           from worker.usage_unmatched
           where file_id = $1 and record > $2 and date is not null
           order by record limit $3"#,
        file,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let lines = rows.into_iter().map(|row| {
        let currency = row.currency.map(|code| code.parse()).transpose();
        Ok(Line {
            place: Place {
                record: row.record.unsigned_abs(),
                line: row.line.unsigned_abs(),
            },
            date: row.date,
            isrc: row.isrc.unwrap_or_default(),
            upc: row.upc.unwrap_or_default(),
            territory: row.territory.unwrap_or_default(),
            streams: row.streams,
            downloads: row.downloads,
            amount: row.amount,
            currency: currency.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            fields: csv::ByteRecord::new(),
        })
    });
    lines.collect()
}

/// Removes lines that became usage.
pub(super) async fn remove(
    conn: &mut PgConnection,
    file: i32,
    places: impl Iterator<Item = Place>,
) -> Result<(), sqlx::Error> {
    let records: Vec<i64> = places.map(|place| number(place.record)).collect();
    sqlx::query!(
        "delete from worker.usage_unmatched where file_id = $1 and record = any ($2)",
        file,
        &records,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Says of lines that are kept already why they are not imported now.
pub(super) async fn explain(
    conn: &mut PgConnection,
    file: i32,
    asides: &[Aside],
) -> Result<(), sqlx::Error> {
    let records: Vec<i64> = asides.iter().map(|one| number(one.place.record)).collect();
    let reasons: Vec<&str> = asides.iter().map(|one| one.reason).collect();
    let problems: Vec<&str> = asides.iter().map(|one| one.problem.as_str()).collect();
    sqlx::query!(
        r#"update worker.usage_unmatched u
           set reason = a.reason, problem = a.problem
           from unnest($2::bigint[], $3::text[], $4::text[]) as a (record, reason, problem)
           where u.file_id = $1 and u.record = a.record
             and (u.reason, u.problem) is distinct from (a.reason, a.problem)"#,
        file,
        &records,
        &reasons as _,
        &problems as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}
