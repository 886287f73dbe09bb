//! What the web application shows of a run: rows of `royalty_calculations`, one per track, platform,
//! distribution record, territory, currency and royalty type, and month of usage.

use chrono::{DateTime, NaiveDateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    compute::{ComputeError, Meter, added},
    run::{Run, Totals},
};

/// Writes the rows of a run that was just shared out, instead of those it had before.
///
/// The rows' ids are remembered as a span, and each row names its run, so that they are found again
/// without an index of ours on the web application's table.
pub(super) async fn write(
    conn: &mut PgConnection,
    run: &Run,
    totals: &mut Totals,
    meter: &mut Meter<'_>,
) -> Result<(), ComputeError> {
    meter.tell("calculations", 0, 1).await?;
    remove(conn, run.id).await?;
    let written = sqlx::query!(
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
               where l.run_id = $1
                 and not exists (select from worker.royalty_tracks x
                                 where x.run_id = $1 and x.usage_month = l.usage_month
                                   and x.track_id = l.track_id and x.set_aside is not null)
           ), written as (
               insert into public.royalty_calculations
                   (track_id, platform_id, distribution_id, period, streams, revenue, royalty_type,
                    calculation_date, status, details, exchange_rate, currency, territory, created_at, updated_at)
               select l.track_id, nullif(l.platform_id, 0), d.id, to_char(l.usage_month, 'YYYY-MM'), l.streams,
                   l.revenue, l.royalty_type::royalty_type, $2, 'pending',
                   $4::jsonb || jsonb_strip_nulls(jsonb_build_object(
                       'downloads', nullif(l.downloads, 0),
                       'estimated', nullif(l.is_estimated, false),
                       'original_amount', l.original::text,
                       'rate', case when l.lowest_rate = l.highest_rate then l.lowest_rate::text end,
                       'rates', case when l.lowest_rate <> l.highest_rate
                                     then jsonb_build_array(l.lowest_rate::text, l.highest_rate::text) end)),
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
        timestamp(meter.now()),
        json!(run.rules.royalty_types),
        details(run),
    )
    .fetch_one(&mut *conn)
    .await?;
    totals.calculations = u64::try_from(written.rows).unwrap_or_default();
    sqlx::query!(
        "update worker.royalty_runs set calculation_ids = int8range($2, $3, '[]') where id = $1",
        run.id,
        written.first.map(i64::from),
        written.last.map(i64::from),
    )
    .execute(&mut *conn)
    .await?;
    // With late usage and in a revision the lines are the difference, as the entries are.
    let mut is = written.revenue;
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

/// Removes the rows of a run that is computed again.
async fn remove(conn: &mut PgConnection, run: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"delete from public.royalty_calculations c using worker.royalty_runs r
           where r.id = $1 and c.id between lower(r.calculation_ids) and upper(r.calculation_ids) - 1
             and c.details ->> 'run' = r.id::text"#,
        run,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives the rows of a run another status: `final`, `void`.
pub(super) async fn set_status(
    conn: &mut PgConnection,
    run: Uuid,
    status: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update public.royalty_calculations c set status = $2, updated_at = $3
           from worker.royalty_runs r
           where r.id = $1 and c.id between lower(r.calculation_ids) and upper(r.calculation_ids) - 1
             and c.details ->> 'run' = r.id::text"#,
        run,
        status,
        timestamp(now),
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
           where r.id = $1 and c.id between lower(r.calculation_ids) and upper(r.calculation_ids) - 1
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
