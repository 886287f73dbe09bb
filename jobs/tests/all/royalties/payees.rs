//! From earnings to payments: fee, labels, advances, reserves, withholding, minimum, debts; held
//! shares, balances and withdrawals.

use jobs::royalty::{
    self, BalanceFilter, Refused, State,
    accounts::{self, NewCharge, PayeeTerms},
    withdrawals,
};
use rust_decimal::Decimal;

use super::harness::{House, by, number};

fn of(payee: i32) -> BalanceFilter {
    BalanceFilter {
        payee: Some(payee),
        ..BalanceFilter::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_stands_in_the_ledger() {
    let mut house = House::build().await;
    house.settings.distribution_fee_percent = Decimal::TEN;
    house.settings.label_cut_percent = Decimal::from(20);
    house.settings.reserve_percent = Decimal::TEN;
    house.settings.reserve_months = 1;
    house.settings.minimum_payout = Decimal::from(50);
    house.sql(r#"update users set parent_label_id = 8 where id = 1;
               insert into rights_management (release_id, user_id, ownership_type, royalty_terms)
                   values (2, 1, 'original', '{"distribution_fee_percent": "0", "label_cuts": {"8": 0}}')"#).await;
    house.split(1, &[(2, "50", "active")]).await;
    house.usage(1, 1, "2026-10-10", "DE", 1, "1000").await;
    house.usage(4, 1, "2026-10-10", "DE", 1, "100").await;
    let charge = NewCharge {
        payee: 2,
        is_cost: false,
        release: Some(1),
        track: None,
        amount: number("100"),
        description: "first album",
    };
    accounts::add_charge(house.pool(), &charge, &by(), house.now())
        .await
        .unwrap();
    let terms = PayeeTerms {
        withholding_percent: Some(Decimal::from(25)),
        minimum_payout: Some(Decimal::ZERO),
        ..PayeeTerms::default()
    };
    accounts::set_terms(house.pool(), 2, &terms, &by(), house.now())
        .await
        .unwrap();
    let run = house.run("2026-10").await;
    // Track 1: 1000 - 100 fee - 180 for label 8; half of 720 each. Track 4 has its release's terms.
    assert_eq!(
        house.entries(run.id).await,
        [
            "0 fee 100",
            "1 reserve -46",
            "1 residual 460",
            "2 advance -100",
            "2 reserve -26",
            "2 share 360",
            "2 withholding -58.5",
            "8 label_cut 180",
            "8 reserve -18",
        ]
    );
    assert_eq!(
        run.totals.unwrap().payable,
        number("414") + number("175.5") + number("162")
    );
    house.finalise(run.id).await;
    // Below the minimum: the reserve comes back, and it is carried, but for user 2.
    house.usage(1, 1, "2026-11-10", "DE", 1, "1").await;
    let next = house.settle("2026-11").await;
    let entries = house.entries(next.id).await;
    for line in [
        "1 reserve_released 46",
        "1 carried_out -46.324",
        "8 carried_out -18.162",
    ] {
        assert!(
            entries.iter().any(|entry| entry == line),
            "{line}: {entries:?}"
        );
    }
    let mut conn = house.pool().acquire().await.unwrap();
    let balances = royalty::balances(&mut conn, &of(1)).await.unwrap();
    assert_eq!(
        (balances[0].payable, balances[0].carried),
        (number("414"), number("46.324"))
    );
    drop(conn);

    let (_, paid) = royalty::pay(
        house.pool(),
        run.id,
        Some(2),
        Some("SEPA 1"),
        &by(),
        house.now(),
    )
    .await
    .unwrap();
    assert_eq!(paid[0].paid, number("175.5"));
    let (_, again) = royalty::pay(house.pool(), run.id, Some(2), None, &by(), house.now())
        .await
        .unwrap();
    assert_eq!(again, [], "nobody is paid twice");
    let nothing = royalty::pay(house.pool(), run.id, Some(9), None, &by(), house.now()).await;
    assert!(
        matches!(nothing, Err(Refused::NothingDue { payee: 9, .. })),
        "{nothing:?}"
    );
    let (all, paid) = royalty::pay(house.pool(), run.id, None, None, &by(), house.now())
        .await
        .unwrap();
    assert_eq!((all.state, paid.len()), (State::Paid, 2));
    let open: i64 = sqlx::query_scalar(
        "select count(*) from royalty_calculations where period = '2026-10' and (status <> 'paid' or paid_date is null)",
    )
    .fetch_one(house.pool())
    .await
    .unwrap();
    assert_eq!(open, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_share_is_given_once_it_is_agreed() {
    let house = House::build().await;
    house.split(1, &[(2, "50", "pending")]).await;
    house.usage(1, 1, "2026-10-10", "DE", 1, "10").await;
    let run = house.settle("2026-10").await;
    assert_eq!(run.totals.unwrap().payable, number("5"), "the owner's half");
    let mut conn = house.pool().acquire().await.unwrap();
    let held = royalty::balances(&mut conn, &of(2)).await.unwrap();
    assert_eq!(
        (held[0].payable, held[0].held),
        (Decimal::ZERO, number("5"))
    );
    house
        .sql("update revenue_shares set status = 'accepted'")
        .await;
    let next = house.settle("2026-11").await;
    assert_eq!(house.entries(next.id).await, ["2 held_released 5"]);
    let given = royalty::balances(&mut conn, &of(2)).await.unwrap();
    assert_eq!(
        (given[0].payable, given[0].held),
        (number("5"), Decimal::ZERO)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_open_runs_do_not_carry_the_same_balance() {
    let mut house = House::build().await;
    house.settings.minimum_payout = Decimal::TEN;
    house.usage(1, 1, "2026-09-10", "DE", 1, "4").await;
    house.usage(1, 1, "2026-10-10", "DE", 1, "4").await;
    house.usage(1, 1, "2026-11-10", "DE", 1, "4").await;
    house.settle("2026-09").await;
    let october = house.run("2026-10").await;
    let november = house.run("2026-11").await;
    house.finalise(october.id).await;
    let refused = royalty::finalise(house.pool(), november.id, true, &by(), house.now()).await;
    assert!(matches!(refused, Err(Refused::Outdated(_))), "{refused:?}");
    royalty::recompute(
        house.pool(),
        november.id,
        true,
        &house.settings,
        &by(),
        house.now(),
    )
    .await
    .unwrap();
    let november = house.compute(november.id).await;
    assert_eq!(november.totals.unwrap().payable, number("12"));
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawals_are_held_against_the_ledger_and_posted_once() {
    let house = House::build().await;
    house.usage(1, 1, "2026-10-10", "DE", 1, "100").await;
    let run = house.settle("2026-10").await;
    house.sql(
        "insert into payment_methods (user_id, type, name, details) values (1, 'bank', 'Bank', '{}');
         insert into withdrawals (user_id, payment_method_id, amount, currency, status) values
             (1, 1, 60, 'USD', 'completed'), (1, 1, 30, 'USD', 'pending'), (1, 1, 30, 'USD', 'pending'),
             (1, 1, 5, 'EUR', 'pending'), (1, 1, 500, 'USD', 'rejected')",
    )
    .await;
    let mut conn = house.pool().acquire().await.unwrap();
    for posted in [1, 0] {
        let count = withdrawals::post(&mut conn, &house.settings, house.now())
            .await
            .unwrap();
        assert_eq!(count, posted);
    }
    let listed = withdrawals::list(&mut conn, &house.settings).await.unwrap();
    let problems: Vec<(i32, Option<&str>)> = listed
        .iter()
        .map(|one| (one.id, one.problem.as_deref()))
        .collect();
    assert_eq!(
        problems,
        [
            (2, None),
            (3, Some("beyond_balance")),
            (4, Some("other_currency"))
        ]
    );
    // What was withdrawn is not paid again.
    let (_, paid) = royalty::pay(house.pool(), run.id, None, None, &by(), house.now())
        .await
        .unwrap();
    assert_eq!(
        (paid[0].payable, paid[0].paid),
        (number("100"), number("40"))
    );
    let left = royalty::balances(&mut conn, &of(1)).await.unwrap();
    assert_eq!(
        (left[0].payable, left[0].paid),
        (Decimal::ZERO, number("100"))
    );
}
