//! What deliveries leave behind: evidence and lists of files. Deliveries are visited once, in the
//! order in which they were decided, up to the age; a mark keeps the place. A delivery that was
//! kept as the last of a live release is looked at again when a later one of the same release and
//! platform is visited, so it stays until that one is old too.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Mode, Work};

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Evidence,
    Files,
}

/// A delivery has some twenty files and a few documents: so many rows for one delivery are taken
/// as the rule when a transaction is bounded.
const ROWS_PER_DELIVERY: usize = 20;

/// How far the visit has come.
#[derive(Clone, Copy)]
struct Mark {
    decided_at: DateTime<Utc>,
    delivery: Uuid,
}

pub(super) async fn prune(work: &Work<'_>, kept: Kept) -> Result<u64, sqlx::Error> {
    let (name, days) = match kept {
        Kept::Evidence => ("evidence", work.policy.evidence_days),
        Kept::Files => ("delivery_files", work.policy.files_days),
    };
    let Some(cutoff) = work.cutoff(days) else {
        return Ok(0);
    };
    let mut mark = read_mark(work, name).await?;
    let mut counted = HashSet::new();
    let mut rows = 0;
    loop {
        let (next, mut gone) = visit(work, kept, mark, cutoff).await?;
        let Some(next) = next else {
            return Ok(rows);
        };
        if work.mode == Mode::Count {
            // What is not removed is met again with each later delivery of its release.
            gone.retain(|id| counted.insert(*id));
        }
        let bound = work.policy.limit().unsigned_abs();
        let bound = usize::try_from(bound).unwrap_or(usize::MAX) / ROWS_PER_DELIVERY;
        for deliveries in gone.chunks(bound.max(1)) {
            rows += match work.mode {
                Mode::Count => count(work, kept, deliveries).await?,
                Mode::Remove => remove(work, kept, deliveries, cutoff).await?,
            };
            work.pause().await;
        }
        mark = next;
        if work.mode == Mode::Remove {
            write_mark(work, name, mark).await?;
        }
    }
}

/// The next deliveries in the order of decision, and those among them and before them, of the same
/// releases and platforms, that have something which may go.
async fn visit(
    work: &Work<'_>,
    kept: Kept,
    mark: Mark,
    cutoff: DateTime<Utc>,
) -> Result<(Option<Mark>, Vec<Uuid>), sqlx::Error> {
    let visited = sqlx::query_file!(
        "src/retention/visit.sql",
        mark.decided_at,
        mark.delivery,
        cutoff,
        work.policy.limit(),
        kept == Kept::Evidence,
    )
    .fetch_one(work.pool)
    .await?;
    let next = match (visited.last_decided_at, visited.last_id) {
        (Some(decided_at), Some(delivery)) => Some(Mark {
            decided_at,
            delivery,
        }),
        _ => None,
    };
    Ok((next, visited.gone))
}

async fn count(work: &Work<'_>, kept: Kept, deliveries: &[Uuid]) -> Result<u64, sqlx::Error> {
    let count = match kept {
        Kept::Evidence => {
            sqlx::query_scalar!(
                r#"select count(*) as "count!" from worker.evidence where delivery_id = any($1)"#,
                deliveries,
            )
            .fetch_one(work.pool)
            .await?
        }
        Kept::Files => sqlx::query_scalar!(
            r#"select count(*) as "count!" from worker.delivery_files where delivery_id = any($1)"#,
            deliveries,
        )
        .fetch_one(work.pool)
        .await?,
    };
    Ok(count.unsigned_abs())
}

async fn remove(
    work: &Work<'_>,
    kept: Kept,
    deliveries: &[Uuid],
    cutoff: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let mut tx = work.pool.begin().await?;
    // One that was taken up again in the meantime keeps what it has; the others cannot be taken up
    // before this is done.
    let still = sqlx::query_scalar!(
        r#"select id from worker.deliveries
           where id = any($1) and decided_at < $2
             and state in ('accepted', 'rejected', 'failed', 'canceled')
           order by id for share"#,
        deliveries,
        cutoff,
    )
    .fetch_all(&mut *tx)
    .await?;
    let done = match kept {
        Kept::Evidence => {
            sqlx::query!(
                "delete from worker.evidence where delivery_id = any($1)",
                &still
            )
            .execute(&mut *tx)
            .await?
        }
        Kept::Files => {
            sqlx::query!(
                "delete from worker.delivery_files where delivery_id = any($1)",
                &still
            )
            .execute(&mut *tx)
            .await?
        }
    };
    tx.commit().await?;
    Ok(done.rows_affected())
}

async fn read_mark(work: &Work<'_>, name: &str) -> Result<Mark, sqlx::Error> {
    let mark = sqlx::query_as!(
        Mark,
        "select decided_at, delivery_id as delivery from worker.retention_marks where name = $1",
        name,
    )
    .fetch_optional(work.pool)
    .await?;
    Ok(mark.unwrap_or(Mark {
        decided_at: DateTime::UNIX_EPOCH,
        delivery: Uuid::nil(),
    }))
}

async fn write_mark(work: &Work<'_>, name: &str, mark: Mark) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into worker.retention_marks (name, decided_at, delivery_id) values ($1, $2, $3)
           on conflict (name) do update
               set decided_at = excluded.decided_at, delivery_id = excluded.delivery_id"#,
        name,
        mark.decided_at,
        mark.delivery,
    )
    .execute(work.pool)
    .await?;
    Ok(())
}
