//! What operators do to deliveries, platforms, schedules and jobs, and what the audit says of it.

mod control;
mod one;
mod revisions;
mod running;
mod schedules_and_jobs;

use chrono::Utc;
use jobs::{
    audit::{self, By, Entry},
    delivery::{self, Operated, Operation},
};
use uuid::Uuid;

use super::deliveries::harness::World;

fn by() -> By {
    By::new("test", "because").unwrap()
}

/// The newest delivery.
async fn newest(world: &World) -> Uuid {
    world.delivery("id").await.unwrap().parse().unwrap()
}

async fn operate(world: &World, id: Uuid, operation: Operation) -> Operated {
    delivery::operate(world.pool(), id, operation, &by(), Utc::now())
        .await
        .unwrap()
        .unwrap()
}

/// What the audit has on a delivery, the newest first.
async fn audited(world: &World, id: Uuid) -> Vec<Entry> {
    audit::list(world.pool(), Some(("delivery", &id.to_string())), 100)
        .await
        .unwrap()
}

/// Due schedules become deliveries without a daemon.
async fn fan_out(world: &World) {
    jobs::schedule::fan_out_due(world.pool(), 100, Utc::now())
        .await
        .unwrap();
}

/// A text of the one job that delivers this.
async fn job(world: &World, delivery: Uuid, column: &str) -> Option<String> {
    sqlx::query_scalar::<_, Option<String>>(sqlx::AssertSqlSafe(format!(
        "select ({column})::text from worker.jobs where kind = 'deliver' and arguments->>'delivery' = $1
         order by id desc limit 1"
    )))
    .bind(delivery.to_string())
    .fetch_optional(world.pool())
    .await
    .unwrap()
    .flatten()
}
