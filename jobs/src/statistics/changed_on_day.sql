-- The users whose statistics of a day ($1) are not what usage says; with $2 all who have usage or a
-- row of ours on that day, and with $3 also those who have a row of somebody else's.
with lines as (
    select track_id, sum(worker.usage_fingerprint(
        track_id, platform_id, territory, streams, downloads, revenue)) as fingerprint
    from public.analytics
    where date = $1
    group by track_id
),
found as (
    select t.user_id,
        sum(l.fingerprint + worker.track_fingerprint(t.id, t.title, t.release_id, r.title)) as fingerprint
    from lines l
    join public.tracks t on t.id = l.track_id
    left join public.releases r on r.id = t.release_id
    group by t.user_id
),
known as (
    select d.user_id, d.fingerprint, d.streams, d.revenue
    from worker.statistics_days d
    where d.date = $1
)
select coalesce(f.user_id, k.user_id) as "user_id!"
from found f full join known k using (user_id)
where $2::boolean or f.fingerprint is distinct from k.fingerprint
    -- Somebody else took the row away, or changed it.
    or not exists (
        select from public.daily_stats s
        where s.date = $1 and s.user_id = k.user_id
          and coalesce(s.total_streams, k.streams) = k.streams
          and coalesce(s.total_revenue, k.revenue) = k.revenue
    )
union
select user_id from public.daily_stats where $3::boolean and date = $1
