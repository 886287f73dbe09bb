//! From what a payee earned in a run to what is paid: what was carried from before, what is recouped,
//! kept back and withheld, and what is carried forward. The rule is [`steps`], a pure function.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    compute::{ComputeError, Digests, Meter, added},
    money,
    period::Period,
    run::{Run, Totals},
    waterfall::{HOUSE, Kind, part_of},
};

/// Payees in memory at once.
const BATCH: usize = 2000;

/// An advance or a cost that is not recouped yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// `worker.charges.id`.
    pub id: i64,
    /// [`Kind::Advance`] or [`Kind::Cost`].
    pub kind: Kind,
    /// What is left of it.
    pub open: Decimal,
    /// From what it is recouped.
    pub scope: Scope,
    /// What the payee earned in this run within the scope.
    pub earned: Decimal,
}

/// From whose earnings a charge is recouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All of them.
    All,
    /// A release's.
    Release(i32),
    /// A track's.
    Track(i32),
}

/// What decides what a payee is paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Agreed shares, remainders and cuts of this run.
    pub earned: Decimal,
    /// Carried forward by the run before; below zero: a debt.
    pub carried_in: Decimal,
    /// Shares of earlier runs that were held and have been agreed since: track and amount.
    pub held_released: Vec<(i32, Decimal)>,
    /// Reserves whose time has come: id and amount.
    pub reserves_due: Vec<(i64, Decimal)>,
    /// What is to be recouped, in that order.
    pub charges: Vec<Charge>,
    /// Percent of what is left of the earnings that is kept back.
    pub reserve_percent: Decimal,
    /// Percent withheld for taxes of what this run adds to what is payable.
    pub withholding_percent: Decimal,
    /// The least that is paid.
    pub minimum_payout: Decimal,
}

/// One step, with what it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub kind: Kind,
    /// The id of the charge or reserve; otherwise empty.
    pub reference: String,
    /// What it adds; below zero: takes.
    pub amount: Decimal,
}

/// The steps from earnings to what is payable, which is the sum of `earned` and all of them. Nothing
/// is recouped, kept back or withheld of what is not there; a debt is carried forward.
///
/// # Errors
/// The sums have more digits than are computed with.
pub fn steps(account: &Account) -> Result<Vec<Step>, ComputeError> {
    let mut steps = Vec::new();
    let mut add = |kind, reference: String, amount: Decimal| {
        if !amount.is_zero() {
            steps.push(Step {
                kind,
                reference,
                amount,
            });
        }
    };
    add(Kind::CarriedIn, String::new(), account.carried_in);
    let mut fresh = account.earned;
    for (track, amount) in &account.held_released {
        add(Kind::HeldReleased, track.to_string(), *amount);
        fresh = added(fresh, *amount)?;
    }
    let mut released = Decimal::ZERO;
    for (id, amount) in &account.reserves_due {
        add(Kind::ReserveReleased, id.to_string(), *amount);
        released = added(released, *amount)?;
    }
    let mut used: BTreeMap<Scope, Decimal> = BTreeMap::new();
    for charge in &account.charges {
        let used = used.entry(charge.scope).or_default();
        let within = match charge.scope {
            Scope::All => fresh,
            Scope::Release(_) | Scope::Track(_) => added(charge.earned, -*used)?,
        };
        let recouped = charge.open.min(within).min(fresh).max(Decimal::ZERO);
        *used = added(*used, recouped)?;
        add(charge.kind, charge.id.to_string(), -recouped);
        fresh = added(fresh, -recouped)?;
    }
    let percent_of = |amount: Decimal, percent| {
        part_of(amount.max(Decimal::ZERO), percent)
            .map(money::round)
            .map_err(|_| ComputeError::TooLarge)
    };
    let reserve = percent_of(fresh, account.reserve_percent)?;
    add(Kind::Reserve, String::new(), -reserve);
    fresh = added(added(fresh, -reserve)?, released)?;
    let withheld = percent_of(fresh, account.withholding_percent)?;
    add(Kind::Withholding, String::new(), -withheld);
    let payable = added(added(fresh, -withheld)?, account.carried_in)?;
    if payable < account.minimum_payout || payable.is_sign_negative() {
        add(Kind::CarriedOut, String::new(), -payable);
    }
    Ok(steps)
}

