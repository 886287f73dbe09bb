//! What the web application shows of a run: rows of `royalty_calculations`, one per track, platform,
//! distribution record, territory, currency and royalty type, and month of usage.

use chrono::{DateTime, NaiveDateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    compute::{ComputeError, added},
    lanes::Part,
    run::{Run, Totals},
    settle::Month,
};

/// Rows that were written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    rows: i64,
    /// The span of their ids.
    first: Option<i32>,
    last: Option<i32>,
    revenue: Decimal,
}

/// Removes the rows that a run has, and notes where those begin that it will get: so they are found
/// again if the computation ends in between. The caller commits before the first is written.
///
/// The rows' ids are remembered as a span, and each row names its run, so that they are found again
/// without an index of ours on the web application's table.
pub(super) async fn clear(conn: &mut PgConnection, run: Uuid) -> Result<(), sqlx::Error> {
    let open = sqlx::query_scalar!(
        "select id from worker.royalty_runs where id = $1 and state = 'running' for update",
        run,
    )
    .fetch_optional(&mut *conn)
    .await?;
    if open.is_none() {
        return Ok(());
    }
    remove(conn, run).await?;
    sqlx::query!(
        r#"update worker.royalty_runs
           set calculation_ids = int8range((select coalesce(max(id), 0) + 1 from public.royalty_calculations), null)
           where id = $1"#,
        run,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the rows of some of a run's tracks, but for those that a column might not hold, which are set
/// aside anyway. Who else is set aside need not be known yet.
///
/// Lines become one row each, unless some differ in the version of the splits or in what is no part of
/// a row's key.
pub(super) async fn write(
    conn: &mut PgConnection,
    run: &Run,
    part: Part,
    now: DateTime<Utc>,
) -> Result<Written, sqlx::Error> {
    sqlx::query_as!(
        Written,
        r#"with kind as (
               select key, value, nullif(split_part(key, ':', 1), key)::integer as platform_id,
                   split_part(key, ':', case when key like '%:%' then 2 else 1 end) = 'download' as is_download
               from jsonb_each_text($3::jsonb)
           ), record as (
               select distinct on (release_id, platform_id) release_id, platform_id, id
               from public.distribution_records order by release_id, platform_id, id desc
           ), line as (
               select l.track_id, l.platform_id, l.usage_month, l.territory, l.currency,
                   coalesce(k.value, g.value, 'digital') as royalty_type, l.streams, l.downloads, l.revenue,
                   l.original, l.lowest_rate, l.highest_rate, l.is_estimated
               from worker.royalty_lines l
               left join kind k on k.platform_id = l.platform_id and k.is_download = l.is_download
               left join kind g on g.platform_id is null and g.is_download = l.is_download
               where l.run_id = $1 and l.track_id % $5 between $6 and $7
                 and not exists (select from worker.royalty_tracks x
                                 where x.run_id = $1 and x.usage_month = l.usage_month
                                   and x.track_id = l.track_id and (x.is_too_large or x.unconverted > 0))
           ), written as (
               insert into public.royalty_calculations
                   (track_id, platform_id, distribution_id, period, streams, revenue, royalty_type,
                    calculation_date, status, details, exchange_rate, currency, territory, created_at, updated_at)
               select l.track_id, nullif(l.platform_id, 0), d.id, to_char(l.usage_month, 'YYYY-MM'), l.streams,
                   l.revenue, l.royalty_type::royalty_type, $2, 'pending',
                   -- Most rows say no more than which run they are of.
                   case when l.downloads = 0 and not l.is_estimated and l.original is null and l.lowest_rate is null
                        then $4::jsonb
                        else $4::jsonb || jsonb_strip_nulls(jsonb_build_object(
                            'downloads', nullif(l.downloads, 0),
                            'estimated', nullif(l.is_estimated, false),
                            'original_amount', l.original::text,
                            'rate', case when l.lowest_rate = l.highest_rate then l.lowest_rate::text end,
                            'rates', case when l.lowest_rate <> l.highest_rate
                                          then jsonb_build_array(l.lowest_rate::text, l.highest_rate::text) end))
                   end,
                   case when l.lowest_rate = l.highest_rate and round(l.lowest_rate, 6) between 0.000001 and 9999.999999
                        then round(l.lowest_rate, 6) end,
                   l.currency, l.territory, $2, $2
               from (
                   select track_id, platform_id, usage_month, territory, currency, royalty_type,
                       sum(streams) as streams, sum(downloads) as downloads, sum(revenue) as revenue,
                       sum(original) as original, min(lowest_rate) as lowest_rate,
                       max(highest_rate) as highest_rate, bool_or(is_estimated) as is_estimated
                   from line group by track_id, platform_id, usage_month, territory, currency, royalty_type
               ) l
               join public.tracks t on t.id = l.track_id
               left join record d on d.release_id = t.release_id and d.platform_id = l.platform_id
               returning id, revenue
           )
           select count(*) as "rows!", min(id) as first, max(id) as last, coalesce(sum(revenue), 0) as "revenue!"
           from written"#,
        run.id,
        timestamp(now),
        json!(run.rules.royalty_types),
        details(run),
        part.of,
        part.first,
        part.last,
    )
    .fetch_one(conn)
    .await
}

/// Removes what was written of tracks that are set aside, notes the span of all rows, and holds them
/// against the run's revenue. `written` is what each connection wrote: its rows are not seen by the
/// other one.
pub(super) async fn finish(
    conn: &mut PgConnection,
    second: Option<&mut PgConnection>,
    run: &Run,
    aside: &[Month],
    written: [Written; 2],
    totals: &mut Totals,
) -> Result<(), ComputeError> {
    let [own, beside] = written;
    let mut gone = vec![drop_aside(conn, run.id, aside, own).await?];
    if let Some(second) = second {
        gone.push(drop_aside(second, run.id, aside, beside).await?);
    }
    let mut rows = own.rows + beside.rows;
    let mut is = added(own.revenue, beside.revenue)?;
    for (less, revenue) in gone {
        rows -= less;
        is = added(is, -revenue)?;
    }
    totals.calculations = u64::try_from(rows).unwrap_or_default();
    let first = own.first.into_iter().chain(beside.first).min();
    let last = own.last.into_iter().chain(beside.last).max();
    sqlx::query!(
        "update worker.royalty_runs set calculation_ids = int8range($2, $3, '[]') where id = $1",
        run.id,
        first.map(i64::from),
        last.map(i64::from),
    )
    .execute(&mut *conn)
    .await?;
    // With late usage and in a revision the lines are the difference, as the entries are.
    if is != totals.revenue {
        is = added(is, of_tracks_gone(conn, run.id).await?)?;
    }
    if is != totals.revenue {
        return Err(ComputeError::DoesNotAddUp {
            what: "royalty_calculations",
            is,
            should_be: totals.revenue,
        });
    }
    Ok(())
}

/// Removes those of the rows just written whose track is set aside: how many, and what they come to.
async fn drop_aside(
    conn: &mut PgConnection,
    run: Uuid,
    aside: &[Month],
    written: Written,
) -> Result<(i64, Decimal), sqlx::Error> {
    if aside.is_empty() {
        return Ok((0, Decimal::ZERO));
    }
    let (months, tracks): (Vec<_>, Vec<_>) = aside.iter().copied().unzip();
    let gone = sqlx::query!(
        r#"with gone as (
               delete from public.royalty_calculations c
               using unnest($2::date[], $3::integer[]) as aside (usage_month, track_id)
               where c.id between $4 and $5 and c.details ->> 'run' = $1::uuid::text
                 and c.track_id = aside.track_id and c.period = to_char(aside.usage_month, 'YYYY-MM')
               returning c.revenue
           )
           select count(*) as "rows!", coalesce(sum(revenue), 0) as "revenue!" from gone"#,
        run,
        &months,
        &tracks,
        written.first,
        written.last,
    )
    .fetch_one(conn)
    .await?;
    Ok((gone.rows, gone.revenue))
}

