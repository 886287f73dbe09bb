//! The ledger: posting a final run, paying it, balances. Entries are added and never changed.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{compute::ComputeError, run::Run};

/// Posts what a run comes to, and moves charges and reserves on.
pub(super) async fn post(
    conn: &mut PgConnection,
    run: &Run,
    now: DateTime<Utc>,
) -> Result<(), ComputeError> {
    let posted = sqlx::query_scalar!(
        r#"with posted as (
               insert into worker.ledger_entries
                   (run_id, payee_id, usage_month, track_id, split_version, kind, amount, currency, posted_at)
               select run_id, payee_id, usage_month, track_id, split_version, kind, amount, $2, $3
               from worker.royalty_shares where run_id = $1
               returning amount
           )
           select coalesce(sum(amount), 0) as "sum!" from posted"#,
        run.id,
        run.currency,
        now,
    )
    .fetch_one(&mut *conn)
    .await?;
    let revenue = run
        .totals
        .as_ref()
        .map_or(Decimal::ZERO, |totals| totals.revenue);
    if posted != revenue {
        return Err(ComputeError::DoesNotAddUp {
            what: "the ledger's entries",
            is: posted,
            should_be: revenue,
        });
    }
    sqlx::query!(
        r#"insert into worker.ledger_entries (run_id, payee_id, kind, reference, amount, currency, posted_at)
           select run_id, payee_id, kind, reference, amount, $2, $3 from worker.royalty_steps where run_id = $1"#,
        run.id,
        run.currency,
        now,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"update worker.charges c set recouped = c.recouped - s.amount
           from worker.royalty_steps s
           where s.run_id = $1 and s.kind in ('advance', 'cost') and c.id = s.reference::bigint"#,
        run.id,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"update worker.reserves r set released = r.released + s.amount
           from worker.royalty_steps s
           where s.run_id = $1 and s.kind = 'reserve_released' and r.id = s.reference::bigint"#,
        run.id,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"insert into worker.reserves (payee_id, run_id, amount, release_period)
           select payee_id, run_id, -amount, $2 from worker.royalty_steps
           where run_id = $1 and kind = 'reserve'"#,
        run.id,
        String::from(run.period.later(run.rules.reserve_months)),
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"insert into worker.royalty_payments (run_id, payee_id, payable)
           select $1, payee_id, sum(amount)
           from (select payee_id, amount from worker.royalty_shares where run_id = $1 and kind <> 'share_held'
                 union all
                 select payee_id, amount from worker.royalty_steps where run_id = $1) entry
           where payee_id <> 0
           group by payee_id having sum(amount) > 0"#,
        run.id,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A payment of a run to a payee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RoyaltyPayment)]
pub struct Payment {
    /// To whom.
    pub payee: i32,
    /// What the run owed.
    pub payable: Decimal,
    /// What was posted as paid: less than `payable` where withdrawals had taken of it.
    pub paid: Decimal,
}

/// Marks payments of a run as made and posts them. What was withdrawn before is not paid again.
pub(super) async fn pay(
    conn: &mut PgConnection,
    run: &Run,
    payee: Option<i32>,
    reference: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Vec<Payment>, sqlx::Error> {
    sqlx::query_as!(
        Payment,
        r#"with due as (
               update worker.royalty_payments set paid_at = $3, reference = $4
               where run_id = $1 and paid_at is null and ($2::integer is null or payee_id = $2)
               returning payee_id, payable
           ), amount as (
               select d.payee_id, d.payable, greatest(0, least(d.payable, (
                   select sum(l.amount) from worker.ledger_entries l
                   where l.payee_id = d.payee_id and l.kind <> 'share_held'))) as paid
               from due d
           ), posted as (
               insert into worker.ledger_entries (run_id, payee_id, kind, amount, currency, posted_at)
               select $1, payee_id, 'payout', -paid, $5, $3 from amount where paid > 0
           )
           select payee_id as "payee!", payable as "payable!", paid as "paid!" from amount order by payee_id"#,
        run.id,
        payee,
        now,
        reference,
        run.currency,
    )
    .fetch_all(conn)
    .await
}

/// Whether a payee is to be paid with a run, or was.
pub(super) async fn is_due(
    conn: &mut PgConnection,
    run: Uuid,
    payee: i32,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from worker.royalty_payments where run_id = $1 and payee_id = $2) as "is_due!""#,
        run,
        payee,
    )
    .fetch_one(conn)
    .await
}

/// What a payee has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Balance {
    /// Who.
    pub payee: i32,
    /// `users.full_name`; none: the user is gone.
    pub name: Option<String>,
    /// Of final runs, minus what was paid and withdrawn.
    pub payable: Decimal,
    /// Below the minimum, or a debt.
    pub carried: Decimal,
    /// Shares that are not agreed yet.
    pub held: Decimal,
    /// Kept back for a time.
    pub reserved: Decimal,
    /// Advances and costs that are not recouped yet.
    pub unrecouped: Decimal,
    /// Paid and withdrawn so far.
    pub paid: Decimal,
    /// Asked for by withdrawals that are not completed.
    pub requested: Decimal,
}

/// Whose balances to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct BalanceFilter {
    /// Only this payee's.
    pub payee: Option<i32>,
    /// Only those of payees with a higher id.
    pub after: Option<i32>,
    /// At most so many; `None`: all.
    pub limit: Option<i64>,
}

/// What payees have, from the ledger, in the order of their ids.
///
/// # Errors
/// The database's.
pub async fn balances(
    conn: &mut PgConnection,
    filter: &BalanceFilter,
) -> Result<Vec<Balance>, sqlx::Error> {
    sqlx::query_as!(
        Balance,
        r#"with entry as (
               select payee_id,
                   coalesce(sum(amount) filter (where kind <> 'share_held'), 0) as payable,
                   coalesce(-sum(amount) filter (where kind in ('carried_in', 'carried_out')), 0) as carried,
                   coalesce(sum(case kind when 'share_held' then amount when 'held_released' then -amount end), 0) as held,
                   coalesce(-sum(amount) filter (where kind in ('payout', 'withdrawal')), 0) as paid
               from worker.ledger_entries
               where payee_id <> 0 and ($1::integer is null or payee_id = $1)
               group by payee_id
           ), charge as (
               select payee_id, sum(amount - recouped) as unrecouped from worker.charges group by payee_id
           ), reserve as (
               select payee_id, sum(amount - released) as reserved from worker.reserves group by payee_id
           ), asked as (
               select user_id as payee_id, sum(amount) as requested from public.withdrawals
               where lower(coalesce(status, 'pending')) in ('pending', 'processing', 'approved')
               group by user_id
           )
           select payee_id as "payee!", u.full_name as "name?", coalesce(e.payable, 0) as "payable!",
               coalesce(e.carried, 0) as "carried!", coalesce(e.held, 0) as "held!",
               coalesce(r.reserved, 0) as "reserved!", coalesce(c.unrecouped, 0) as "unrecouped!",
               coalesce(e.paid, 0) as "paid!", coalesce(a.requested, 0) as "requested!"
           from entry e
           full join charge c using (payee_id)
           full join reserve r using (payee_id)
           full join asked a using (payee_id)
           left join public.users u on u.id = payee_id
           where ($1::integer is null or payee_id = $1) and ($2::integer is null or payee_id > $2)
           order by payee_id limit $3"#,
        filter.payee,
        filter.after,
        filter.limit,
    )
    .fetch_all(conn)
    .await
}