/// Computes and stores the steps of all payees of a run that was just shared out. The answer is the
/// run that was made final last: the balances are as it left them.
pub(super) async fn settle(
    conn: &mut PgConnection,
    run: &Run,
    digests: &mut Digests,
    totals: &mut Totals,
    meter: &mut Meter<'_>,
) -> Result<Option<Uuid>, ComputeError> {
    sqlx::query!("delete from worker.royalty_steps where run_id = $1", run.id)
        .execute(&mut *conn)
        .await?;
    sqlx::query!("analyze worker.royalty_shares")
        .execute(&mut *conn)
        .await?;
    let based_on = last_final(conn).await?;
    let payees = payees(conn, run).await?;
    let all = i64::try_from(payees.len()).unwrap_or(i64::MAX);
    totals.payees = u64::try_from(all).unwrap_or_default();
    for (batch, done) in payees.chunks(BATCH).zip((0..).step_by(BATCH)) {
        meter.tell("payees", done, all).await?;
        let accounts = accounts(conn, run, batch).await?;
        settle_batch(conn, run, &accounts, digests, totals).await?;
    }
    Ok(based_on)
}

/// Who earns in the run, or has something carried, held or kept back, in order.
async fn payees(conn: &mut PgConnection, run: &Run) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select payee_id as "payee_id!" from worker.royalty_shares where run_id = $1
           union
           select payee_id from worker.ledger_entries
           where kind in ('carried_in', 'carried_out', 'share_held', 'held_released')
           union
           select payee_id from worker.reserves where released < amount
           order by 1"#,
        run.id,
    )
    .fetch_all(conn)
    .await
}

async fn settle_batch(
    conn: &mut PgConnection,
    run: &Run,
    accounts: &[(i32, Account)],
    digests: &mut Digests,
    totals: &mut Totals,
) -> Result<(), ComputeError> {
    let (mut payees, mut kinds) = (Vec::new(), Vec::new());
    let (mut references, mut amounts) = (Vec::new(), Vec::new());
    for (payee, account) in accounts {
        let mut payable = account.earned;
        for step in steps(account)? {
            digests.wrote(&format!(
                "{payee}|{}|{}|{}\n",
                step.kind.as_str(),
                step.reference,
                step.amount.normalize()
            ));
            let sum = totals.kinds.entry(step.kind).or_default();
            *sum = added(*sum, step.amount)?;
            payable = added(payable, step.amount)?;
            payees.push(*payee);
            kinds.push(step.kind.as_str());
            references.push(step.reference);
            amounts.push(step.amount);
        }
        if *payee != HOUSE {
            totals.payable = added(totals.payable, payable)?;
        }
    }
    sqlx::query!(
        r#"insert into worker.royalty_steps (run_id, payee_id, kind, reference, amount)
           select $1, * from unnest($2::integer[], $3::text[], $4::text[], $5::numeric[])"#,
        run.id,
        &payees,
        &kinds as _,
        &references,
        &amounts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The run that was made final last.
pub(super) async fn last_final(conn: &mut PgConnection) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from worker.royalty_runs where final_at is not null order by final_at desc, id desc limit 1"
    )
    .fetch_optional(conn)
    .await
}

/// What decides what these payees are paid.
async fn accounts(
    conn: &mut PgConnection,
    run: &Run,
    payees: &[i32],
) -> Result<Vec<(i32, Account)>, ComputeError> {
    let rows = sqlx::query!(
        r#"select p.payee_id as "payee_id!",
               coalesce((select sum(s.amount) from worker.royalty_shares s
                         where s.run_id = $1 and s.payee_id = p.payee_id and s.kind <> 'share_held'), 0)
                   as "earned!",
               coalesce((select -sum(l.amount) from worker.ledger_entries l
                         where l.payee_id = p.payee_id and l.kind in ('carried_in', 'carried_out')), 0)
                   as "carried_in!",
               t.reserve_percent as "reserve_percent?", t.withholding_percent as "withholding_percent?",
               t.minimum_payout as "minimum_payout?"
           from unnest($2::integer[]) as p (payee_id)
           left join worker.payee_terms t using (payee_id)
           order by p.payee_id"#,
        run.id,
        payees,
    )
    .fetch_all(&mut *conn)
    .await?;
    let details = Details::read(conn, run, payees).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let rules = &run.rules;
            let is_house = row.payee_id == HOUSE;
            let or = |own: Option<Decimal>, rule| match is_house {
                true => Decimal::ZERO,
                false => own.unwrap_or(rule),
            };
            let account = Account {
                earned: row.earned,
                carried_in: row.carried_in,
                held_released: details.held(row.payee_id),
                reserves_due: details.reserves(row.payee_id),
                charges: details.charges(row.payee_id),
                reserve_percent: or(row.reserve_percent, rules.reserve_percent),
                withholding_percent: or(row.withholding_percent, rules.withholding_percent),
                minimum_payout: or(row.minimum_payout, rules.minimum_payout),
            };
            (row.payee_id, account)
        })
        .collect())
}

