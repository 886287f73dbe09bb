//! What a run reads: usage as totals, and all that decides who gets what, in one snapshot, stored.
//! Where usage lies is known here alone.

use chrono::NaiveDate;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{compute::Meter, lanes::Part, period::Period, run::Run};

/// A month of usage that a run looks at.
struct Month {
    first_day: NaiveDate,
    /// Only versions of splits that were kept by then count for tracks that others have settled:
    /// they are not settled anew because somebody dates a share back. `None`: all.
    as_of: Option<chrono::DateTime<chrono::Utc>>,
}

/// Makes room for what is read: removes what an earlier computation of the run stored, and keeps the
/// shares as they stand, where nobody did when they changed. Committed before anything is read, so that
/// both connections see it.
pub(super) async fn make_room(
    conn: &mut PgConnection,
    run: Uuid,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), sqlx::Error> {
    forget(conn, run).await?;
    sqlx::query_scalar!("select worker.capture_splits(null, null, $1)", now)
        .fetch_one(&mut *conn)
        .await?;
    sqlx::query!("analyze worker.split_versions")
        .execute(conn)
        .await?;
    Ok(())
}

/// Reads usage, splits, terms and owners, and stores what the run is to settle.
///
/// The caller's transaction is REPEATABLE READ and holds the turn (see `compute`); the second one, if
/// there is one, sees the same and reads half of it.
pub(super) async fn read(
    conn: &mut PgConnection,
    second: Option<&mut PgConnection>,
    run: &Run,
    meter: &mut Meter<'_>,
) -> Result<(), sqlx::Error> {
    let months = months(conn, run).await?;
    let others = others(conn, run.id).await?;
    let total = i64::try_from(months.len()).unwrap_or(i64::MAX);
    meter.tell("usage", 0, total).await?;
    match second {
        Some(second) => {
            let [first, other] = Part::HALVES;
            tokio::try_join!(
                read_part(conn, run, first, &months, &others, Some(meter)),
                read_part(second, run, other, &months, &others, None),
            )?;
        }
        None => read_part(conn, run, Part::ALL, &months, &others, Some(meter)).await?,
    }
    // The planner knows nothing of rows that these transactions wrote.
    sqlx::query!("analyze worker.royalty_lines")
        .execute(&mut *conn)
        .await?;
    sqlx::query!("analyze worker.royalty_tracks")
        .execute(conn)
        .await?;
    Ok(())
}

/// Reads what belongs to some of the tracks.
async fn read_part(
    conn: &mut PgConnection,
    run: &Run,
    part: Part,
    months: &[Month],
    others: &[Uuid],
    mut meter: Option<&mut Meter<'_>>,
) -> Result<(), sqlx::Error> {
    // What this transaction writes is not in the planner's statistics, and two that analyse a table
    // would wait for each other. Of all joins a hash join is the one that no wrong estimate ruins. A
    // statement must not need another one: its planner would no longer tell them apart.
    sqlx::raw_sql("set local enable_nestloop = off; set local enable_mergejoin = off")
        .execute(&mut *conn)
        .await?;
    let total = i64::try_from(months.len()).unwrap_or(i64::MAX);
    let is_foreign = is_foreign(conn, run).await?;
    for (month, done) in months.iter().zip(1..) {
        segments(conn, run, part, month, others).await?;
        let first_day = month.first_day;
        let is_plain = !is_foreign && !has_parts(conn, run.id, first_day).await?;
        lines(conn, run, part, first_day, is_plain, others).await?;
        if let Some(meter) = &mut meter {
            meter.tell("usage", done, total).await?;
        }
    }
    tracks(conn, run, part, others).await?;
    sqlx::raw_sql("set local enable_nestloop = on; set local enable_mergejoin = on")
        .execute(conn)
        .await?;
    Ok(())
}

/// Removes what an earlier computation of the run stored.
async fn forget(conn: &mut PgConnection, run: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from worker.royalty_segments where run_id = $1", run)
        .execute(&mut *conn)
        .await?;
    sqlx::query!("delete from worker.royalty_lines where run_id = $1", run)
        .execute(&mut *conn)
        .await?;
    sqlx::query!("delete from worker.royalty_tracks where run_id = $1", run)
        .execute(conn)
        .await?;
    Ok(())
}

