//! What the queue, cron, the outbox and partners leave behind: jobs, attempts, runs, notifications,
//! names of notices, statements. Jobs and attempts are walked along their keys, whose order is the order of creation, and no further than the age asks for: so no
//! index is needed that every job would have to pay for.
//!
//! The planner cannot know how many rows a batch has, and would read and sort whole tables to be
//! ready for many. So each walk has a limit that it can read, above the one that is passed in, and
//! other tables are asked in scalar subqueries and not in `exists`.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgQueryResult;
use uuid::{Builder, Uuid};

use super::{Mode, Work};

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Completed or canceled.
    Well,
    Dead,
}

impl Ended {
    fn states(self) -> &'static [&'static str] {
        match self {
            Self::Well => &["completed", "canceled"],
            Self::Dead => &["dead"],
        }
    }
}

/// The smallest key that a row of this time has.
fn first_key(at: DateTime<Utc>) -> Uuid {
    let ms = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(ms, &[0; 10]).into_uuid()
}

fn length<T>(rows: &[T]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

/// Finished jobs, but for those of deliveries that are not decided.
pub(super) async fn jobs(work: &Work<'_>, ended: Ended) -> Result<u64, sqlx::Error> {
    let days = match ended {
        Ended::Well => work.policy.jobs_days,
        Ended::Dead => work.policy.dead_jobs_days,
    };
    let Some(cutoff) = work.cutoff(days) else {
        return Ok(0);
    };
    let (mut after, mut rows) = (Uuid::nil(), 0);
    loop {
        let visited = sqlx::query!(
            r#"with ahead as not materialized (
                   select id, state, finished_at, arguments from worker.jobs
                   where id > $1 and id < $2 order by id limit 10000
               ), visited as materialized (
                   select * from ahead order by id limit $3
               )
               select (select id from visited order by id desc limit 1) as last,
                   array(select v.id from visited v
                         where v.finished_at < $4 and v.state = any($5)
                           and coalesce((
                               select d.state in ('accepted', 'rejected', 'failed', 'canceled')
                               from worker.deliveries d
                               where d.id = case when v.arguments->>'delivery'
                                         ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                                     then (v.arguments->>'delivery')::uuid end), true)) as "gone!""#,
            after,
            first_key(cutoff),
            work.policy.limit(),
            cutoff,
            ended.states() as _,
        )
        .fetch_one(work.pool)
        .await?;
        let Some(last) = visited.last else {
            return Ok(rows);
        };
        after = last;
        rows += match work.mode {
            Mode::Count => length(&visited.gone),
            // A dead job may have been taken up again in the meantime.
            Mode::Remove if !visited.gone.is_empty() => sqlx::query_scalar!(
                r#"with gone as (
                       delete from worker.jobs where id = any($1) and finished_at < $2 returning id
                   ), unlisted as (
                       delete from worker.upkeep_jobs where id = any(array(select id from gone))
                   )
                   select count(*) as "gone!" from gone"#,
                &visited.gone,
                cutoff,
            )
            .fetch_one(work.pool)
            .await?
            .unsigned_abs(),
            Mode::Remove => 0,
        };
        work.pause().await;
    }
}

/// Attempts that ended, but for those of unfinished jobs and of deliveries that are not decided.
pub(super) async fn attempts(work: &Work<'_>) -> Result<u64, sqlx::Error> {
    let Some(cutoff) = work.cutoff(work.policy.attempts_days) else {
        return Ok(0);
    };
    let (mut after, mut rows) = ((Uuid::nil(), Uuid::nil()), 0);
    loop {
        let visited = sqlx::query!(
            r#"select v.job_id, v.id,
                   coalesce(v.ended_at < $5, false)
                   and coalesce((select j.finished_at is not null from worker.jobs j
                                 where j.id = v.job_id), true)
                   and coalesce((select d.state in ('accepted', 'rejected', 'failed', 'canceled')
                                 from worker.deliveries d where d.id = v.delivery_id), true)
                   as "goes!"
               from (select * from (
                         select job_id, id, ended_at, delivery_id from worker.attempts
                         where (job_id, id) > ($1, $2) and job_id < $3
                         order by job_id, id limit 10000) ahead
                     order by job_id, id limit $4) v
               order by v.job_id, v.id"#,
            after.0,
            after.1,
            first_key(cutoff),
            work.policy.limit(),
            cutoff,
        )
        .fetch_all(work.pool)
        .await?;
        let Some(last) = visited.last() else {
            return Ok(rows);
        };
        after = (last.job_id, last.id);
        let (jobs, ids): (Vec<Uuid>, Vec<Uuid>) = visited
            .iter()
            .filter(|row| row.goes)
            .map(|row| (row.job_id, row.id))
            .unzip();
        rows += length(&ids);
        if work.mode == Mode::Remove && !ids.is_empty() {
            sqlx::query!(
                r#"delete from worker.attempts a
                   using unnest($1::uuid[], $2::uuid[]) as gone (job_id, id)
                   where a.job_id = gone.job_id and a.id = gone.id"#,
                &jobs,
                &ids,
            )
            .execute(work.pool)
            .await?;
        }
        work.pause().await;
    }
}

