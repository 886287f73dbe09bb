//! Computing a run: one transaction reads and stores the input, the next makes of it what the run
//! comes to. Whatever ends in between, the computation goes on from there, and comes to the same.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgPool, types::Json};
use uuid::Uuid;

use super::{
    calculations::{self, Written},
    input,
    lanes::{self, Part},
    payees,
    run::{self, Run, State, Totals},
    settle,
};
use crate::{clock::Clock, database};

/// How often progress is told, at most.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Snapshots that are taken before a conflict is told.
const SNAPSHOTS: usize = 5;

/// Why a run cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// The database's.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// There is no such run.
    #[error("there is no royalty run {0}")]
    Missing(Uuid),
    /// A sum has more digits than are computed with.
    #[error("a sum has more digits than are computed with; look for a wrong row of usage")]
    TooLarge,
    /// What was written is not what was computed: nothing of it is kept.
    #[error("{what} come to {is} and should come to {should_be}; nothing was kept")]
    DoesNotAddUp {
        /// What does not.
        what: &'static str,
        /// What it comes to.
        is: Decimal,
        /// What it should.
        should_be: Decimal,
    },
}

/// A checked sum.
pub(super) fn added(one: Decimal, other: Decimal) -> Result<Decimal, ComputeError> {
    one.checked_add(other).ok_or(ComputeError::TooLarge)
}

/// The digests of what a run reads and of what comes of it.
#[derive(Default)]
pub(super) struct Digests {
    input: Sha256,
    output: Sha256,
}

impl Digests {
    pub(super) fn read(&mut self, line: &str) {
        self.input.update(line);
    }

    pub(super) fn wrote(&mut self, line: &str) {
        self.output.update(line);
    }

    fn finish(self) -> (String, String) {
        let [input, output] = [self.input, self.output].map(|sum| hex::encode(sum.finalize()));
        (input, output)
    }
}

/// Tells how far a computation has come, on a connection beside its own.
pub(super) struct Meter<'a> {
    pool: Option<&'a PgPool>,
    clock: &'a Clock,
    run: Uuid,
    told: Option<(String, DateTime<Utc>)>,
}