/// What the run settles of tracks that were deleted since it read its input: they earned it, and have
/// no rows.
async fn of_tracks_gone(conn: &mut PgConnection, run: Uuid) -> Result<Decimal, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(l.revenue), 0) as "sum!"
           from worker.royalty_lines l
           where l.run_id = $1
             and not exists (select from public.tracks t where t.id = l.track_id)
             and not exists (select from worker.royalty_tracks x
                             where x.run_id = $1 and x.usage_month = l.usage_month
                               and x.track_id = l.track_id and x.set_aside is not null)"#,
        run,
    )
    .fetch_one(conn)
    .await
}

/// What every row of the run says of it.
fn details(run: &Run) -> Value {
    json!({"run": run.id, "run_period": run.period, "revision": run.revision})
}

fn timestamp(now: DateTime<Utc>) -> NaiveDateTime {
    now.naive_utc()
}

/// Removes the rows of a run.
async fn remove(conn: &mut PgConnection, run: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"delete from public.royalty_calculations c using worker.royalty_runs r
           where r.id = $1 and c.id between lower(r.calculation_ids) and coalesce(upper(r.calculation_ids) - 1, 2147483647)
             and c.details ->> 'run' = r.id::text"#,
        run,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives the rows of some of a run's tracks another status: `final`, `void`.
pub(super) async fn set_status(
    conn: &mut PgConnection,
    run: Uuid,
    part: Part,
    status: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update public.royalty_calculations c set status = $2, updated_at = $3
           from worker.royalty_runs r
           where r.id = $1 and c.id between lower(r.calculation_ids) and coalesce(upper(r.calculation_ids) - 1, 2147483647)
             and c.details ->> 'run' = r.id::text and c.track_id % $4 between $5 and $6"#,
        run,
        status,
        timestamp(now),
        part.of,
        part.first,
        part.last,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks as paid those rows of a run whose track has no payee left to be paid.
pub(super) async fn mark_paid(
    conn: &mut PgConnection,
    run: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update public.royalty_calculations c set status = 'paid', paid_date = $2, updated_at = $2
           from worker.royalty_runs r
           where r.id = $1 and c.id between lower(r.calculation_ids) and coalesce(upper(r.calculation_ids) - 1, 2147483647)
             and c.details ->> 'run' = r.id::text and c.status = 'final'
             and not exists (
                 select from worker.royalty_shares s
                 join worker.royalty_payments p on p.run_id = s.run_id and p.payee_id = s.payee_id
                 where s.run_id = r.id and s.track_id = c.track_id and p.paid_at is null)"#,
        run,
        timestamp(now),
    )
    .execute(conn)
    .await?;
    Ok(())
}