/// Notifications that were taken, wanted by nobody, or dismissed.
pub(super) async fn notifications(work: &Work<'_>) -> Result<u64, sqlx::Error> {
    let Some(cutoff) = work.cutoff(work.policy.notifications_days) else {
        return Ok(0);
    };
    let (mut after, mut rows) = (Uuid::nil(), 0);
    loop {
        let visited = sqlx::query!(
            r#"select id, coalesce(settled_at < $4, false)
                   and state in ('delivered', 'unaddressed', 'dismissed') as "goes!"
               from (select * from (
                         select id, settled_at, state from worker.notifications
                         where id > $1 and id < $2 order by id limit 10000) ahead
                     order by id limit $3) v
               order by id"#,
            after,
            first_key(cutoff),
            work.policy.limit(),
            cutoff,
        )
        .fetch_all(work.pool)
        .await?;
        let Some(last) = visited.last() else {
            return Ok(rows);
        };
        after = last.id;
        let gone: Vec<Uuid> = visited
            .iter()
            .filter(|row| row.goes)
            .map(|row| row.id)
            .collect();
        rows += match work.mode {
            Mode::Count => length(&gone),
            // One of them may have been sent again in the meantime.
            Mode::Remove if !gone.is_empty() => sqlx::query!(
                "delete from worker.notifications where id = any($1) and settled_at < $2",
                &gone,
                cutoff,
            )
            .execute(work.pool)
            .await?
            .rows_affected(),
            Mode::Remove => 0,
        };
        work.pause().await;
    }
}

/// Runs of cron entries, but for the newest of each.
pub(super) async fn cron_runs(work: &Work<'_>) -> Result<u64, sqlx::Error> {
    let Some(cutoff) = work.cutoff(work.policy.cron_runs_days) else {
        return Ok(0);
    };
    if work.mode == Mode::Count {
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!"
               from worker.cron_entries e join worker.cron_runs r on r.name = e.name
               where r.tick < $1
                 and exists (select from worker.cron_runs later
                             where later.name = r.name and later.tick > r.tick)"#,
            cutoff,
        )
        .fetch_one(work.pool)
        .await?;
        return Ok(count.unsigned_abs());
    }
    batch_by_batch(work, || {
        sqlx::query!(
            r#"delete from worker.cron_runs r
               using (
                   select found.name, found.tick
                   from worker.cron_entries e cross join lateral (
                       select run.name, run.tick from worker.cron_runs run
                       where run.name = e.name and run.tick < $1
                         and exists (select from worker.cron_runs later
                                     where later.name = run.name and later.tick > run.tick)
                       order by run.tick limit $2
                   ) found
                   limit $2
               ) gone
               where r.name = gone.name and r.tick = gone.tick"#,
            cutoff,
            work.policy.limit(),
        )
        .execute(work.pool)
    })
    .await
}

/// The names of partners' notices that were heard.
pub(super) async fn partner_notices(work: &Work<'_>) -> Result<u64, sqlx::Error> {
    let Some(cutoff) = work.cutoff(work.policy.partner_notices_days) else {
        return Ok(0);
    };
    if work.mode == Mode::Count {
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!" from worker.partner_notices where heard_at < $1"#,
            cutoff,
        )
        .fetch_one(work.pool)
        .await?;
        return Ok(count.unsigned_abs());
    }
    batch_by_batch(work, || {
        sqlx::query!(
            r#"delete from worker.partner_notices n
               using (select platform_id, id from worker.partner_notices
                      where heard_at < $1 order by heard_at limit $2) gone
               where n.platform_id = gone.platform_id and n.id = gone.id"#,
            cutoff,
            work.policy.limit(),
        )
        .execute(work.pool)
    })
    .await
}

/// Statements of all payees, a set at a time: one that is there is whole.
pub(super) async fn statement_sets(work: &Work<'_>) -> Result<u64, sqlx::Error> {
    let Some(cutoff) = work.cutoff(work.policy.statements_days) else {
        return Ok(0);
    };
    if work.mode == Mode::Count {
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!" from worker.statement_sets where finished_at < $1"#,
            cutoff,
        )
        .fetch_one(work.pool)
        .await?;
        return Ok(count.unsigned_abs());
    }
    batch_by_batch(work, || {
        sqlx::query!(
            r#"delete from worker.statement_sets
               where id = (select id from worker.statement_sets where finished_at < $1 limit 1)"#,
            cutoff,
        )
        .execute(work.pool)
    })
    .await
}

/// Deletes a batch at a time until nothing is left that goes.
async fn batch_by_batch<F: Future<Output = Result<PgQueryResult, sqlx::Error>>>(
    work: &Work<'_>,
    delete: impl Fn() -> F,
) -> Result<u64, sqlx::Error> {
    let mut rows = 0;
    loop {
        let gone = delete().await?.rows_affected();
        rows += gone;
        if gone == 0 {
            return Ok(rows);
        }
        work.pause().await;
    }
}
