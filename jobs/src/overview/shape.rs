//! What waits how long for whom.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use super::{AGES_MIN, Shape, counted};

/// Undecided deliveries to a platform, of an age and with a fault or none.
pub(super) struct Waiting {
    platform_id: i32,
    platform: String,
    /// Buckets of [`AGES_MIN`], counted from the oldest.
    age: i32,
    pub(super) fault_code: Option<String>,
    pub(super) count: i64,
    oldest: DateTime<Utc>,
}

/// All that is undecided, in one pass over it: it may be a million.
pub(super) async fn waiting(
    pool: &PgPool,
    now: DateTime<Utc>,
) -> Result<Vec<Waiting>, sqlx::Error> {
    let bounds: Vec<DateTime<Utc>> = AGES_MIN
        .iter()
        .rev()
        .map(|minutes| now - TimeDelta::minutes(*minutes))
        .collect();
    sqlx::query_as!(
        Waiting,
        r#"select platform_id, max(platform_name) as "platform!",
               width_bucket(created_at, $1::timestamptz[]) as "age!", fault_code,
               count(*) as "count!", min(created_at) as "oldest!"
           from worker.deliveries
           where state not in ('accepted', 'rejected', 'failed', 'canceled')
           group by platform_id, 3, fault_code"#,
        &bounds,
    )
    .fetch_all(pool)
    .await
}

/// The table: a line for each platform, the longest first.
pub(super) fn shapes(waiting: &[Waiting]) -> Vec<Shape> {
    let mut shapes: HashMap<i32, Shape> = HashMap::new();
    for some in waiting {
        let shape = shapes.entry(some.platform_id).or_insert_with(|| Shape {
            platform_id: some.platform_id,
            platform: String::new(),
            total: 0,
            by_age: vec![0; AGES_MIN.len() + 1],
            oldest: some.oldest,
            faults: Vec::new(),
        });
        shape.total += some.count;
        shape.oldest = shape.oldest.min(some.oldest);
        // A platform may have been renamed since some of them were made.
        if shape.platform < some.platform {
            shape.platform.clone_from(&some.platform);
        }
        let place = usize::try_from(some.age)
            .ok()
            .and_then(|age| AGES_MIN.len().checked_sub(age));
        if let Some(cell) = place.and_then(|place| shape.by_age.get_mut(place)) {
            *cell += some.count;
        }
    }
    for (platform, shape) in &mut shapes {
        let there = waiting.iter().filter(|some| some.platform_id == *platform);
        shape.faults = counted(there.map(|some| (some.fault_code.as_ref(), some.count)));
    }
    let mut shapes: Vec<Shape> = shapes.into_values().collect();
    shapes.sort_by_key(|shape| (-shape.total, shape.platform_id));
    shapes
}
