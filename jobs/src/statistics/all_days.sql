-- The days between $1 and $2 that have usage or a row of ours; with $3 also those with a row of
-- somebody else's. It steps from one day to the next by the index, and reads no usage.
with recursive usage_days as (
    (select a.date from public.analytics a where a.date between $1 and $2 order by a.date limit 1)
    union all
    select (select a.date from public.analytics a
            where a.date > u.date and a.date <= $2 order by a.date limit 1)
    from usage_days u where u.date is not null
),
known_days as (
    (select d.date from worker.statistics_days d
     where d.date between $1 and $2 order by d.date limit 1)
    union all
    select (select d.date from worker.statistics_days d
            where d.date > k.date and d.date <= $2 order by d.date limit 1)
    from known_days k where k.date is not null
)
select date as "date!" from usage_days where date is not null
union
select date from known_days where date is not null
union
select date from public.daily_stats where $3::boolean and date between $1 and $2
order by 1
