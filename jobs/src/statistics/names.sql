-- Compares the names and parents of labels and the names of platforms with what was seen last ($1
-- is now), marks the days that show them otherwise, and remembers what is there.
with labels as (
    select u.id, u.full_name as name, u.parent_label_id as parent_id,
        s.name as name_before, s.parent_id as parent_before, s.id is null as is_new
    from public.users u
    left join worker.statistics_names s on s.kind = 'label' and s.id = u.id
    where (u.parent_label_id is not null or s.id is not null)
      and (s.id is null or (u.full_name, u.parent_label_id) is distinct from (s.name, s.parent_id))
),
platforms as (
    select p.id, p.name, s.id is null as is_new
    from public.distribution_platforms p
    left join worker.statistics_names s on s.kind = 'platform' and s.id = p.id
    where s.id is null or s.name <> p.name
),
of_labels as (
    insert into worker.dirty_days (date, user_id, source, marked_at)
    select distinct d.date, l.user_id, 'scan', $1::timestamptz
    from labels c
    cross join lateral (values (c.parent_id), (c.parent_before)) l (user_id)
    join worker.statistics_days d on d.user_id = c.id
    where l.user_id is not null
),
-- No fingerprint has a platform's name in it: every day is written again.
of_platforms as (
    insert into worker.dirty_days (date, source, is_forced, marked_at)
    select distinct d.date, 'scan', true, $1::timestamptz
    from worker.statistics_days d
    where exists (select from platforms where not is_new)
)
insert into worker.statistics_names as s (kind, id, name, parent_id)
select 'label', id, name, parent_id from labels
union all
select 'platform', id, name, null from platforms
on conflict (kind, id) do update set name = excluded.name, parent_id = excluded.parent_id
