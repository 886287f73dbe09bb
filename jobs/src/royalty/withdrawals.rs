//! Withdrawals: the web application's requests for money, checked against the ledger. One that is
//! completed is posted once, in the accounting currency.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgConnection;

use super::settings::Settings;

/// A withdrawal and what there is for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Withdrawal {
    /// `withdrawals.id`.
    pub id: i32,
    /// `withdrawals.user_id`.
    pub payee: i32,
    /// What was asked for.
    pub amount: Decimal,
    /// In which currency.
    pub currency: String,
    /// `withdrawals.status`, in lower case.
    pub status: String,
    /// Whether the ledger has it.
    pub is_posted: bool,
    /// What the payee has to be paid, debts taken off, before what this and the open requests
    /// before it ask for.
    pub available: Decimal,
    /// `beyond_balance`, `other_currency`, or nothing.
    pub problem: Option<String>,
}

/// All withdrawals that are open, or have a problem, in the order in which they were asked for.
///
/// # Errors
/// The database's.
pub async fn list(
    conn: &mut PgConnection,
    settings: &Settings,
) -> Result<Vec<Withdrawal>, sqlx::Error> {
    sqlx::query_as!(
        Withdrawal,
        r#"with asked as (
               select w.id, w.user_id, w.amount, upper(coalesce(w.currency, 'USD')) as currency,
                   lower(btrim(coalesce(w.status, 'pending'))) as status, l.id is not null as is_posted
               from public.withdrawals w
               left join worker.ledger_entries l
                   on l.payee_id = w.user_id and l.kind = 'withdrawal' and l.reference = w.id::text
           ), balance as (
               select payee_id, sum(amount) filter (where kind <> 'share_held')
                   + least(0, coalesce(-sum(amount) filter (where kind in ('carried_in', 'carried_out')), 0)) as payable
               from worker.ledger_entries
               where payee_id in (select user_id from asked)
               group by payee_id
           ), standing as (
               select a.*, coalesce(b.payable, 0) - coalesce(sum(a.amount) filter (
                       where not a.is_posted and a.currency = $1
                         and a.status in ('pending', 'processing', 'approved', 'completed', 'paid'))
                   over (partition by a.user_id order by a.id
                         rows between unbounded preceding and 1 preceding), 0) as available
               from asked a left join balance b on b.payee_id = a.user_id
           ), judged as (
               select s.*, case
                   when s.status in ('pending', 'processing', 'approved', 'completed', 'paid') and s.currency <> $1
                       then 'other_currency'
                   when s.is_posted and s.available < 0
                     or not s.is_posted and s.status in ('pending', 'processing', 'approved', 'completed', 'paid')
                        and s.amount > s.available then 'beyond_balance' end as problem
               from standing s
           )
           select id as "id!", user_id as "payee!", amount as "amount!", currency as "currency!",
               status as "status!", is_posted as "is_posted!", available as "available!", problem
           from judged
           where problem is not null or status in ('pending', 'processing', 'approved')
           order by id"#,
        String::from(settings.currency),
    )
    .fetch_all(conn)
    .await
}

/// Posts completed withdrawals that the ledger does not have. The money is gone, so one beyond the
/// balance is posted too, and leaves the balance below zero. The answer is their number.
///
/// # Errors
/// The database's.
pub async fn post(
    conn: &mut PgConnection,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let posted = sqlx::query!(
        r#"insert into worker.ledger_entries (payee_id, kind, reference, amount, currency, posted_at)
           select user_id, 'withdrawal', id::text, -amount, $1, $2
           from public.withdrawals
           where lower(btrim(status)) in ('completed', 'paid') and upper(coalesce(currency, 'USD')) = $1
             and not exists (select from worker.ledger_entries l
                             where l.payee_id = user_id and l.kind = 'withdrawal' and l.reference = withdrawals.id::text)
           on conflict do nothing"#,
        String::from(settings.currency),
        now,
    )
    .execute(&mut *conn)
    .await?
    .rows_affected();
    for one in list(conn, settings).await? {
        if let Some(problem) = &one.problem {
            tracing::warn!(
                withdrawal = one.id,
                royalty.payee = one.payee,
                problem,
                status = one.status,
                "a withdrawal does not fit the ledger; `royalties withdrawals` shows it"
            );
        }
    }
    Ok(posted)
}
