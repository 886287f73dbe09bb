//! What `daily_stats` should say, computed here from the tables line by line and without any of the
//! worker's SQL.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use jobs::statistics::{self, Average, Breakdown, Change, Day, Entry, Figures, Range, Trend};
use rust_decimal::{Decimal, RoundingStrategy};
use sqlx::PgPool;

struct Line {
    user: i32,
    track: i32,
    title: String,
    release: Option<(i32, String)>,
    platform: Option<(i32, String)>,
    date: NaiveDate,
    territory: Option<String>,
    figures: Figures,
}

type Row = (
    (i32, i32, String, Option<i32>, Option<String>),
    (Option<i32>, Option<String>, NaiveDate, Option<String>),
    (Option<i32>, Option<i32>, Option<String>),
);

async fn lines(pool: &PgPool) -> Vec<Line> {
    let rows = sqlx::query(
        "select t.user_id, t.id, t.title, r.id, r.title, p.id, p.name, a.date, a.territory,
             a.streams, a.downloads, nullif(a.revenue, 'NaN')::text
         from analytics a
         join tracks t on t.id = a.track_id
         left join releases r on r.id = t.release_id
         left join distribution_platforms p on p.id = a.platform_id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.iter()
        .map(|row| {
            use sqlx::Row as _;
            let row: Row = (
                (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)),
                (row.get(5), row.get(6), row.get(7), row.get(8)),
                (row.get(9), row.get(10), row.get(11)),
            );
            let ((user, track, title, release, release_title), place, amounts) = row;
            let (platform, platform_name, date, territory) = place;
            let (streams, downloads, revenue) = amounts;
            Line {
                user,
                track,
                title,
                release: release.zip(release_title),
                platform: platform.zip(platform_name),
                date,
                territory,
                figures: Figures {
                    streams: streams.unwrap_or(0).into(),
                    downloads: downloads.unwrap_or(0).into(),
                    revenue: revenue.map_or(Decimal::ZERO, |text| text.parse().unwrap()),
                },
            }
        })
        .collect()
}

fn add(to: &mut Figures, more: &Figures) {
    to.streams += more.streams;
    to.downloads += more.downloads;
    to.revenue += more.revenue;
}

fn enter(breakdown: &mut Breakdown, key: String, name: Option<String>, figures: &Figures) {
    let entry = breakdown.entry(key).or_insert(Entry {
        name,
        figures: Figures::default(),
    });
    add(&mut entry.figures, figures);
}

#[derive(Default)]
struct Sums {
    totals: Figures,
    platforms: Breakdown,
    territories: Breakdown,
    tracks: Breakdown,
    releases: Breakdown,
}

fn id_or_unknown(named: &Option<(i32, String)>) -> String {
    named
        .as_ref()
        .map_or("unknown".into(), |(id, _)| id.to_string())
}

fn sums(lines: &[Line]) -> BTreeMap<(i32, NaiveDate), Sums> {
    let mut all: BTreeMap<(i32, NaiveDate), Sums> = BTreeMap::new();
    for line in lines {
        let sums = all.entry((line.user, line.date)).or_default();
        let name = |named: &Option<(i32, String)>| named.as_ref().map(|(_, name)| name.clone());
        let territory = line.territory.clone().filter(|text| !text.is_empty());
        let figures = &line.figures;
        add(&mut sums.totals, figures);
        enter(
            &mut sums.platforms,
            id_or_unknown(&line.platform),
            name(&line.platform),
            figures,
        );
        enter(
            &mut sums.territories,
            territory.unwrap_or("ZZ".into()),
            None,
            figures,
        );
        enter(
            &mut sums.tracks,
            line.track.to_string(),
            Some(line.title.clone()),
            figures,
        );
        enter(
            &mut sums.releases,
            id_or_unknown(&line.release),
            name(&line.release),
            figures,
        );
    }
    all
}

/// The users below each user: those that name it as their parent, and so on.
async fn below(pool: &PgPool) -> (BTreeMap<i32, String>, BTreeMap<i32, BTreeSet<i32>>) {
    let users: Vec<(i32, String, Option<i32>)> =
        sqlx::query_as("select id, full_name, parent_label_id from users")
            .fetch_all(pool)
            .await
            .unwrap();
    let mut below: BTreeMap<i32, BTreeSet<i32>> = BTreeMap::new();
    for (id, _, _) in &users {
        let mut label = *id;
        for _ in 0..5 {
            let parent = users
                .iter()
                .find(|user| user.0 == label)
                .and_then(|user| user.2);
            let Some(parent) = parent else { break };
            if parent != *id {
                below.entry(parent).or_default().insert(*id);
            }
            label = parent;
        }
    }
    (
        users.into_iter().map(|user| (user.0, user.1)).collect(),
        below,
    )
}

