//! Random histories: whatever comes and changes in whatever order, with runs in between that are cut
//! off, computed again, called off, made final and corrected, the ledger ends up being the usage.

use std::time::Duration;

use chrono::TimeDelta;
use jobs::royalty::{self, State};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::harness::{House, by};

/// Numbers that are the same in every run of the test.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

const MONTHS: [&str; 4] = ["2026-09", "2026-10", "2026-11", "2026-12"];

async fn import(house: &House, dice: &mut Dice) {
    let mut statement = "insert into analytics (track_id, platform_id, date, territory, streams, downloads, revenue) values ".to_owned();
    for number in 0..=dice.below(8) {
        let comma = if number == 0 { "" } else { "," };
        let (track, month, day) = (dice.below(6) + 1, dice.below(4) + 9, dice.below(30) + 1);
        let platform = ["1", "2", "null"][dice.below(3) as usize];
        let territory = ["'DE'", "'de '", "'US'", "null", "''"][dice.below(5) as usize];
        let (streams, downloads) = (dice.below(1000), dice.below(2) * dice.below(5));
        let units = dice.below(30_000) as i64 - 500;
        statement.push_str(&format!(
            "{comma}({track}, {platform}, '2026-{month:02}-{day:02}', {territory}, {streams}, {downloads}, {})",
            Decimal::new(units, 4)
        ));
    }
    house.sql(&statement).await;
}

async fn change_shares(house: &House, dice: &mut Dice) {
    let (scope, id) = match dice.below(3) {
        0 => ("release_id", dice.below(2) + 1),
        _ => ("track_id", dice.below(6) + 1),
    };
    let mut statements = format!("delete from revenue_shares where {scope} = {id};");
    // Now and then they sum to more than 100.
    for _ in 0..dice.below(4) {
        let (user, part) = (dice.below(8) + 2, dice.below(4000) + 100);
        let status = ["active", "accepted", "pending", "rejected"][dice.below(4) as usize];
        let terms = match dice.below(4) {
            0 => format!(
                r#"{{"valid_from": "2026-1{}-1{}"}}"#,
                dice.below(2),
                dice.below(10)
            ),
            _ => "{}".to_owned(),
        };
        statements.push_str(&format!(
            "insert into revenue_shares ({scope}, user_id, percentage, role, name, status, custom_terms)
             values ({id}, {user}, {}, 'artist', 'User', '{status}', '{terms}');",
            Decimal::new(part as i64, 2)
        ));
    }
    house.sql(&statements).await;
}

/// Computes, cut off somewhere at first.
async fn compute(house: &House, run: Uuid, dice: &mut Dice) {
    let cut = Duration::from_millis(dice.below(40));
    let _ = tokio::time::timeout(cut, royalty::compute(house.pool(), run, &house.clock())).await;
    house.compute(run).await;
}

async fn settle(house: &House, month: &str, dice: &mut Dice) {
    let mut run = house.start(month).await.run.id;
    compute(house, run, dice).await;
    if dice.below(3) == 0 {
        royalty::void(house.pool(), run, &by(), house.now())
            .await
            .unwrap();
        import(house, dice).await;
        run = house.start(month).await.run.id;
        compute(house, run, dice).await;
    }
    if dice.below(3) == 0 {
        change_shares(house, dice).await;
        royalty::recompute(
            house.pool(),
            run,
            dice.below(2) == 0,
            &house.settings,
            &by(),
            house.now(),
        )
        .await
        .unwrap();
        compute(house, run, dice).await;
    }
    let run = house.finalise(run).await;
    assert_eq!(run.state, State::Final);
}

/// All that is final, in one text.
async fn final_things(house: &House) -> Vec<String> {
    sqlx::query_scalar(
        "select concat_ws(' ', 'ledger', id, payee_id, track_id, usage_month, split_version, kind, amount)
         from worker.ledger_entries
         union all
         select concat_ws(' ', 'shown', id, track_id, platform_id, territory, period, streams, revenue)
         from royalty_calculations where status = 'final'
         union all
         select concat_ws(' ', 'run', id, output_digest, totals) from worker.royalty_runs where state = 'final'
         order by 1",
    )
    .fetch_all(house.pool())
    .await
    .unwrap()
}

async fn history(seed: u64) {
    let mut house = House::build().await;
    house.settings.minimum_payout = Decimal::new(5, 1);
    house.settings.distribution_fee_percent = Decimal::new(125, 1);
    house.settings.reserve_percent = Decimal::TEN;
    house.settings.reserve_months = 1;
    house.pass(TimeDelta::days(60));
    let mut dice = Dice(seed);
    let mut kept = Vec::new();
    for (month, number) in MONTHS.iter().zip(1..) {
        for _ in 0..=dice.below(5) {
            import(&house, &mut dice).await;
            change_shares(&house, &mut dice).await;
            let random = "where id = (select id from analytics order by md5(id::text) limit 1)";
            match dice.below(4) {
                0 => house.sql(&format!("delete from analytics {random}")).await,
                1 => house.sql(&format!("update analytics set revenue = revenue * 2 + 0.0001, territory = 'FR' {random}")).await,
                _ => {}
            }
        }
        settle(&house, month, &mut dice).await;
        if dice.below(2) == 0 {
            let corrected = MONTHS[dice.below(number) as usize];
            import(&house, &mut dice).await;
            let revision = house.revise(corrected).await;
            house.finalise(revision.id).await;
        }
        let now = final_things(&house).await;
        assert!(
            kept.iter().all(|line| now.contains(line)),
            "seed {seed}: something final has changed"
        );
        kept = now;
    }
    // What is set aside is put right for all days.
    house
        .sql(r#"update revenue_shares set percentage = percentage / 10, custom_terms = '{"valid_from": "2026-01-01"}'"#)
        .await;
    let last = house.settle("2027-01").await;
    assert_eq!(last.totals.unwrap().set_aside, 0, "seed {seed}");
    assert_eq!(house.unsettled().await, [""; 0], "seed {seed}");
    let kinds: Decimal = sqlx::query_scalar(
        "select sum(amount) from worker.ledger_entries
         where kind in ('share', 'share_held', 'residual', 'fee', 'label_cut')",
    )
    .fetch_one(house.pool())
    .await
    .unwrap();
    let usage: Decimal = sqlx::query_scalar("select sum(revenue) from analytics")
        .fetch_one(house.pool())
        .await
        .unwrap();
    assert_eq!(kinds, usage, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_the_usage_whatever_happens() {
    for seed in 1..=4 {
        history(seed).await;
    }
}