/// The run's own month; and for a first run the months before it that are final, for usage that
/// came late.
async fn months(conn: &mut PgConnection, run: &Run) -> Result<Vec<Month>, sqlx::Error> {
    let own = Month {
        first_day: run.period.first_day(),
        as_of: None,
    };
    let mut months = vec![own];
    if !run.is_revision() {
        let earliest = run.period.earlier(run.rules.late_months);
        let rows = sqlx::query!(
            r#"select period, max(final_at) as final_at from worker.royalty_runs
               where state in ('final', 'paid') and period >= $1 and period < $2
               group by period order by period desc"#,
            String::from(earliest),
            String::from(run.period),
        )
        .fetch_all(conn)
        .await?;
        months.extend(rows.into_iter().filter_map(|row| {
            Some(Month {
                first_day: row.period.parse::<Period>().ok()?.first_day(),
                as_of: row.final_at,
            })
        }));
    }
    Ok(months)
}

/// The runs whose lines count as settled: all others that are not void. An open one counts too, so
/// that two open runs never settle the same late usage, but not while it has no whole input: what lies
/// there then was left by a computation that did not end.
async fn others(conn: &mut PgConnection, run: Uuid) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from worker.royalty_runs where state <> 'void' and input_at is not null and id <> $1",
        run,
    )
    .fetch_all(conn)
    .await
}

/// Which version of the splits holds for a track on which days of the month: of the track's own
/// versions that hold on a day the last one, if it has a share that counts, or else of its release's.
async fn segments(
    conn: &mut PgConnection,
    run: &Run,
    part: Part,
    month: &Month,
    others: &[Uuid],
) -> Result<(), sqlx::Error> {
    let last_day = Period::of(month.first_day).next().first_day() - chrono::Days::new(1);
    sqlx::query!(
        r#"insert into worker.royalty_segments
               (run_id, usage_month, track_id, first_day, last_day, split_version, is_part)
           with version as (
               select id, track_id, release_id, valid_from,
                   $4::timestamptz is not null and captured_at > $4 as is_later,
                   exists (select from jsonb_array_elements(shares) share
                           where share ->> 'split_type' = 'royalty'
                             and (share ->> 'status' = 'pending' or share ->> 'status' = any ($5))) as counts
               from worker.split_versions
               where valid_from <= $3
           ), holding as (
               select t.id as track_id, v.id, v.valid_from, v.counts, v.is_later, true as is_own
               from version v join public.tracks t on t.id = v.track_id
               where t.id % $7 between $8 and $9
               union all
               select t.id, v.id, v.valid_from, v.counts, v.is_later, false
               from version v join public.tracks t on t.release_id = v.release_id
               where t.id % $7 between $8 and $9
           ), scoped as (
               select track_id, id, greatest(valid_from, $2) as first_day, counts, is_own
               from holding h
               where not is_later or not exists (
                   select from worker.royalty_tracks x
                   where x.run_id = any ($6) and x.usage_month = $2 and x.track_id = h.track_id
                     and x.set_aside is null)
           ), point as (
               select track_id, first_day from scoped
               union
               select track_id, $2 from scoped
           ), latest as (
               select distinct on (p.track_id, p.first_day, s.is_own)
                   p.track_id, p.first_day, s.is_own, s.id, s.counts
               from point p join scoped s on s.track_id = p.track_id and s.first_day <= p.first_day
               order by p.track_id, p.first_day, s.is_own, s.id desc
           ), chosen as (
               select distinct on (track_id, first_day) track_id, first_day, id
               from latest where counts
               order by track_id, first_day, is_own desc
           )
           select $1, $2, p.track_id, p.first_day,
               coalesce(lead(p.first_day) over (partition by p.track_id order by p.first_day) - 1, $3),
               coalesce(c.id, 0), count(*) over (partition by p.track_id) > 1
           from point p left join chosen c using (track_id, first_day)"#,
        run.id,
        month.first_day,
        last_day,
        month.as_of,
        &run.rules.agreed_statuses,
        others,
        part.of,
        part.first,
        part.last,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether a track has several versions of its splits in the month.
async fn has_parts(
    conn: &mut PgConnection,
    run: Uuid,
    month: NaiveDate,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from worker.royalty_segments
                          where run_id = $1 and usage_month = $2 and is_part) as "has!""#,
        run,
        month,
    )
    .fetch_one(conn)
    .await
}

/// Whether any usage was reported in another currency.
async fn is_foreign(conn: &mut PgConnection, run: &Run) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from worker.usage_lines where currency <> $1) as "is!""#,
        run.currency,
    )
    .fetch_one(conn)
    .await
}

