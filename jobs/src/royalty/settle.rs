//! Sharing out, in batches: the stored totals of tracks in, what each payee earns out.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::PgConnection;

use super::{
    compute::{ComputeError, Digests, Meter, added},
    run::{Run, Totals},
    waterfall::{Kind, Part, SetAside, Share, Terms, Track, share_out},
};

/// Rows of `worker.royalty_tracks` in memory at once.
const BATCH: i64 = 5000;

/// A row of `worker.royalty_tracks`.
struct Row {
    usage_month: NaiveDate,
    track_id: i32,
    split_version: i64,
    owner_id: i32,
    revenue: Decimal,
    streams: i64,
    downloads: i64,
    line_digest: String,
    is_too_large: bool,
    unconverted: i64,
    labels: Vec<i32>,
    terms: Value,
    terms_id: Option<i32>,
    shares: Value,
    unknown_payees: Vec<i32>,
}

impl Row {
    fn key(&self) -> Month {
        (self.usage_month, self.track_id)
    }

    fn parts(&self, run: &Run) -> Result<Vec<Part>, SetAside> {
        let unreadable = |what: String, error: serde_json::Error| SetAside {
            code: "terms_invalid",
            why: format!("{what} cannot be read: {error}"),
        };
        let terms: Terms = serde_json::from_value(self.terms.clone()).map_err(|error| {
            let id = self.terms_id.unwrap_or_default();
            unreadable(format!("royalty_terms of rights_management {id}"), error)
        })?;
        let shares: Vec<Share> = serde_json::from_value(self.shares.clone()).map_err(|error| {
            unreadable(
                format!("version {} of the splits", self.split_version),
                error,
            )
        })?;
        let track = Track {
            revenue: self.revenue,
            owner: self.owner_id,
            labels: &self.labels,
            terms: &terms,
            shares: &shares,
            unknown_payees: &self.unknown_payees,
            unconverted: self.unconverted,
            is_too_large: self.is_too_large,
        };
        share_out(&track, &run.rules)
    }

    /// All that decides, in one line.
    fn digest_line(&self) -> String {
        format!(
            "{}|{}|{}|{}|{}|{}|{:?}|{}|{}|{:?}\n",
            self.usage_month,
            self.track_id,
            self.split_version,
            self.owner_id,
            self.revenue.normalize(),
            self.line_digest,
            self.labels,
            self.terms,
            self.shares,
            self.unknown_payees,
        )
    }
}

/// A track's month of usage.
pub(super) type Month = (NaiveDate, i32);

/// Shares out all tracks of the run, sets aside those that cannot be, and adds both to `totals`. The
/// answer is what is set aside.
pub(super) async fn settle(
    conn: &mut PgConnection,
    run: &Run,
    digests: &mut Digests,
    totals: &mut Totals,
    meter: &mut Meter<'_>,
) -> Result<Vec<Month>, ComputeError> {
    let mut aside = Vec::new();
    sqlx::query!(
        "delete from worker.royalty_shares where run_id = $1",
        run.id
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"update worker.royalty_tracks set set_aside = null, set_aside_why = null
           where run_id = $1 and set_aside is not null"#,
        run.id,
    )
    .execute(&mut *conn)
    .await?;
    let all = sqlx::query_scalar!(
        r#"select count(*) as "count!" from worker.royalty_tracks where run_id = $1"#,
        run.id,
    )
    .fetch_one(&mut *conn)
    .await?;
    let mut done = 0;
    let mut after = None;
    loop {
        meter.tell("shares", done, all).await?;
        let mut rows = batch(conn, run, after).await?;
        let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < BATCH;
        if !is_last && let Some(last) = rows.last().map(Row::key) {
            // The last track may have more versions than fitted. A month has 31 days at most, so
            // something is left.
            rows.retain(|row| row.key() != last);
        }
        after = rows.last().map(Row::key);
        done += i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let posted = match run.is_revision() {
            true => posted(conn, run, &rows).await?,
            false => BTreeMap::new(),
        };
        aside.extend(settle_batch(conn, run, &rows, &posted, digests, totals).await?);
        if is_last {
            return Ok(aside);
        }
    }
}

/// The rows after a track, in order.
async fn batch(
    conn: &mut PgConnection,
    run: &Run,
    after: Option<(NaiveDate, i32)>,
) -> Result<Vec<Row>, sqlx::Error> {
    let (month, track) = after.unzip();
    sqlx::query_as!(
        Row,
        r#"select usage_month, track_id, split_version, owner_id, revenue, streams, downloads, line_digest,
               is_too_large, unconverted, labels, terms, terms_id, shares, unknown_payees
           from worker.royalty_tracks
           where run_id = $1 and (usage_month, track_id) > (coalesce($2, '-infinity'::date), coalesce($3, 0))
           order by usage_month, track_id, split_version limit $4"#,
        run.id,
        month,
        track,
        BATCH,
    )
    .fetch_all(conn)
    .await
}

/// Who has what of which track.
type Posted = BTreeMap<(i32, i64, i32, Kind), Decimal>;

/// What the ledger has of these tracks for the run's month.
async fn posted(conn: &mut PgConnection, run: &Run, rows: &[Row]) -> Result<Posted, ComputeError> {
    let tracks: Vec<i32> = rows.iter().map(|row| row.track_id).collect();
    let entries = sqlx::query!(
        r#"select track_id as "track_id!", split_version as "split_version!", payee_id, kind, sum(amount) as "amount!"
           from worker.ledger_entries
           where usage_month = $1 and track_id = any ($2)
           group by track_id, split_version, payee_id, kind"#,
        run.period.first_day(),
        &tracks,
    )
    .fetch_all(conn)
    .await?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| {
            let kind = Kind::named(&entry.kind)?;
            let key = (entry.track_id, entry.split_version, entry.payee_id, kind);
            Some((key, entry.amount))
        })
        .collect())
}

