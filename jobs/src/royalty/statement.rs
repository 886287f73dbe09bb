//! A payee's statement of a run: what was earned with what, what was taken and added, what is paid.
//! How it looks as CSV and PDF is in `document`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    compute::{ComputeError, added},
    period::Period,
    run::{self, Run, RunFilter, State},
    waterfall::Kind,
};

/// A statement. The amounts of `summary` and of `tracks` are exact and sum up; those of `platforms`
/// and `territories` are shares of amounts that were shared out by track, not rounded, and do not.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = RoyaltyStatement)]
pub struct Statement {
    /// The run.
    pub run: Uuid,
    /// The month that was settled.
    pub period: Period,
    /// Of the run.
    pub revision: i16,
    /// Where the run is; a statement of one that is not final is a draft.
    pub state: State,
    /// The accounting currency.
    pub currency: String,
    /// The payee.
    pub payee: i32,
    /// `users.full_name`, as it is now.
    pub payee_name: String,
    /// The run before this one in the ledger, whose amounts stand beside.
    pub previous_period: Option<Period>,
    /// The sum of each kind of entry.
    pub summary: Vec<SummaryLine>,
    /// What is to be paid: the sum of the summary without what is held.
    pub payable: Decimal,
    /// That of the run before.
    pub previous_payable: Option<Decimal>,
    /// By track and month of usage.
    pub tracks: Vec<TrackLine>,
    /// By platform; not additive.
    pub platforms: Vec<PartLine>,
    /// By territory; not additive.
    pub territories: Vec<PartLine>,
}

impl Statement {
    /// What a file of it is called: `2026-10-1-12.pdf`, by month, revision and payee.
    #[must_use]
    pub fn file_name(&self, extension: &str) -> String {
        named(self.period, self.revision, self.payee, extension)
    }
}

/// What the file of a payee's statement of a run is called.
pub(super) fn file_name(run: &Run, payee: i32, extension: &str) -> String {
    named(run.period, run.revision, payee, extension)
}

fn named(period: Period, revision: i16, payee: i32, extension: &str) -> String {
    format!("{period}-{revision}-{payee}.{extension}")
}

/// The sum of one kind of entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatementSummaryLine)]
pub struct SummaryLine {
    /// The kind.
    pub kind: Kind,
    /// Its sum.
    pub amount: Decimal,
    /// That of the run before.
    pub previous: Option<Decimal>,
}

/// What was earned with a track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatementTrackLine)]
pub struct TrackLine {
    /// `tracks.id`.
    pub track_id: i32,
    /// The track's title when the run was computed.
    pub title: String,
    /// Its ISRC.
    pub isrc: Option<String>,
    /// Its release's title.
    pub release: Option<String>,
    /// The release's UPC.
    pub upc: Option<String>,
    /// The month of usage.
    pub month: Period,
    /// As what.
    pub kind: Kind,
    /// Of what was left of the revenue when it was taken.
    pub percentage: Decimal,
    /// The track's streams.
    pub streams: i64,
    /// The track's downloads.
    pub downloads: i64,
    /// The track's revenue.
    pub revenue: Decimal,
    /// The payee's.
    pub amount: Decimal,
}

/// What came from a platform or territory; not additive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StatementPartLine)]
pub struct PartLine {
    /// The platform's name or the territory's code.
    pub name: String,
    /// Streams of the payee's tracks there.
    pub streams: i64,
    /// Downloads of the payee's tracks there.
    pub downloads: i64,
    /// The payee's share of the revenue there, not rounded.
    pub amount: Decimal,
}

/// The payees with an entry in a run, in order.
///
/// # Errors
/// The database's.
pub async fn payees(conn: &mut PgConnection, run: Uuid) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select payee_id as "payee_id!" from worker.royalty_shares where run_id = $1 and payee_id <> 0
           union
           select payee_id from worker.royalty_steps where run_id = $1 and payee_id <> 0
           order by 1"#,
        run,
    )
    .fetch_all(conn)
    .await
}