/// What few payees of a batch have.
struct Details {
    held: Vec<(i32, i32, Decimal)>,
    reserves: Vec<(i32, i64, Decimal)>,
    charges: Vec<(i32, Charge)>,
}

impl Details {
    async fn read(
        conn: &mut PgConnection,
        run: &Run,
        payees: &[i32],
    ) -> Result<Self, ComputeError> {
        Ok(Self {
            held: held(conn, run, payees).await?,
            reserves: reserves(conn, run.period, payees).await?,
            charges: charges(conn, run, payees).await?,
        })
    }

    fn held(&self, payee: i32) -> Vec<(i32, Decimal)> {
        let held = self.held.iter().filter(|(of, ..)| *of == payee);
        held.map(|(_, track, amount)| (*track, *amount)).collect()
    }

    fn reserves(&self, payee: i32) -> Vec<(i64, Decimal)> {
        let due = self.reserves.iter().filter(|(of, ..)| *of == payee);
        due.map(|(_, id, amount)| (*id, *amount)).collect()
    }

    fn charges(&self, payee: i32) -> Vec<Charge> {
        let open = self.charges.iter().filter(|(of, _)| *of == payee);
        open.map(|(_, charge)| charge.clone()).collect()
    }
}

/// What was held for payees on tracks where they have an agreed share by now, and was not given yet.
async fn held(
    conn: &mut PgConnection,
    run: &Run,
    payees: &[i32],
) -> Result<Vec<(i32, i32, Decimal)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select h.payee_id, h.track_id as "track_id!", h.amount as "amount!"
           from (
               select payee_id, coalesce(track_id, reference::integer) as track_id,
                   sum(case when kind = 'held_released' then -amount else amount end) as amount
               from worker.ledger_entries
               where payee_id = any ($1) and kind in ('share_held', 'held_released')
               group by 1, 2
           ) h
           where h.amount <> 0 and exists (
               select from public.revenue_shares s
               left join public.tracks t on t.id = h.track_id
               where s.user_id = h.payee_id and (s.track_id = h.track_id or s.release_id = t.release_id)
                 and coalesce(s.split_type, 'royalty') = 'royalty' and lower(btrim(s.status)) = any ($2))
           order by h.payee_id, h.track_id"#,
        payees,
        &run.rules.agreed_statuses,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.payee_id, row.track_id, row.amount))
        .collect())
}

async fn reserves(
    conn: &mut PgConnection,
    period: Period,
    payees: &[i32],
) -> Result<Vec<(i32, i64, Decimal)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select payee_id, id, amount - released as "open!" from worker.reserves
           where payee_id = any ($1) and released < amount and release_period <= $2 order by id"#,
        payees,
        String::from(period),
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.payee_id, row.id, row.open))
        .collect())
}

