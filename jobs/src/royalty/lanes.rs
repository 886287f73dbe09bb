//! Two connections for one computation: the server sums and writes on two processors what one statement
//! cannot do in parallel. Each looks after a part of the tracks.
//!
//! Two transactions do not commit at once, so what the second one writes counts for nothing until the
//! first one's commit says so in the run's row (`input_at`, `state`). The second one commits when the
//! first has nothing left to do but that; what it leaves where the first one fails, the next
//! computation removes. That one may begin while a second transaction whose computation was cut off is
//! still about to end: it waits for it, see [`alone`].

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};

use crate::database;

/// Connections of a pool that must be free for a second one to be taken: itself, and one for progress.
const NEEDED: u32 = 2;

/// The tracks that one connection looks after: those whose id divided by `of` leaves from `first` to
/// `last`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) of: i32,
    pub(super) first: i32,
    pub(super) last: i32,
}

impl Part {
    /// All tracks.
    pub(super) const ALL: Self = Self::new(1, 0, 0);
    /// Of what both connections do alone.
    pub(super) const HALVES: [Self; 2] = [Self::new(2, 0, 0), Self::new(2, 1, 1)];
    /// Of the rows that both write, the first one while it has the tracks to share out as well. Measured,
    /// so that both end at the same time.
    pub(super) const BESIDE_SHARING_OUT: [Self; 2] = [Self::new(12, 0, 4), Self::new(12, 5, 11)];
    /// Of the rows that both make final, the first one while it posts to the ledger as well.
    pub(super) const BESIDE_POSTING: [Self; 2] = [Self::new(3, 0, 0), Self::new(3, 1, 2)];

    const fn new(of: i32, first: i32, last: i32) -> Self {
        Self { of, first, last }
    }
}

/// A transaction that computes: a server whose client has died must not go on for minutes; compiling
/// a statement takes longer than the usage of a small catalogue; sums of a large one spill to disk with
/// 4 MB; one of two may wait for the other.
pub(super) async fn prepare(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "set local client_connection_check_interval = '2s'; set local jit = off; set local work_mem = '128MB';
         set local idle_in_transaction_session_timeout = '10min'",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A second transaction, if the pool has room for one.
pub(super) async fn second(
    pool: &PgPool,
) -> Result<Option<Transaction<'static, Postgres>>, sqlx::Error> {
    if !has_room(pool) {
        return Ok(None);
    }
    let mut tx = database::begin(pool, "begin").await?;
    prepare(&mut tx).await?;
    be_waited_for(&mut tx).await?;
    Ok(Some(tx))
}

/// Waits until no second transaction is left of a computation that was cut off: what it still commits
/// is seen by the statements that follow. To be called when it is one's turn, and before a second one
/// is begun.
pub(super) async fn alone(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('worker.royalty_lanes', 0))")
        .execute(conn)
        .await?;
    Ok(())
}

/// Until its end, see [`alone`].
async fn be_waited_for(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtextextended('worker.royalty_lanes', 0))"
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A second transaction that sees what the first one, which is REPEATABLE READ, saw when it began.
pub(super) async fn second_of_snapshot(
    pool: &PgPool,
    first: &mut PgConnection,
) -> Result<Option<Transaction<'static, Postgres>>, sqlx::Error> {
    if !has_room(pool) {
        return Ok(None);
    }
    let snapshot = sqlx::query_scalar!(r#"select pg_export_snapshot() as "snapshot!""#)
        .fetch_one(first)
        .await?;
    let mut tx = database::begin(pool, "begin isolation level repeatable read").await?;
    // The server's own name of it, and no statement can come before this one.
    let adopt = format!("set transaction snapshot '{snapshot}'");
    sqlx::raw_sql(AssertSqlSafe(adopt))
        .execute(&mut *tx)
        .await?;
    prepare(&mut tx).await?;
    be_waited_for(&mut tx).await?;
    Ok(Some(tx))
}

fn has_room(pool: &PgPool) -> bool {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(0);
    let unopened = pool
        .options()
        .get_max_connections()
        .saturating_sub(pool.size());
    idle + unopened >= NEEDED
}
