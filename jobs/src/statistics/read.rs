//! Reading `daily_stats`.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::{PgPool, types::Json};

use super::{Breakdown, Range, Trend};

/// A row of `daily_stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns of daily_stats")]
pub struct Day {
    pub id: i32,
    pub user_id: i32,
    pub date: NaiveDate,
    pub total_streams: Option<i32>,
    pub total_revenue: Option<Decimal>,
    pub platform_breakdown: Breakdown,
    pub territory_breakdown: Breakdown,
    pub track_performance: Breakdown,
    pub release_performance: Breakdown,
    pub trend_data: Trend,
}

/// A row that the worker did not write, or that somebody changed.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableDay {
    /// Its JSON is of another form.
    #[error(
        "daily_stats of user {user_id} on {date} are not of the worker's form: {error}; have the day \
         written again: `tunemantra-worker stats rebuild --from {date} --to {date}`"
    )]
    Form {
        /// The user.
        user_id: i32,
        /// The day.
        date: NaiveDate,
        /// What does not fit.
        error: serde_json::Error,
    },
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// A user's rows of a range of days, in their order.
///
/// # Errors
/// [`UnreadableDay`].
pub async fn days(pool: &PgPool, user: i32, range: Range) -> Result<Vec<Day>, UnreadableDay> {
    let rows = sqlx::query!(
        r#"select id, user_id, date, total_streams, total_revenue,
               jsonb_build_object('platform', platform_breakdown, 'territory', territory_breakdown,
                   'track', track_performance, 'release', release_performance, 'trend', trend_data)
                   as "documents!: Json<serde_json::Value>"
           from public.daily_stats
           where user_id = $1 and date between $2 and $3
           order by date, id"#,
        user,
        range.first,
        range.last,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let unreadable = |error| UnreadableDay::Form {
                user_id: row.user_id,
                date: row.date,
                error,
            };
            let documents: Documents =
                serde_json::from_value(row.documents.0).map_err(unreadable)?;
            Ok(Day {
                id: row.id,
                user_id: row.user_id,
                date: row.date,
                total_streams: row.total_streams,
                total_revenue: row.total_revenue,
                platform_breakdown: documents.platform,
                territory_breakdown: documents.territory,
                track_performance: documents.track,
                release_performance: documents.release,
                trend_data: documents.trend,
            })
        })
        .collect()
}

#[derive(serde::Deserialize)]
struct Documents {
    platform: Breakdown,
    territory: Breakdown,
    track: Breakdown,
    release: Breakdown,
    trend: Trend,
}
