//! A royalty run: its row, its states, what it comes to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{period::Period, settings::Settings, waterfall::Kind};

/// Where a run is. `Running → Pending → Final → Paid`; `Void` only from the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RoyaltyRunState)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum State {
    /// It is computed, or waits to be.
    Running,
    /// It is computed, for somebody to look at.
    Pending,
    /// It is in the ledger; nothing of it changes any more.
    Final,
    /// And all of its payees are paid.
    Paid,
    /// Called off before it was final.
    Void,
}

impl State {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Pending,
        Self::Final,
        Self::Paid,
        Self::Void,
    ];

    /// As it stands in the column `state`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Pending => "pending",
            Self::Final => "final",
            Self::Paid => "paid",
            Self::Void => "void",
        }
    }

    /// The state that a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether it is in the ledger.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Final | Self::Paid)
    }
}

/// What a run comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = RoyaltyTotals)]
pub struct Totals {
    /// Tracks that are settled, once per month of usage.
    pub tracks: u64,
    /// Tracks that are not, once per month of usage.
    pub set_aside: u64,
    /// Payees with an entry, the house included.
    pub payees: u64,
    /// Rows of `royalty_calculations`.
    pub calculations: u64,
    /// Streams of settled tracks.
    pub streams: i64,
    /// Downloads of settled tracks.
    pub downloads: i64,
    /// Revenue of settled tracks.
    pub revenue: Decimal,
    /// Of that, from usage that came late to a month which was final.
    pub late_revenue: Decimal,
    /// Revenue of tracks set aside.
    pub set_aside_revenue: Decimal,
    /// The sum of entries of each kind.
    pub kinds: BTreeMap<Kind, Decimal>,
    /// To be paid with this run.
    pub payable: Decimal,
}

/// How far a computation has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RoyaltyProgress)]
pub struct Progress {
    /// `usage`, `shares`, `payees`, `calculations`.
    pub phase: String,
    /// Of `total`.
    pub done: i64,
    /// Months, tracks, payees or rows.
    pub total: i64,
    /// When it was told last.
    pub updated_at: DateTime<Utc>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = RoyaltyRun)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// The month that is settled.
    pub period: Period,
    /// 1, or more for a correction.
    pub revision: i16,
    /// Where it is.
    pub state: State,
    /// The accounting currency.
    pub currency: String,
    /// What it is computed by.
    #[schema(value_type = Object)]
    pub rules: Settings,
    /// The job that computes it.
    pub job: Option<Uuid>,
    /// Why it could not be computed.
    pub fault: Option<String>,
    /// SHA-256 of what it read.
    pub input_digest: Option<String>,
    /// SHA-256 of what came of it.
    pub output_digest: Option<String>,
    /// The run that was made final last when this one read the balances.
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) based_on: Option<Uuid>,
    /// What it comes to, once computed.
    pub totals: Option<Totals>,
    /// While it is computed.
    pub progress: Option<Progress>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it read its input.
    pub input_at: Option<DateTime<Utc>>,
    /// When it was computed.
    pub computed_at: Option<DateTime<Utc>>,
    /// When it was made final.
    pub final_at: Option<DateTime<Utc>>,
    /// When its last payee was paid.
    pub paid_at: Option<DateTime<Utc>>,
    /// When it was called off.
    pub void_at: Option<DateTime<Utc>>,
}

impl Run {
    /// Its name for people: `2026-10`, `2026-10 revision 2`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.revision {
            1 => self.period.to_string(),
            revision => format!("{} revision {revision}", self.period),
        }
    }

    /// What somebody who decides about it has seen: another after it was computed anew.
    #[must_use]
    pub fn version(&self) -> String {
        let computed_us = self.computed_at.map_or(0, |at| at.timestamp_micros());
        let digest = self.output_digest.as_deref().unwrap_or_default();
        let digest = digest.get(..16).unwrap_or(digest);
        format!("{}-{computed_us}-{digest}", self.state.as_str())
    }

    /// Whether it is computed, and not void: then its payees have statements.
    pub(super) fn has_statements(&self) -> bool {
        self.state == State::Pending || self.state.is_final()
    }

    pub(super) fn is_revision(&self) -> bool {
        self.revision > 1
    }
}

/// Which runs to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFilter {
    /// Only this one.
    pub id: Option<Uuid>,
    /// Only those of this period.
    pub period: Option<Period>,
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those after this one in the list's order: its period, revision and id.
    pub after: Option<(Period, i16, Uuid)>,
    /// At most so many; `None`: all.
    pub limit: Option<i64>,
}