impl<'a> Meter<'a> {
    /// Without a pool nothing is told.
    pub(super) fn new(pool: Option<&'a PgPool>, clock: &'a Clock, run: Uuid) -> Self {
        Self {
            pool,
            clock,
            run,
            told: None,
        }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    pub(super) async fn tell(
        &mut self,
        phase: &str,
        done: i64,
        total: i64,
    ) -> Result<(), sqlx::Error> {
        let (Some(pool), now) = (self.pool, self.now()) else {
            return Ok(());
        };
        let is_recent = self.told.as_ref().is_some_and(|(told, at)| {
            told == phase && (now - *at).to_std().is_ok_and(|age| age < TELL_EVERY)
        });
        if is_recent {
            return Ok(());
        }
        sqlx::query!(
            r#"insert into worker.royalty_progress as p (run_id, phase, done, total, updated_at)
               values ($1, $2, $3, $4, $5)
               on conflict (run_id) do update
                   set phase = $2, done = $3, total = $4, updated_at = $5"#,
            self.run,
            phase,
            done,
            total,
            now,
        )
        .execute(pool)
        .await?;
        self.told = Some((phase.to_owned(), now));
        Ok(())
    }
}

/// Computes a run, if it is `running`: afterwards it is `pending`. May be called again at any time,
/// and by several at once.
///
/// # Errors
/// [`ComputeError`]; what was stored by then stays and is used the next time.
pub async fn compute(pool: &PgPool, id: Uuid, clock: &Clock) -> Result<Run, ComputeError> {
    let run = get(&mut *pool.acquire().await?, id).await?;
    if run.state != State::Running {
        return Ok(run);
    }
    let mut meter = Meter::new(Some(pool), clock, id);
    if run.input_at.is_none() {
        let mut read = read_input(pool, id, &mut meter).await;
        // Somebody wrote while it waited for its turn: the next snapshot sees what.
        for _ in 1..SNAPSHOTS {
            if !matches!(&read, Err(ComputeError::Database(error)) if is_conflict(error)) {
                break;
            }
            read = read_input(pool, id, &mut meter).await;
        }
        read?;
    }
    let mut tx = database::begin(pool, "begin").await?;
    take_turn(&mut tx).await?;
    lanes::alone(&mut tx).await?;
    calculations::clear(&mut tx, id).await?;
    tx.commit().await?;
    let mut tx = database::begin(pool, "begin").await?;
    take_turn(&mut tx).await?;
    let run = get(&mut tx, id).await?;
    if run.state != State::Running {
        return Ok(run);
    }
    let mut second = lanes::second(pool).await?;
    if conclude(&mut tx, second.as_deref_mut(), &run, &mut meter).await? {
        if let Some(second) = second {
            second.commit().await?;
        }
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    get(&mut *pool.acquire().await?, id).await
}

/// Reads and stores the input of a run that has none, in one snapshot.
async fn read_input(pool: &PgPool, id: Uuid, meter: &mut Meter<'_>) -> Result<(), ComputeError> {
    let mut tx = database::begin(pool, "begin").await?;
    take_turn(&mut tx).await?;
    let run = get(&mut tx, id).await?;
    if run.state != State::Running || run.input_at.is_some() {
        return Ok(());
    }
    lanes::alone(&mut tx).await?;
    input::make_room(&mut tx, id, meter.now()).await?;
    tx.commit().await?;
    let mut tx = database::begin(pool, "begin isolation level repeatable read").await?;
    take_turn(&mut tx).await?;
    let run = get(&mut tx, id).await?;
    if run.state == State::Running && run.input_at.is_none() {
        let mut second = lanes::second_of_snapshot(pool, &mut tx).await?;
        input::read(&mut tx, second.as_deref_mut(), &run, meter).await?;
        let now = meter.now();
        sqlx::query!(
            "update worker.royalty_runs set input_at = $2 where id = $1",
            id,
            now
        )
        .execute(&mut *tx)
        .await?;
        if let Some(second) = second {
            second.commit().await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Whether a snapshot was too old for what was written (serialization_failure), or another computation
/// of the run that was cut off left something after the room was made (unique_violation).
fn is_conflict(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| ["40001", "23505"].contains(&&*code))
}

/// What a run would come to, in the caller's transaction, which must be REPEATABLE READ, not have
/// read anything yet, and be rolled back. `create` makes the run in it.
pub(super) async fn rehearse(
    conn: &mut PgConnection,
    run: &Run,
    clock: &Clock,
) -> Result<Run, ComputeError> {
    let mut meter = Meter::new(None, clock, run.id);
    input::make_room(conn, run.id, meter.now()).await?;
    input::read(conn, None, run, &mut meter).await?;
    conclude(conn, None, run, &mut meter).await?;
    get(conn, run.id).await
}

/// Waits until no other run computes. The lock ends with the transaction, however that ends.
///
/// A lock on a table and not an advisory one: taking it is no query, so the snapshot of a
/// REPEATABLE READ transaction is made after it is granted, and sees what the run before wrote.
pub(super) async fn take_turn(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    lanes::prepare(conn).await?;
    sqlx::query!("lock table worker.royalty_runs in share update exclusive mode")
        .execute(conn)
        .await?;
    Ok(())
}

/// Shares out what is stored, and makes the run `pending`. False: it was called off meanwhile, and
/// the caller rolls back.
async fn conclude(
    conn: &mut PgConnection,
    mut second: Option<&mut PgConnection>,
    run: &Run,
    meter: &mut Meter<'_>,
) -> Result<bool, ComputeError> {
    let mut digests = Digests::default();
    let mut totals = Totals::default();
    let rules = json!(run.rules);
    digests.read(&format!(
        "{}|{}|{rules}
",
        run.period, run.revision
    ));
    let [own, other] = match second {
        Some(_) => Part::BESIDE_SHARING_OUT,
        None => [Part::ALL; 2],
    };
    let now = meter.now();
    let first = async {
        let aside = settle::settle(conn, run, &mut digests, &mut totals, meter).await?;
        let based_on = payees::settle(conn, run, &mut digests, &mut totals, meter).await?;
        meter.tell("calculations", 0, 1).await?;
        let written = calculations::write(conn, run, own, now).await?;
        Ok::<_, ComputeError>((aside, based_on, written))
    };
    let beside = async {
        let written = match second.as_deref_mut() {
            Some(second) => calculations::write(second, run, other, now).await,
            None => Ok(Written::default()),
        };
        written.map_err(ComputeError::from)
    };
    let ((aside, based_on, written), beside) = tokio::try_join!(first, beside)?;
    calculations::finish(conn, second, run, &aside, [written, beside], &mut totals).await?;
    let (input_digest, output_digest) = digests.finish();
    let updated = sqlx::query!(
        r#"update worker.royalty_runs
           set state = 'pending', computed_at = $2, totals = $3, input_digest = $4, output_digest = $5,
               based_on = $6, fault = null
           where id = $1 and state = 'running'"#,
        run.id,
        meter.now(),
        Json(&totals) as _,
        input_digest,
        output_digest,
        based_on,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "delete from worker.royalty_progress where run_id = $1",
        run.id
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() > 0)
}

async fn get(conn: &mut PgConnection, id: Uuid) -> Result<Run, ComputeError> {
    run::get(conn, id).await?.ok_or(ComputeError::Missing(id))
}
