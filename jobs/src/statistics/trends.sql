-- Computes the trends that follow from changed user-days ($1 users, $2 days, all between $3 and $4)
-- and writes those that differ. The rows' own figures are in worker.statistics_days.
with rows as materialized (
    select d.user_id, d.date, d.streams, d.downloads, d.revenue
    from worker.statistics_days d
    where d.date between $3::date + 1 and $4::date + 28
      and exists (
          select from unnest($1::integer[], $2::date[]) as changed (user_id, date)
          where changed.user_id = d.user_id and d.date between changed.date + 1 and changed.date + 28
      )
),
trends as materialized (
    select r.user_id, r.date, ('{' || worker.trend(r.streams, r.downloads, r.revenue,
            coalesce(sum(h.streams) filter (where h.date = r.date - 1), 0)::bigint,
            coalesce(sum(h.downloads) filter (where h.date = r.date - 1), 0)::bigint,
            coalesce(sum(h.revenue) filter (where h.date = r.date - 1), 0.0000),
            coalesce(sum(h.streams) filter (where h.date = r.date - 7), 0)::bigint,
            coalesce(sum(h.downloads) filter (where h.date = r.date - 7), 0)::bigint,
            coalesce(sum(h.revenue) filter (where h.date = r.date - 7), 0.0000),
            coalesce(sum(h.streams) filter (where h.date > r.date - 7), 0)::bigint,
            coalesce(sum(h.downloads) filter (where h.date > r.date - 7), 0)::bigint,
            coalesce(sum(h.revenue) filter (where h.date > r.date - 7), 0.0000),
            coalesce(sum(h.streams), 0)::bigint, coalesce(sum(h.downloads), 0)::bigint,
            coalesce(sum(h.revenue), 0.0000)
        ) || '}')::jsonb as trend
    from rows r
    left join worker.statistics_days h
        on h.user_id = r.user_id and h.date between r.date - 27 and r.date - 1
    group by r.user_id, r.date, r.streams, r.downloads, r.revenue
),
-- The newest of several rows for one day, as everywhere.
present as (
    select distinct on (d.user_id, d.date) d.id, d.trend_data, t.trend
    from trends t join public.daily_stats d on d.user_id = t.user_id and d.date = t.date
    order by d.user_id, d.date, d.id desc
)
update public.daily_stats d
set trend_data = coalesce(p.trend_data, '{}') || p.trend
from present p
where d.id = p.id and not coalesce(p.trend_data @> p.trend, false)
