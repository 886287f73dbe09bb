//! Whatever happens to usage in whatever order: `daily_stats` say what usage says.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::{
    expected::assert_right,
    site::{Site, day},
};

/// What is done to the database. Numbers pick a row among those that are there.
#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<(i32, u32, String)>),
    Update(u32, String),
    Move(u32, i32, u32),
    Delete(u32, u32),
    Owner(i32, i32),
    Parent(i32, Option<i32>),
    DropTrack(i32),
    /// Recompute between steps, or let changes gather.
    Recompute,
    Scan,
}

fn figures() -> impl Strategy<Value = String> {
    let streams = prop_oneof![
        Just("null".to_owned()),
        (0..100_u32).prop_map(|n| n.to_string()),
        Just("2000000000".to_owned())
    ];
    let revenue = prop_oneof![
        Just("null".to_owned()),
        Just("'NaN'".to_owned()),
        Just("99999999.9999".to_owned()),
        (-20_000..200_000_i32).prop_map(|n| format!("{}e-4", n))
    ];
    let platform = prop_oneof![Just("null"), Just("1"), Just("2"), Just("3")];
    let territory = prop_oneof![Just("null"), Just("''"), Just("'DE'"), Just("'US'")];
    (platform, streams, revenue, territory).prop_map(|(platform, streams, revenue, territory)| {
        format!("{platform}, {streams}, 1, {revenue}, {territory}")
    })
}

fn step() -> impl Strategy<Value = Step> {
    let line = (1..7, 0..45_u32, figures());
    prop_oneof![
        4 => prop::collection::vec(line, 1..8).prop_map(Step::Insert),
        2 => (any::<u32>(), figures()).prop_map(|(row, figures)| Step::Update(row, figures)),
        1 => (any::<u32>(), 1..7, 0..45_u32).prop_map(|(row, track, day)| Step::Move(row, track, day)),
        2 => (any::<u32>(), 1..5_u32).prop_map(|(row, rows)| Step::Delete(row, rows)),
        1 => (1..7, 1..5).prop_map(|(track, user)| Step::Owner(track, user)),
        1 => (1..5, prop::option::of(1..5)).prop_map(|(user, parent)| Step::Parent(user, parent)),
        1 => (1..7).prop_map(Step::DropTrack),
        2 => Just(Step::Recompute),
        1 => Just(Step::Scan),
    ]
}

impl Step {
    async fn take(&self, site: &Site) {
        let chosen = |row: u32| {
            format!(
                "(select id from analytics order by id offset {row} % greatest((select count(*) from analytics), 1) limit 1)"
            )
        };
        let sql = match self {
            Self::Insert(lines) => lines
                .iter()
                .map(|(track, number, figures)| {
                    format!(
                        "insert into analytics
                             (date, track_id, platform_id, streams, downloads, revenue, territory)
                         select '{}', id, {figures} from tracks where id = {track};",
                        day(*number)
                    )
                })
                .collect(),
            Self::Update(row, figures) => format!(
                "update analytics set (platform_id, streams, downloads, revenue, territory) = row({figures})
                 where id = {}",
                chosen(*row)
            ),
            Self::Move(row, track, number) => format!(
                "update analytics a set track_id = t.id, date = '{}' from tracks t
                 where a.id = {} and t.id = {track}",
                day(*number),
                chosen(*row)
            ),
            Self::Delete(row, rows) => format!(
                "delete from analytics where id >= {} and id < {0} + {rows}",
                chosen(*row)
            ),
            Self::Owner(track, user) => {
                format!("update tracks set user_id = {user} where id = {track}")
            }
            // Circles included.
            Self::Parent(user, parent) => format!(
                "update users set parent_label_id = {} where id = {user}",
                parent.map_or("null".into(), |id| id.to_string())
            ),
            Self::DropTrack(track) => format!("delete from tracks where id = {track}"),
            Self::Recompute => {
                site.recompute().await;
                return;
            }
            Self::Scan => {
                site.scan().await;
                return;
            }
        };
        site.sql(&sql).await;
    }
}

#[test]
fn any_history_ends_in_the_same_statistics() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 24,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let histories = (any::<bool>(), prop::collection::vec(step(), 1..25));
    runner
        .run(&histories, |(has_triggers, steps)| {
            // A failed assertion is a case that failed.
            runtime.block_on(async {
                let site = Site::create().await;
                if !has_triggers {
                    site.without_triggers().await;
                }
                for step in &steps {
                    step.take(&site).await;
                }
                if !has_triggers {
                    site.scan().await;
                }
                site.recompute().await;
                assert_right(site.pool()).await;
            });
            Ok(())
        })
        .unwrap();
}