/// Runs, the newest period and revision first.
///
/// # Errors
/// The database's.
pub async fn list(conn: &mut PgConnection, filter: &RunFilter) -> Result<Vec<Run>, sqlx::Error> {
    let (after_period, after_revision, after_id) = match filter.after {
        Some((period, revision, id)) => (Some(period), Some(revision), Some(id)),
        None => (None, None, None),
    };
    let rows = sqlx::query!(
        r#"select r.id, r.period, r.revision, r.state as "state: State", r.currency,
               r.rules as "rules: Json<Settings>", r.job_id, r.fault, r.input_digest, r.output_digest,
               r.based_on, r.totals as "totals: Json<Totals>",
               r.created_at, r.input_at, r.computed_at, r.final_at, r.paid_at, r.void_at,
               p.phase as "phase?", p.done as "done?", p.total as "total?", p.updated_at as "updated_at?"
           from worker.royalty_runs r
           left join worker.royalty_progress p on p.run_id = r.id and r.state = 'running'
           where ($1::uuid is null or r.id = $1) and ($2::text is null or r.period = $2)
             and ($3::text is null or r.state = $3)
             and ($5::text is null or (r.period, r.revision, r.id) < ($5, $6::smallint, $7::uuid))
           order by r.period desc, r.revision desc, r.id desc limit $4"#,
        filter.id,
        filter.period.map(String::from),
        filter.state.map(State::as_str),
        filter.limit,
        after_period.map(String::from),
        after_revision,
        after_id,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let progress = match (row.phase, row.done, row.total, row.updated_at) {
                (Some(phase), Some(done), Some(total), Some(updated_at)) => Some(Progress {
                    phase,
                    done,
                    total,
                    updated_at,
                }),
                _ => None,
            };
            Ok(Run {
                id: row.id,
                period: row
                    .period
                    .parse()
                    .map_err(|error: super::period::InvalidPeriod| {
                        sqlx::Error::Decode(error.into())
                    })?,
                revision: row.revision,
                state: row.state,
                currency: row.currency,
                rules: row.rules.0,
                job: row.job_id,
                fault: row.fault,
                input_digest: row.input_digest,
                output_digest: row.output_digest,
                based_on: row.based_on,
                totals: row.totals.map(|totals| totals.0),
                progress,
                created_at: row.created_at,
                input_at: row.input_at,
                computed_at: row.computed_at,
                final_at: row.final_at,
                paid_at: row.paid_at,
                void_at: row.void_at,
            })
        })
        .collect()
}

/// One run.
///
/// # Errors
/// The database's.
pub async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Option<Run>, sqlx::Error> {
    let filter = RunFilter {
        id: Some(id),
        ..RunFilter::default()
    };
    Ok(list(conn, &filter).await?.pop())
}

/// The newest run of a period that is not void.
///
/// # Errors
/// The database's.
pub async fn newest(conn: &mut PgConnection, period: Period) -> Result<Option<Run>, sqlx::Error> {
    let filter = RunFilter {
        period: Some(period),
        ..RunFilter::default()
    };
    let runs = list(conn, &filter).await?;
    Ok(runs.into_iter().find(|run| run.state != State::Void))
}

/// A track that a run does not settle, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RoyaltyTrackSetAside)]
#[expect(missing_docs, reason = "the columns of worker.royalty_tracks")]
pub struct SetAsideTrack {
    pub track_id: i32,
    pub title: String,
    pub isrc: Option<String>,
    pub release_title: Option<String>,
    pub usage_month: Period,
    pub revenue: Decimal,
    pub code: String,
    pub why: String,
}

/// The tracks that a run does not settle, the dearest first: those after the revenue, month and id
/// of one, or from the beginning.
///
/// # Errors
/// The database's.
pub async fn set_aside(
    conn: &mut PgConnection,
    run: Uuid,
    after: Option<(Decimal, Period, i32)>,
    limit: i64,
) -> Result<Vec<SetAsideTrack>, sqlx::Error> {
    let (revenue, month, track) = match after {
        Some((revenue, month, track)) => (Some(revenue), Some(month.first_day()), Some(track)),
        None => (None, None, None),
    };
    let rows = sqlx::query!(
        r#"select usage_month, track_id, min(title) as "title!", min(isrc) as isrc,
               min(release_title) as release_title, sum(revenue) as "revenue!",
               min(set_aside) as "code!", min(set_aside_why) as "why!"
           from worker.royalty_tracks where run_id = $1 and set_aside is not null
           group by usage_month, track_id
           having $3::numeric is null or sum(revenue) < $3
               or (sum(revenue) = $3 and (usage_month, track_id) > ($4::date, $5::integer))
           order by sum(revenue) desc, usage_month, track_id limit $2"#,
        run,
        limit,
        revenue,
        month,
        track,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| SetAsideTrack {
            track_id: row.track_id,
            title: row.title,
            isrc: row.isrc,
            release_title: row.release_title,
            usage_month: Period::of(row.usage_month),
            revenue: row.revenue,
            code: row.code,
            why: row.why,
        })
        .collect())
}