/// A payee of a run: whoever has a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RoyaltyPayee)]
pub struct Payee {
    /// Who.
    pub payee: i32,
    /// `users.full_name`, as it is now; none: the user is gone.
    pub name: Option<String>,
    /// What is to be paid with the run: what the statement comes to.
    pub payable: Decimal,
    /// When it was noted as paid.
    pub paid_at: Option<DateTime<Utc>>,
}

/// The payees of a run with what they get, in the order of their ids: those after one, or from the
/// beginning.
///
/// # Errors
/// The database's.
pub async fn listed(
    conn: &mut PgConnection,
    run: Uuid,
    after: Option<i32>,
    limit: i64,
) -> Result<Vec<Payee>, sqlx::Error> {
    sqlx::query_as!(
        Payee,
        r#"select e.payee_id as "payee!", u.full_name as "name?",
               coalesce(sum(e.amount) filter (where e.kind <> 'share_held'), 0) as "payable!",
               p.paid_at as "paid_at?"
           from (select payee_id, kind, amount from worker.royalty_shares
                 where run_id = $1 and payee_id > coalesce($2, 0)
                 union all
                 select payee_id, kind, amount from worker.royalty_steps
                 where run_id = $1 and payee_id > coalesce($2, 0)) e
           left join public.users u on u.id = e.payee_id
           left join worker.royalty_payments p on p.run_id = $1 and p.payee_id = e.payee_id
           group by e.payee_id, u.full_name, p.paid_at
           order by e.payee_id limit $3"#,
        run,
        after,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// A payee's statement of a run, which may be empty.
///
/// # Errors
/// The database's, or sums with more digits than are computed with.
pub async fn statement(
    conn: &mut PgConnection,
    run: &Run,
    payee: i32,
) -> Result<Statement, ComputeError> {
    let name = sqlx::query_scalar!("select full_name from public.users where id = $1", payee)
        .fetch_optional(&mut *conn)
        .await?;
    let previous = previous(conn, run).await?;
    let sums = sums(conn, run.id, payee).await?;
    let before = match &previous {
        Some(previous) => Some(self::sums(conn, previous.id, payee).await?),
        None => None,
    };
    let summary = Kind::ALL
        .into_iter()
        .filter_map(|kind| {
            let amount = sums.get(&kind).copied();
            let previous = before
                .as_ref()
                .and_then(|before| before.get(&kind).copied());
            amount.or(previous)?;
            Some(SummaryLine {
                kind,
                amount: amount.unwrap_or_default(),
                previous: before.as_ref().map(|_| previous.unwrap_or_default()),
            })
        })
        .collect();
    Ok(Statement {
        run: run.id,
        period: run.period,
        revision: run.revision,
        state: run.state,
        currency: run.currency.clone(),
        payee,
        payee_name: name.unwrap_or_else(|| format!("user {payee}")),
        previous_period: previous.map(|run| run.period),
        summary,
        payable: payable(&sums)?,
        previous_payable: before.as_ref().map(payable).transpose()?,
        tracks: tracks(conn, run.id, payee).await?,
        platforms: platforms(conn, run.id, payee).await?,
        territories: territories(conn, run.id, payee).await?,
    })
}

/// The first run of the newest earlier period that is in the ledger.
async fn previous(conn: &mut PgConnection, run: &Run) -> Result<Option<Run>, sqlx::Error> {
    let runs = run::list(conn, &RunFilter::default()).await?;
    Ok(runs
        .into_iter()
        .filter(|other| other.state.is_final() && other.period < run.period)
        .max_by_key(|other| (other.period, std::cmp::Reverse(other.revision))))
}

type Sums = BTreeMap<Kind, Decimal>;

async fn sums(conn: &mut PgConnection, run: Uuid, payee: i32) -> Result<Sums, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select kind as "kind!", sum(amount) as "amount!"
           from (select kind, amount from worker.royalty_shares where run_id = $1 and payee_id = $2
                 union all
                 select kind, amount from worker.royalty_steps where run_id = $1 and payee_id = $2) entry
           group by kind"#,
        run,
        payee,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((Kind::named(&row.kind)?, row.amount)))
        .collect())
}

