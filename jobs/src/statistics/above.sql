-- The labels above the users of user-days ($1 users, $2 days), five levels up, with those days.
with recursive above as (
    select p.user_id, u.parent_label_id as label_id, 1 as depth
    from (select distinct user_id from unnest($1::integer[]) as given (user_id)) p
    join public.users u on u.id = p.user_id
    where u.parent_label_id is not null
    union
    select a.user_id, u.parent_label_id, a.depth + 1
    from above a join public.users u on u.id = a.label_id
    where u.parent_label_id is not null and a.depth < 5
)
select distinct p.date as "date!", a.label_id as "label!"
from unnest($1::integer[], $2::date[]) as p (user_id, date)
join above a on a.user_id = p.user_id
