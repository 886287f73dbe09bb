//! The daemons on this database: each gives signs of life, so that an operator sees who is there.
//! Nothing is decided by them: work belongs to whoever holds its lease.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

/// Seconds between two signs of life.
pub const BEAT_S: u64 = 10;
/// A daemon that gave no sign for so long is taken for gone.
const GONE_AFTER: TimeDelta = TimeDelta::seconds(3 * BEAT_S.cast_signed());
/// Daemons that are gone are forgotten after this.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(7);

/// A daemon as it names itself.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Unique per start; leases carry it.
    pub name: String,
    /// Of the program.
    pub version: &'static str,
    /// The name of its machine.
    pub host: String,
    /// Its process there.
    pub process: u32,
}

/// Gives a sign of life.
///
/// # Errors
/// The database's.
pub async fn beat(pool: &PgPool, daemon: &Identity, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into worker.daemons (name, version, host, process, started_at, seen_at)
           values ($1, $2, $3, $4, $5, $5)
           on conflict (name) do update set seen_at = $5"#,
        daemon.name,
        daemon.version,
        daemon.host,
        i32::try_from(daemon.process).unwrap_or_default(),
        now,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes that a daemon ended in order, and forgets those that are long gone.
///
/// # Errors
/// The database's.
pub async fn stopped(pool: &PgPool, name: &str, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update worker.daemons set stopped_at = $2, seen_at = $2 where name = $1",
        name,
        now,
    )
    .execute(pool)
    .await?;
    sqlx::query!(
        "delete from worker.daemons where seen_at < $1",
        now - FORGOTTEN_AFTER,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// A daemon and what it works on.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
pub struct Listed {
    /// Unique per start.
    pub name: String,
    /// `running`; `stopped`: it ended in order; `gone`: it gives no sign of life.
    pub state: &'static str,
    /// Of the program.
    pub version: String,
    /// The name of its machine.
    pub host: String,
    /// Its process there.
    pub process: i32,
    /// When it started (UTC).
    pub started_at: DateTime<Utc>,
    /// Its last sign of life (UTC).
    pub seen_at: DateTime<Utc>,
    /// Jobs that it holds.
    pub running: i64,
    /// When the first lease on them ends unless it is renewed (UTC).
    pub lease_expires_at: Option<DateTime<Utc>>,
}

/// The daemons of the last days, the latest start first.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, now: DateTime<Utc>) -> Result<Vec<Listed>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select d.name, d.version, d.host, d.process, d.started_at, d.seen_at, d.stopped_at,
               coalesce(held.running, 0) as "running!", held.lease_expires_at as "lease_expires_at?"
           from worker.daemons d
           left join (
               select split_part(worker, '/', 1) as name, count(*) as running,
                   min(lease_expires_at) as lease_expires_at
               from worker.jobs where state = 'running' group by 1
           ) held on held.name = d.name
           order by d.started_at desc, d.name limit 200"#
    )
    .fetch_all(pool)
    .await?;
    let daemons = rows.into_iter().map(|row| Listed {
        state: match row.stopped_at {
            Some(_) => "stopped",
            None if row.seen_at < now - GONE_AFTER => "gone",
            None => "running",
        },
        name: row.name,
        version: row.version,
        host: row.host,
        process: row.process,
        started_at: row.started_at,
        seen_at: row.seen_at,
        running: row.running,
        lease_expires_at: row.lease_expires_at,
    });
    Ok(daemons.collect())
}