fn payable(sums: &Sums) -> Result<Decimal, ComputeError> {
    sums.iter()
        .filter(|(kind, _)| **kind != Kind::ShareHeld)
        .try_fold(Decimal::ZERO, |sum, (_, amount)| added(sum, *amount))
}

async fn tracks(
    conn: &mut PgConnection,
    run: Uuid,
    payee: i32,
) -> Result<Vec<TrackLine>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.track_id, t.title, t.isrc, t.release_title, t.upc, s.usage_month, s.kind,
               s.percentage, s.amount, coalesce(l.streams, 0) as "streams!",
               coalesce(l.downloads, 0) as "downloads!", coalesce(l.revenue, 0) as "revenue!"
           from worker.royalty_shares s
           join worker.royalty_tracks t using (run_id, usage_month, track_id, split_version)
           left join lateral (
               select sum(streams)::bigint as streams, sum(downloads)::bigint as downloads, sum(revenue) as revenue
               from worker.royalty_lines l
               where l.run_id = s.run_id and l.usage_month = s.usage_month and l.track_id = s.track_id
                 and l.split_version = s.split_version
           ) l on true
           where s.run_id = $1 and s.payee_id = $2
           order by t.release_title nulls last, t.release_id, s.track_id, s.usage_month, s.split_version, s.kind"#,
        run,
        payee,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(TrackLine {
                track_id: row.track_id,
                title: row.title,
                isrc: row.isrc,
                release: row.release_title,
                upc: row.upc,
                month: Period::of(row.usage_month),
                kind: Kind::named(&row.kind)?,
                percentage: row.percentage,
                streams: row.streams,
                downloads: row.downloads,
                revenue: row.revenue,
                amount: row.amount,
            })
        })
        .collect())
}

async fn platforms(
    conn: &mut PgConnection,
    run: Uuid,
    payee: i32,
) -> Result<Vec<PartLine>, sqlx::Error> {
    sqlx::query_as!(
        PartLine,
        r#"with share as (
               select s.usage_month, s.track_id, s.split_version, sum(s.amount) as amount
               from worker.royalty_shares s where s.run_id = $1 and s.payee_id = $2
               group by s.usage_month, s.track_id, s.split_version
           ), line as (
               select l.platform_id, l.streams, l.downloads, l.revenue, s.amount,
                   sum(l.revenue) over (partition by l.usage_month, l.track_id, l.split_version) as whole
               from worker.royalty_lines l join share s using (usage_month, track_id, split_version)
               where l.run_id = $1
           )
           select coalesce(p.name, case when l.platform_id = 0 then 'unknown' else 'platform ' || l.platform_id end)
                   as "name!",
               sum(l.streams)::bigint as "streams!", sum(l.downloads)::bigint as "downloads!",
               round(coalesce(sum(l.revenue * l.amount / nullif(l.whole, 0)), 0), 8) as "amount!"
           from line l left join public.distribution_platforms p on p.id = l.platform_id
           group by 1 order by 4 desc, 1"#,
        run,
        payee,
    )
    .fetch_all(conn)
    .await
}

async fn territories(
    conn: &mut PgConnection,
    run: Uuid,
    payee: i32,
) -> Result<Vec<PartLine>, sqlx::Error> {
    sqlx::query_as!(
        PartLine,
        r#"with share as (
               select s.usage_month, s.track_id, s.split_version, sum(s.amount) as amount
               from worker.royalty_shares s where s.run_id = $1 and s.payee_id = $2
               group by s.usage_month, s.track_id, s.split_version
           ), line as (
               select l.territory, l.streams, l.downloads, l.revenue, s.amount,
                   sum(l.revenue) over (partition by l.usage_month, l.track_id, l.split_version) as whole
               from worker.royalty_lines l join share s using (usage_month, track_id, split_version)
               where l.run_id = $1
           )
           select territory as name, sum(streams)::bigint as "streams!", sum(downloads)::bigint as "downloads!",
               round(coalesce(sum(revenue * amount / nullif(whole, 0)), 0), 8) as "amount!"
           from line group by territory order by 4 desc, 1"#,
        run,
        payee,
    )
    .fetch_all(conn)
    .await
}