async fn charges(
    conn: &mut PgConnection,
    run: &Run,
    payees: &[i32],
) -> Result<Vec<(i32, Charge)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select c.id, c.payee_id, c.kind, c.release_id, c.track_id, c.amount - c.recouped as "open!",
               case when c.release_id is not null or c.track_id is not null then coalesce((
                   select sum(s.amount) from worker.royalty_shares s
                   join worker.royalty_tracks t using (run_id, usage_month, track_id, split_version)
                   where s.run_id = $1 and s.payee_id = c.payee_id and s.kind <> 'share_held'
                     and (t.track_id = c.track_id or t.release_id = c.release_id)), 0)
                    else 0 end as "earned!"
           from worker.charges c
           where c.payee_id = any ($2) and c.recouped < c.amount
           order by c.payee_id, c.id"#,
        run.id,
        payees,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let charge = Charge {
                id: row.id,
                kind: if row.kind == "advance" {
                    Kind::Advance
                } else {
                    Kind::Cost
                },
                open: row.open,
                scope: match (row.track_id, row.release_id) {
                    (Some(track), _) => Scope::Track(track),
                    (None, Some(release)) => Scope::Release(release),
                    (None, None) => Scope::All,
                },
                earned: row.earned,
            };
            (row.payee_id, charge)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn words(account: &Account) -> Vec<String> {
        let steps = steps(account).unwrap();
        steps
            .iter()
            .map(|step| format!("{} {} {}", step.kind.as_str(), step.reference, step.amount))
            .collect()
    }

    #[test]
    fn each_step_is_taken_from_what_the_one_before_left() {
        let account = Account {
            earned: number("1000"),
            carried_in: number("5"),
            held_released: vec![(9, number("10"))],
            reserves_due: vec![(3, number("40"))],
            charges: vec![
                Charge {
                    id: 1,
                    kind: Kind::Advance,
                    open: number("500"),
                    scope: Scope::Release(2),
                    earned: number("110"),
                },
                Charge {
                    id: 2,
                    kind: Kind::Cost,
                    open: number("100"),
                    scope: Scope::All,
                    earned: Decimal::ZERO,
                },
            ],
            reserve_percent: Decimal::TEN,
            withholding_percent: Decimal::from(25),
            minimum_payout: number("50"),
        };
        assert_eq!(
            words(&account),
            [
                "carried_in  5",
                "held_released 9 10",
                "reserve_released 3 40",
                "advance 1 -110",
                "cost 2 -100",
                "reserve  -80",
                "withholding  -190",
            ]
        );
    }

    #[test]
    fn too_little_and_a_debt_are_carried_forward() {
        let account = Account {
            earned: number("12"),
            carried_in: number("-2"),
            minimum_payout: number("10.0001"),
            ..Account::default()
        };
        assert_eq!(words(&account), ["carried_in  -2", "carried_out  -10"]);
        let debt = Account {
            earned: number("-3"),
            reserve_percent: Decimal::TEN,
            withholding_percent: Decimal::TEN,
            ..Account::default()
        };
        assert_eq!(words(&debt), ["carried_out  3"]);
    }

    #[test]
    fn two_charges_on_one_release_share_its_earnings() {
        let charge = |id| Charge {
            id,
            kind: Kind::Advance,
            open: number("80"),
            scope: Scope::Release(2),
            earned: number("100"),
        };
        let account = Account {
            earned: number("300"),
            charges: vec![charge(1), charge(2)],
            ..Account::default()
        };
        assert_eq!(words(&account), ["advance 1 -80", "advance 2 -20"]);
    }

    proptest! {
        #[test]
        fn nobody_is_paid_less_than_nothing_and_nothing_gets_lost(
            earned in -1_000_000i64..1_000_000,
            carried in -1_000_000i64..1_000_000,
            open in 0i64..1_000_000,
            reserve in 0i64..=100,
            withholding in 0i64..=100,
            minimum in 0i64..1_000_000,
        ) {
            let units = |units| Decimal::new(units, money::SCALE);
            let account = Account {
                earned: units(earned),
                carried_in: units(carried),
                charges: vec![Charge { id: 1, kind: Kind::Cost, open: units(open), scope: Scope::All,
                                       earned: Decimal::ZERO }],
                reserve_percent: reserve.into(),
                withholding_percent: withholding.into(),
                minimum_payout: units(minimum),
                ..Account::default()
            };
            let steps = steps(&account).unwrap();
            let of = |wanted| steps.iter().filter(|step| step.kind == wanted)
                .map(|step| step.amount).sum::<Decimal>();
            let payable = account.earned + steps.iter().map(|step| step.amount).sum::<Decimal>();
            prop_assert!(payable.is_zero() || payable >= account.minimum_payout);
            prop_assert!(payable >= Decimal::ZERO);
            for kind in [Kind::Cost, Kind::Reserve, Kind::Withholding] {
                prop_assert!(of(kind) <= Decimal::ZERO);
            }
            prop_assert!(-of(Kind::Cost) <= units(open).min(units(earned.max(0))));
            prop_assert!(of(Kind::CarriedOut).is_zero() || payable.is_zero());
        }
    }
}