/// Shares to be stored, column by column.
#[derive(Default)]
struct Columns {
    payees: Vec<i32>,
    months: Vec<NaiveDate>,
    tracks: Vec<i32>,
    versions: Vec<i64>,
    kinds: Vec<&'static str>,
    percentages: Vec<Decimal>,
    amounts: Vec<Decimal>,
}

async fn settle_batch(
    conn: &mut PgConnection,
    run: &Run,
    rows: &[Row],
    posted: &Posted,
    digests: &mut Digests,
    totals: &mut Totals,
) -> Result<Vec<Month>, ComputeError> {
    let (mut columns, mut aside) = (Columns::default(), Vec::new());
    for track in rows.chunk_by(|one, other| one.key() == other.key()) {
        for row in track {
            digests.read(&row.digest_line());
        }
        let parts: Result<Vec<_>, _> = track.iter().map(|row| Ok((row, row.parts(run)?))).collect();
        match parts {
            Ok(parts) => {
                totals.tracks += 1;
                for (row, parts) in parts {
                    let parts = less_posted(row, parts, posted);
                    store(run, row, parts, digests, totals, &mut columns)?;
                }
            }
            Err(why) => {
                put_aside(conn, run, track, &why, digests, totals).await?;
                aside.extend(track.first().map(Row::key));
            }
        }
    }
    sqlx::query!(
        r#"insert into worker.royalty_shares
               (run_id, payee_id, usage_month, track_id, split_version, kind, percentage, amount)
           select $1, * from unnest($2::integer[], $3::date[], $4::integer[], $5::bigint[], $6::text[],
                                    $7::numeric[], $8::numeric[])"#,
        run.id,
        &columns.payees,
        &columns.months,
        &columns.tracks,
        &columns.versions,
        &columns.kinds as _,
        &columns.percentages,
        &columns.amounts,
    )
    .execute(conn)
    .await?;
    Ok(aside)
}

/// What is to be posted so that the ledger says `parts`: in a revision the difference to what it
/// says already.
fn less_posted(row: &Row, parts: Vec<Part>, posted: &Posted) -> Vec<Part> {
    let of_this = (row.track_id, row.split_version, i32::MIN, Kind::Fee)
        ..=(row.track_id, row.split_version, i32::MAX, Kind::Withdrawal);
    let mut before: BTreeMap<(i32, Kind), Decimal> = posted
        .range(of_this)
        .map(|((_, _, payee, kind), amount)| ((*payee, *kind), *amount))
        .collect();
    let mut differences: Vec<Part> = parts
        .into_iter()
        .map(|part| {
            let had = before.remove(&(part.payee, part.kind)).unwrap_or_default();
            Part {
                amount: part.amount - had,
                ..part
            }
        })
        .collect();
    differences.extend(before.into_iter().map(|((payee, kind), had)| Part {
        payee,
        kind,
        percentage: Decimal::ZERO,
        amount: -had,
    }));
    differences.retain(|part| !part.amount.is_zero());
    differences
}

fn store(
    run: &Run,
    row: &Row,
    parts: Vec<Part>,
    digests: &mut Digests,
    totals: &mut Totals,
    columns: &mut Columns,
) -> Result<(), ComputeError> {
    for part in parts {
        digests.wrote(&format!(
            "{}|{}|{}|{}|{}|{}\n",
            row.usage_month,
            row.track_id,
            row.split_version,
            part.payee,
            part.kind.as_str(),
            part.amount.normalize(),
        ));
        let sum = totals.kinds.entry(part.kind).or_default();
        *sum = added(*sum, part.amount)?;
        totals.revenue = added(totals.revenue, part.amount)?;
        if row.usage_month != run.period.first_day() {
            totals.late_revenue = added(totals.late_revenue, part.amount)?;
        }
        columns.payees.push(part.payee);
        columns.months.push(row.usage_month);
        columns.tracks.push(row.track_id);
        columns.versions.push(row.split_version);
        columns.kinds.push(part.kind.as_str());
        columns.percentages.push(part.percentage);
        columns.amounts.push(part.amount);
    }
    totals.streams = totals.streams.saturating_add(row.streams);
    totals.downloads = totals.downloads.saturating_add(row.downloads);
    Ok(())
}

async fn put_aside(
    conn: &mut PgConnection,
    run: &Run,
    track: &[Row],
    why: &SetAside,
    digests: &mut Digests,
    totals: &mut Totals,
) -> Result<(), ComputeError> {
    let Some(row) = track.first() else {
        return Ok(());
    };
    totals.set_aside += 1;
    for row in track {
        totals.set_aside_revenue = added(totals.set_aside_revenue, row.revenue)?;
    }
    digests.wrote(&format!(
        "{}|{}|{}\n",
        row.usage_month, row.track_id, why.code
    ));
    sqlx::query!(
        r#"update worker.royalty_tracks set set_aside = $4, set_aside_why = $5
           where run_id = $1 and usage_month = $2 and track_id = $3"#,
        run.id,
        row.usage_month,
        row.track_id,
        why.code,
        why.why,
    )
    .execute(conn)
    .await?;
    Ok(())
}
