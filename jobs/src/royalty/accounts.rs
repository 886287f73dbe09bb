//! What decides a payee's payments beside the usage: advances and costs, and terms of their own.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::money::SCALE;
use crate::{
    audit::{self, By, Change},
    database::storable,
};

/// Why something is not noted. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no such user.
    #[error("there is no user {0}")]
    NoUser(i32),
    /// There is no such release or track.
    #[error("there is no {0}")]
    NoScope(String),
    /// The amount cannot be.
    #[error("the amount must be above zero, with at most {SCALE} digits after the point")]
    Amount,
    /// The percentage cannot be.
    #[error("{0} must be from 0 to 100")]
    Percent(&'static str),
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// An advance or a cost, to be recouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCharge<'a> {
    /// From whom.
    pub payee: i32,
    /// A cost, and not an advance.
    pub is_cost: bool,
    /// Only from this release's earnings.
    pub release: Option<i32>,
    /// Only from this track's earnings.
    pub track: Option<i32>,
    /// How much.
    pub amount: Decimal,
    /// What for.
    pub description: &'a str,
}

/// A row of `worker.charges`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns of worker.charges")]
pub struct ChargeRow {
    pub id: i64,
    pub payee_id: i32,
    pub kind: String,
    pub release_id: Option<i32>,
    pub track_id: Option<i32>,
    pub amount: Decimal,
    pub recouped: Decimal,
    pub description: String,
    pub created_at: DateTime<Utc>,
}

/// Notes an advance or a cost. The next run that is computed recoups it. The answer is its id.
///
/// # Errors
/// [`AccountError`].
pub async fn add_charge(
    pool: &PgPool,
    charge: &NewCharge<'_>,
    by: &By,
    now: DateTime<Utc>,
) -> Result<i64, AccountError> {
    let is_amount = charge.amount > Decimal::ZERO && charge.amount.normalize().scale() <= SCALE;
    if !is_amount {
        return Err(AccountError::Amount);
    }
    let mut tx = pool.begin().await?;
    need_user(&mut tx, charge.payee).await?;
    let there = sqlx::query!(
        r#"select ($1::integer is null or exists (select from public.releases where id = $1)) as "release!",
               ($2::integer is null or exists (select from public.tracks where id = $2)) as "track!""#,
        charge.release,
        charge.track,
    )
    .fetch_one(&mut *tx)
    .await?;
    if !there.release {
        return Err(AccountError::NoScope(format!(
            "release {}",
            charge.release.unwrap_or_default()
        )));
    }
    if !there.track {
        return Err(AccountError::NoScope(format!(
            "track {}",
            charge.track.unwrap_or_default()
        )));
    }
    let kind = if charge.is_cost { "cost" } else { "advance" };
    let description = storable(charge.description);
    let id = sqlx::query_scalar!(
        r#"insert into worker.charges (payee_id, kind, release_id, track_id, amount, description, created_at)
           values ($1, $2, $3, $4, $5, $6, $7) returning id"#,
        charge.payee,
        kind,
        charge.release,
        charge.track,
        charge.amount,
        description.as_ref(),
        now,
    )
    .fetch_one(&mut *tx)
    .await?;
    let change = Change {
        action: "royalty_charge.add",
        object_kind: "royalty_charge",
        object_id: id.to_string(),
        before: None,
        after: Some(
            json!({"payee": charge.payee, "kind": kind, "amount": charge.amount,
                           "release": charge.release, "track": charge.track}),
        ),
    };
    audit::record(&mut tx, by, &change, now).await?;
    tx.commit().await?;
    Ok(id)
}

/// Advances and costs: all, or a payee's.
///
/// # Errors
/// The database's.
pub async fn charges(
    conn: &mut PgConnection,
    payee: Option<i32>,
) -> Result<Vec<ChargeRow>, sqlx::Error> {
    sqlx::query_as!(
        ChargeRow,
        r#"select id, payee_id, kind, release_id, track_id, amount, recouped, description, created_at
           from worker.charges where $1::integer is null or payee_id = $1 order by payee_id, id"#,
        payee,
    )
    .fetch_all(conn)
    .await
}

/// A payee's own terms; `None`: what is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PayeeTerms {
    /// Percent kept back.
    pub reserve_percent: Option<Decimal>,
    /// Percent withheld.
    pub withholding_percent: Option<Decimal>,
    /// The least that is paid.
    pub minimum_payout: Option<Decimal>,
}

/// Sets a payee's own terms, in place of those before. They count from the next computation on.
///
/// # Errors
/// [`AccountError`].
pub async fn set_terms(
    pool: &PgPool,
    payee: i32,
    terms: &PayeeTerms,
    by: &By,
    now: DateTime<Utc>,
) -> Result<(), AccountError> {
    for (name, percent) in [
        ("the reserve", terms.reserve_percent),
        ("the withholding", terms.withholding_percent),
    ] {
        if percent.is_some_and(|percent| !super::settings::is_percent(percent)) {
            return Err(AccountError::Percent(name));
        }
    }
    if terms
        .minimum_payout
        .is_some_and(|minimum| minimum.is_sign_negative())
    {
        return Err(AccountError::Amount);
    }
    let mut tx = pool.begin().await?;
    need_user(&mut tx, payee).await?;
    let before = self::terms(&mut tx, payee).await?;
    sqlx::query!(
        r#"insert into worker.payee_terms (payee_id, reserve_percent, withholding_percent, minimum_payout, updated_at)
           values ($1, $2, $3, $4, $5)
           on conflict (payee_id) do update
               set reserve_percent = $2, withholding_percent = $3, minimum_payout = $4, updated_at = $5"#,
        payee,
        terms.reserve_percent,
        terms.withholding_percent,
        terms.minimum_payout,
        now,
    )
    .execute(&mut *tx)
    .await?;
    let change = Change {
        action: "royalty_terms.set",
        object_kind: "payee",
        object_id: payee.to_string(),
        before: Some(json!(before)),
        after: Some(json!(terms)),
    };
    audit::record(&mut tx, by, &change, now).await?;
    tx.commit().await?;
    Ok(())
}

/// A payee's own terms.
///
/// # Errors
/// The database's.
pub async fn terms(conn: &mut PgConnection, payee: i32) -> Result<PayeeTerms, sqlx::Error> {
    let row = sqlx::query_as!(
        PayeeTerms,
        r#"select reserve_percent, withholding_percent, minimum_payout
           from worker.payee_terms where payee_id = $1"#,
        payee,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.unwrap_or_default())
}

async fn need_user(conn: &mut PgConnection, user: i32) -> Result<(), AccountError> {
    let there = sqlx::query_scalar!(
        r#"select exists (select from public.users where id = $1) as "there!""#,
        user,
    )
    .fetch_one(conn)
    .await?;
    if there {
        Ok(())
    } else {
        Err(AccountError::NoUser(user))
    }
}
