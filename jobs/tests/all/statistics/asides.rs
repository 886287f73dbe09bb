//! User-days that the database refuses: they hold up no others, and are written once they can be.

use chrono::TimeDelta;
use jobs::{
    audit::By,
    statistics::{self, Range, Settings, Written},
};

use super::{
    expected::{assert_right, found},
    site::{Site, day, now},
};

/// The web application refuses rows of user 2 on the days 3 to 5, and of user 4 on the third.
const REFUSE: &str = "
    create function refuse() returns trigger language plpgsql as $$
    begin
        if new.user_id = 2 and new.date between '2026-01-04' and '2026-01-06'
           or new.user_id = 4 and new.date = '2026-01-04' then
            raise exception 'no row for user %', new.user_id;
        end if;
        return new;
    end $$;
    create trigger refuse before insert or update on daily_stats
        for each row execute function refuse()";

async fn recompute(site: &Site, batch_user_days: u32, minutes: i64) -> Written {
    let settings = Settings {
        batch_user_days,
        ..Settings::default()
    };
    let later = now() + TimeDelta::minutes(minutes);
    statistics::recompute(site.pool(), &settings, later)
        .await
        .unwrap()
}

async fn set_aside(site: &Site) -> Vec<(i32, u32, i32)> {
    let status = statistics::status(site.pool()).await.unwrap();
    assert_eq!((status.marks, status.trend_marks), (0, 0));
    assert_eq!(
        usize::try_from(status.set_aside).unwrap(),
        status.asides.len()
    );
    let asides = status.asides.iter();
    asides
        .map(|one| {
            assert!(one.problem.starts_with("no row for user"), "{one:?}");
            let number = (one.date - day(0)).num_days();
            (one.user_id, u32::try_from(number).unwrap(), one.attempts)
        })
        .collect()
}

async fn use_everything(site: &Site) {
    for number in 0..10 {
        for track in 1..=6 {
            site.usage(track, number, 10 + track, "0.5").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_cannot_be_written_holds_up_no_other() {
    for batch_user_days in [3, 20_000] {
        let site = Site::create().await;
        site.sql(REFUSE).await;
        use_everything(&site).await;
        let written = recompute(&site, batch_user_days, 0).await;
        assert_eq!(written.inserted, 36, "40 user-days, of which 4 fail");
        let first = [(2, 3, 1), (4, 3, 1), (2, 4, 1), (2, 5, 1)];
        assert_eq!(set_aside(&site).await, first);
        let there = found(site.pool()).await;
        assert!(there.contains_key(&(1, day(3))) && there.contains_key(&(2, day(9))));

        // Not yet; then in vain; then not for twice as long.
        recompute(&site, batch_user_days, 14).await;
        assert_eq!(set_aside(&site).await, first);
        recompute(&site, batch_user_days, 15).await;
        let second = first.map(|(user, number, _)| (user, number, 2));
        assert_eq!(set_aside(&site).await, second);
        recompute(&site, batch_user_days, 44).await;
        assert_eq!(set_aside(&site).await, second);

        // A mark is a reason to try at once.
        site.usage(6, 3, 1, "1").await;
        recompute(&site, batch_user_days, 44).await;
        assert_eq!(
            set_aside(&site).await,
            [(2, 3, 2), (4, 3, 3), (2, 4, 2), (2, 5, 2)]
        );

        site.sql("drop trigger refuse on daily_stats").await;
        recompute(&site, batch_user_days, 24 * 60).await;
        assert_eq!(set_aside(&site).await, []);
        assert_right(site.pool()).await;
    }
}

/// A row that was written is refused when its trend changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_trend_that_cannot_be_written_holds_up_no_other() {
    let site = Site::create().await;
    use_everything(&site).await;
    recompute(&site, 20_000, 0).await;
    assert_right(site.pool()).await;
    site.sql(REFUSE).await;
    for track in 1..=6 {
        site.usage(track, 0, 1000, "7").await;
    }
    recompute(&site, 20_000, 1).await;
    assert_eq!(
        set_aside(&site).await,
        [(2, 3, 1), (4, 3, 1), (2, 4, 1), (2, 5, 1)]
    );
    site.sql("drop trigger refuse on daily_stats").await;
    let by = By::new("cli:ada", "the trigger is gone").unwrap();
    statistics::rebuild(site.pool(), Range::ALL, false, &by, now())
        .await
        .unwrap();
    recompute(&site, 20_000, 2).await;
    assert_eq!(set_aside(&site).await, [], "a rebuild tries at once");
    assert_right(site.pool()).await;
}

/// Where nothing can be written the error is the job's, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_everything_is_told_and_stays_marked() {
    let site = Site::create().await;
    for number in 0..101 {
        site.usage(1, number, 1, "1").await;
    }
    site.sql("alter table daily_stats add constraint never check (false)")
        .await;
    let failed = statistics::recompute(site.pool(), &Settings::default(), now()).await;
    assert!(failed.unwrap_err().to_string().contains("never"));
    site.sql("alter table daily_stats drop constraint never")
        .await;
    assert_eq!(site.recompute().await.inserted, 101);
    assert_right(site.pool()).await;
}