fn percent(now: Decimal, before: Decimal) -> Option<Decimal> {
    (!before.is_zero()).then(|| {
        let exact = Decimal::ONE_HUNDRED * (now - before) / before;
        exact.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
    })
}

fn change(now: &Figures, before: &Figures) -> Change {
    Change {
        difference: Figures {
            streams: now.streams - before.streams,
            downloads: now.downloads - before.downloads,
            revenue: now.revenue - before.revenue,
        },
        streams_percent: percent(now.streams.into(), before.streams.into()),
        revenue_percent: percent(now.revenue, before.revenue),
    }
}

fn average(sum: &Figures, days: i64) -> Average {
    let mean = |sum: Decimal| {
        (sum / Decimal::from(days))
            .round_dp_with_strategy(4, RoundingStrategy::MidpointAwayFromZero)
    };
    Average {
        streams: mean(sum.streams.into()),
        downloads: mean(sum.downloads.into()),
        revenue: mean(sum.revenue),
    }
}

/// What the columns should be, for each user and day that should have a row. Ids are 0.
pub(crate) async fn expected(pool: &PgPool) -> BTreeMap<(i32, NaiveDate), Day> {
    let lines = lines(pool).await;
    let (names, below) = below(pool).await;
    let mut sums = sums(&lines);
    let usage: BTreeMap<(i32, NaiveDate), Figures> = sums
        .iter()
        .map(|(key, sums)| (*key, sums.totals.clone()))
        .collect();
    for (label, users) in &below {
        for (user, date) in usage.keys() {
            if users.contains(user) {
                sums.entry((*label, *date)).or_default();
            }
        }
    }
    sums.into_iter()
        .map(|((user, date), sums)| {
            let on = |days: u64| {
                usage
                    .get(&(user, date - Days::new(days)))
                    .cloned()
                    .unwrap_or_default()
            };
            let over = |days: u64| {
                let mut sum = Figures::default();
                (0..days).for_each(|back| add(&mut sum, &on(back)));
                sum
            };
            let mut sub_labels = Breakdown::new();
            let mut with_sub_labels = sums.totals.clone();
            for one in below.get(&user).into_iter().flatten() {
                if let Some(figures) = usage.get(&(*one, date)) {
                    enter(
                        &mut sub_labels,
                        one.to_string(),
                        names.get(one).cloned(),
                        figures,
                    );
                    add(&mut with_sub_labels, figures);
                }
            }
            let has_sub_labels = !sub_labels.is_empty();
            let totals = sums.totals;
            let day = Day {
                id: 0,
                user_id: user,
                date,
                total_streams: i32::try_from(totals.streams).ok(),
                total_revenue: Some(totals.revenue)
                    .filter(|sum| sum.abs() < Decimal::from(100_000_000)),
                platform_breakdown: sums.platforms,
                territory_breakdown: sums.territories,
                track_performance: sums.tracks,
                release_performance: sums.releases,
                trend_data: Trend {
                    day_before: change(&totals, &on(1)),
                    same_weekday: change(&totals, &on(7)),
                    average_7_days: average(&over(7), 7),
                    average_28_days: average(&over(28), 28),
                    with_sub_labels: has_sub_labels.then_some(with_sub_labels),
                    sub_labels: has_sub_labels.then_some(sub_labels),
                    totals,
                },
            };
            ((user, date), day)
        })
        .collect()
}

/// What `daily_stats` does say; a panic where a day has two rows. Ids are 0.
pub(crate) async fn found(pool: &PgPool) -> BTreeMap<(i32, NaiveDate), Day> {
    let users: Vec<i32> = sqlx::query_scalar("select distinct user_id from daily_stats")
        .fetch_all(pool)
        .await
        .unwrap();
    let mut found = BTreeMap::new();
    for user in users {
        for mut day in statistics::days(pool, user, Range::ALL).await.unwrap() {
            day.id = 0;
            let key = (user, day.date);
            assert!(found.insert(key, day).is_none(), "two rows for {key:?}");
        }
    }
    found
}

/// Fails where `daily_stats` differ from what they should be.
pub(crate) async fn assert_right(pool: &PgPool) {
    let (expected, found) = (expected(pool).await, found(pool).await);
    let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for key in keys {
        assert_eq!(
            found.get(key),
            expected.get(key),
            "left: found, right: expected, {key:?}"
        );
    }
}
