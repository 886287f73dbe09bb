-- Takes marks, the oldest days first: all of a day that is marked as a whole, or else about $1 others.
with ahead as (
    select date, user_id from worker.dirty_days order by date, user_id limit $1
),
whole as (
    select min(date) as date from ahead where user_id = 0
),
last as (
    select max(a.date) as date, max(a.user_id) filter (where a.date = m.date) as user_id
    from ahead a
    cross join whole w
    cross join lateral (
        select max(b.date) as date from ahead b where w.date is null or b.date < w.date
    ) m
    where w.date is null or a.date < w.date
    group by m.date
),
reach as (
    select date, user_id from last
    union all
    select w.date, 2147483647 from whole w where w.date is not null and not exists (select from last)
)
delete from worker.dirty_days d
using reach r
where (d.date, d.user_id) <= (r.date, r.user_id)
returning nullif(d.date, '-infinity') as date, d.user_id, d.source, d.is_forced, d.run_id,
    coalesce((select s.is_pruning from worker.statistics_runs s where s.id = d.run_id), false)
        as "is_pruning!"