/// What usage says of a month now, minus what other runs have settled of it.
///
/// What a row was reported as, where that is another currency, stands in `worker.usage_lines`, whoever
/// wrote the usage; one without a rate there has not been converted.
///
/// Rows are summed first by what stands in them, and texts are looked at after that: there are
/// millions of rows and some hundred texts. Of two ways to sum them only the one that is needed runs:
/// `is_plain` says that usage is just what `analytics` says, and looking for splits and currencies takes
/// longer than the sum itself.
async fn lines(
    conn: &mut PgConnection,
    run: &Run,
    part: Part,
    month: NaiveDate,
    is_plain: bool,
    others: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into worker.royalty_lines
               (run_id, usage_month, track_id, split_version, platform_id, territory, is_download, currency,
                streams, downloads, revenue, original, lowest_rate, highest_rate, unconverted, is_estimated)
           with usage as (
               select a.track_id, g.split_version, a.platform_id, a.territory,
                   coalesce(a.downloads, 0) <> 0 and coalesce(a.streams, 0) = 0 as is_download, u.currency,
                   coalesce(sum(a.streams), 0) as streams, coalesce(sum(a.downloads), 0) as downloads,
                   coalesce(sum(a.revenue), 0) as revenue, sum(u.amount) as original,
                   min(u.rate) as lowest_rate, max(u.rate) as highest_rate,
                   count(u.analytics_id) filter (where u.rate is null) as unconverted
               from public.analytics a
               left join worker.royalty_segments g
                   on g.run_id = $1 and g.usage_month = $2 and g.is_part
                   and g.track_id = a.track_id and a.date between g.first_day and g.last_day
               -- What was reported in the accounting currency is what `analytics` says.
               left join worker.usage_lines u on u.analytics_id = a.id and u.currency <> $5
               where not $6::boolean and a.date >= $2 and a.date < $3 and a.track_id % $7 between $8 and $9
               group by a.track_id, g.split_version, a.platform_id, a.territory, 5, u.currency
               union all
               select a.track_id, null, a.platform_id, a.territory,
                   coalesce(a.downloads, 0) <> 0 and coalesce(a.streams, 0) = 0, null,
                   coalesce(sum(a.streams), 0), coalesce(sum(a.downloads), 0), coalesce(sum(a.revenue), 0),
                   null, null, null, 0
               from public.analytics a
               where $6 and a.date >= $2 and a.date < $3 and a.track_id % $7 between $8 and $9
               group by a.track_id, a.platform_id, a.territory, 5
           ), difference as (
               select u.track_id, coalesce(u.split_version, g.split_version, 0) as split_version,
                   coalesce(u.platform_id, 0) as platform_id,
                   coalesce(nullif(upper(btrim(u.territory)), ''), 'ZZ') as territory, u.is_download,
                   coalesce(u.currency, $5) as currency, u.streams, u.downloads,
                   case when p.id is not null and u.revenue = 0
                        then round(u.streams * p.royalty_rate, 4) else u.revenue end as revenue,
                   u.original, u.lowest_rate, u.highest_rate, u.unconverted,
                   p.id is not null and u.revenue = 0 and u.streams <> 0 as is_estimated
               from usage u
               left join worker.royalty_segments g
                   on g.run_id = $1 and g.usage_month = $2 and not g.is_part and g.track_id = u.track_id
               left join public.distribution_platforms p
                   on p.id = u.platform_id and p.format_specs ->> 'reporting' = 'streams_only'
                   and p.royalty_rate is not null
               union all
               select l.track_id, l.split_version, l.platform_id, l.territory, l.is_download, l.currency,
                   -l.streams, -l.downloads, -l.revenue, -l.original, null, null, 0, false
               from worker.royalty_lines l
               where l.usage_month = $2 and l.run_id = any ($4) and l.track_id % $7 between $8 and $9
                 and not exists (select from worker.royalty_tracks x
                                 where x.run_id = l.run_id and x.usage_month = l.usage_month
                                   and x.track_id = l.track_id and x.set_aside is not null)
           )
           select $1, $2, d.track_id, d.split_version, d.platform_id, d.territory, d.is_download, d.currency,
               sum(d.streams), sum(d.downloads), sum(d.revenue), sum(d.original),
               min(d.lowest_rate), max(d.highest_rate), sum(d.unconverted), bool_or(d.is_estimated)
           from difference d
           -- A track that is gone took its usage with it; what it earned stays earned.
           where exists (select from public.tracks t where t.id = d.track_id)
           group by d.track_id, d.split_version, d.platform_id, d.territory, d.is_download, d.currency
           having sum(d.streams) <> 0 or sum(d.downloads) <> 0 or sum(d.revenue) <> 0
               or sum(d.unconverted) <> 0"#,
        run.id,
        month,
        Period::of(month).next().first_day(),
        others,
        run.currency,
        is_plain,
        part.of,
        part.first,
        part.last,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is shared out, per track: its lines' total; in a revision all of the month's, since what
/// was shared out before may have been shared out wrongly.
async fn tracks(
    conn: &mut PgConnection,
    run: &Run,
    part: Part,
    others: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"insert into worker.royalty_tracks
               (run_id, usage_month, track_id, split_version, title, isrc, release_id, release_title, upc,
                owner_id, revenue, streams, downloads, line_digest, is_too_large, unconverted, labels, terms,
                terms_id, shares, unknown_payees)
           with recursive total as (
               select l.usage_month, l.track_id, l.split_version, sum(l.revenue) as revenue,
                   sum(l.streams)::bigint as streams, sum(l.downloads)::bigint as downloads,
                   md5(string_agg(concat_ws('|', l.platform_id, l.territory, l.is_download, l.currency, l.streams,
                           l.downloads, l.revenue, l.original, l.lowest_rate, l.highest_rate, l.is_estimated), E'\n'
                       order by l.platform_id, l.territory, l.is_download, l.currency, l.run_id)) as line_digest,
                   bool_or(abs(l.revenue) >= 100000000 or abs(l.streams) > 2147483647)
                       -- Lines that differ in version or type alone may become one row.
                       or (count(*) over track > 1 or bool_or(l.is_download) <> bool_and(l.is_download))
                          and (sum(sum(abs(l.revenue))) over track >= 100000000
                               or sum(sum(abs(l.streams))) over track > 2147483647) as is_too_large,
                   sum(l.unconverted)::bigint as unconverted
               from worker.royalty_lines l
               where l.track_id % $6 between $7 and $8
                 and (l.run_id = $1
                      or ($2 and l.run_id = any ($3) and l.usage_month = $4
                          and not exists (select from worker.royalty_tracks x
                                          where x.run_id = l.run_id and x.usage_month = l.usage_month
                                            and x.track_id = l.track_id and x.set_aside is not null)))
               group by l.usage_month, l.track_id, l.split_version
               window track as (partition by l.usage_month, l.track_id)
           ), chain as (
               select id as owner_id, parent_label_id as label, 1 as depth
               from public.users where parent_label_id is not null
               union all
               select c.owner_id, u.parent_label_id, c.depth + 1
               from chain c join public.users u on u.id = c.label
               -- One more than is allowed, so that a longer chain and a cycle are seen.
               where u.parent_label_id is not null and c.depth < 6
           ), labels as (
               select owner_id, array_agg(label order by depth) as labels from chain group by owner_id
           ), own_terms as (
               select distinct on (track_id) track_id, id, royalty_terms from public.rights_management
               where track_id is not null and royalty_terms <> '{}'
                 and lower(coalesce(verification_status, 'pending')) not in ('rejected', 'refused', 'revoked')
               order by track_id, id desc
           ), release_terms as (
               select distinct on (release_id) release_id, id, royalty_terms from public.rights_management
               where track_id is null and release_id is not null and royalty_terms <> '{}'
                 and lower(coalesce(verification_status, 'pending')) not in ('rejected', 'refused', 'revoked')
               order by release_id, id desc
           ), chosen as materialized (
               select id, shares from worker.split_versions where id in (select split_version from total)
           ), share as materialized (
               select v.id, e.place, e.share, (e.share ->> 'user_id')::integer as user_id,
                   (e.share ->> 'share')::integer as share_id
               from chosen v cross join jsonb_array_elements(v.shares) with ordinality as e (share, place)
           ), version as materialized (
               select e.id,
                   jsonb_agg(e.share || case when r.id is null then '{}' else '{"is_agreed": true}'::jsonb end
                       order by e.place) as shares,
                   array_agg(e.user_id order by e.place)
                       filter (where u.id is null and e.share ->> 'split_type' = 'royalty') as unknown_payees
               from share e
               left join public.users u on u.id = e.user_id
               left join public.revenue_shares r
                   on r.id = e.share_id and e.share ->> 'status' = 'pending' and lower(btrim(r.status)) = any ($5)
               group by e.id
           )
           select $1, l.usage_month, l.track_id, l.split_version, t.title, t.isrc, r.id, r.title, r.upc,
               coalesce(r.user_id, t.user_id), l.revenue, l.streams, l.downloads, l.line_digest,
               l.is_too_large, l.unconverted, coalesce(b.labels, '{}'),
               coalesce(o.royalty_terms, m.royalty_terms, '{}'), coalesce(o.id, m.id),
               coalesce(v.shares, '[]'), coalesce(v.unknown_payees, '{}')
           from total l
           join public.tracks t on t.id = l.track_id
           left join public.releases r on r.id = t.release_id
           left join version v on v.id = l.split_version
           left join labels b on b.owner_id = coalesce(r.user_id, t.user_id)
           left join own_terms o on o.track_id = t.id
           left join release_terms m on m.release_id = r.id"#,
        run.id,
        run.is_revision(),
        others,
        run.period.first_day(),
        &run.rules.agreed_statuses,
        part.of,
        part.first,
        part.last,
    )
    .execute(conn)
    .await?;
    Ok(())
}
