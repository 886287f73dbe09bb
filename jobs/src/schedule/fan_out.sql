-- Due schedules become deliveries: one statement for a batch of schedules, whatever their number.
-- $1 now, $2 the most schedules in a batch.
--
-- Each step reads the one before. All data-modifying steps see the database as it was when the
-- statement began, so each takes what an earlier one made from its RETURNING.
--
-- The planner cannot know how many rows a step gives, and believes in one or two. Steps are
-- therefore joined by full joins where a left join would do: a full join is never planned as a
-- nested loop, which would compare every row of a batch with every other. Rows of tables are found
-- through an index, one by one.
with due as materialized (
    select s.id, s.release_id, s.platform_ids, s.scheduled_date
    from public.scheduled_distributions s
    where s.status in ('pending', 'scheduled') and s.scheduled_date <= ($1::timestamptz at time zone 'UTC')
    order by s.scheduled_date, s.id
    limit $2
    for update skip locked
),
-- One row for each schedule and platform it names, however often; one without a platform for a
-- schedule that names none.
named as materialized (
    select distinct due.id as schedule_id, due.release_id, named.platform_id
    from due
    left join lateral unnest(due.platform_ids) as named (platform_id) on named.platform_id is not null
),
judged as materialized (
    select named.*, r.title, r.upc, r.release_date, p.name as platform_name, p.delivery_method, refusal,
        case when refusal is not null then jsonb_build_object(
            'code', refusal, 'message', sentence, 'at', $1::timestamptz, 'attempts', 0) end as failure
    from named
    join public.releases r on r.id = named.release_id
    left join public.distribution_platforms p on p.id = named.platform_id
    cross join lateral (select case
        when named.platform_id is null then 'no_platforms'
        when p.id is null then 'platform_unknown'
        when coalesce(p.status, 'active') <> 'active' then 'platform_inactive'
        when coalesce(cardinality(p.supported_content), 0) > 0
             and not exists (select from unnest(p.supported_content) as taken (label)
                             where lower(taken.label) = r.type::text) then 'content_unsupported'
        end) as verdict (refusal)
    cross join lateral (select case refusal
        when 'no_platforms' then format(
            '%s: the schedule names no platform. Schedule the release for at least one.',
            to_json(r.title))
        when 'platform_unknown' then format(
            '%s: there is no platform %s. Schedule the release for a platform that exists.',
            to_json(r.title), named.platform_id)
        when 'platform_inactive' then format(
            '%s to %s: the platform is %s. Activate the platform, then schedule the release again.',
            to_json(r.title), p.name, p.status)
        when 'content_unsupported' then format(
            '%s to %s: the platform does not take a release of type %s, only %s. Choose another platform.',
            to_json(r.title), p.name, r.type, array_to_string(p.supported_content, ', '))
        end) as explanation (sentence)
),
-- What is to be on its way, once for each release and platform.
wanted as materialized (
    select distinct on (release_id, platform_id)
        release_id, platform_id, title, upc, release_date, platform_name, delivery_method
    from judged where refusal is null
),
-- What is known of each from before.
known as materialized (
    select wanted.*, newest.id as delivery_id, newest.state, newest.kind,
        coalesce(newest.revision, 0) as revision, record.id as record_id,
        case
            when newest.id is null then false
            -- What comes after a takedown is new there.
            when newest.kind = 'takedown' and newest.state not in ('rejected', 'failed', 'canceled')
                then false
            else coalesce((select before.kind <> 'takedown' from worker.deliveries before
                  where before.release_id = wanted.release_id
                    and before.platform_id = wanted.platform_id
                    and (before.state = 'accepted' or before.was_accepted)
                  order by before.revision desc limit 1), false)
        end as is_live
    from wanted
    left join lateral (
        select d.id, d.state, d.kind, d.revision from worker.deliveries d
        where d.release_id = wanted.release_id and d.platform_id = wanted.platform_id
        order by d.revision desc limit 1
    ) newest on true
    left join lateral (
        select d.id from public.distribution_records d
        where d.release_id = wanted.release_id and d.platform_id = wanted.platform_id
        order by d.id desc limit 1
    ) record on true
),
-- A delivery on its way is shared, unless it takes the release down; otherwise there is a new one,
-- and its attempt finds out whether anything changed since the last.
starting as materialized (
    select * from known
    where delivery_id is null or kind = 'takedown'
       or state in ('accepted', 'rejected', 'failed', 'canceled')
),
reused_record as (
    update public.distribution_records d
    set status = 'pending', error_details = null,
        last_status_update = ($1::timestamptz at time zone 'UTC'),
        updated_at = ($1::timestamptz at time zone 'UTC')
    from starting
    where d.id = starting.record_id
),
new_record as (
    insert into public.distribution_records
        (release_id, platform_id, status, last_status_update, created_at, updated_at)
    select release_id, platform_id, 'pending', stamp, stamp, stamp
    from starting, (select $1::timestamptz at time zone 'UTC') as now (stamp)
    where record_id is null
    returning id, release_id, platform_id
),
new_delivery as (
    insert into worker.deliveries
        (release_id, platform_id, record_id, kind, revision, release_title, platform_name, upc,
         method, created_at, updated_at)
    select release_id, platform_id, coalesce(starting.record_id, new_record.id),
        case when starting.is_live then 'update' else 'insert' end, starting.revision + 1,
        starting.title, starting.platform_name, starting.upc,
        lower(trim(starting.delivery_method)), $1, $1
    from starting full join new_record using (release_id, platform_id)
    returning id, release_id, platform_id
),
targets as (
    insert into worker.schedule_targets (schedule_id, platform_id, delivery_id, state, failure)
    select judged.schedule_id, platform_id, coalesce(new_delivery.id, known.delivery_id),
        case when judged.refusal is null then 'open' else 'failed' end, judged.failure
    from judged
    full join known using (release_id, platform_id)
    full join new_delivery using (release_id, platform_id)
    where platform_id is not null
    on conflict (schedule_id, platform_id) do update
        set delivery_id = excluded.delivery_id, state = excluded.state, failure = excluded.failure
),
marked as (
    update public.scheduled_distributions s
    set status = case when tally.open > 0 then 'processing' else 'failed' end,
        notification_sent = false,
        completed_platform_ids = '{}',
        failed_platforms = coalesce(tally.failed, '{}'),
        updated_at = ($1::timestamptz at time zone 'UTC')
    from (
        select schedule_id, count(*) filter (where refusal is null) as open,
            -- 0 is no platform's id.
            jsonb_object_agg(coalesce(platform_id, 0), failure) filter (where refusal is not null)
                as failed
        from judged group by schedule_id
    ) tally
    where s.id = tally.schedule_id
    returning s.id, s.status
)
-- The new deliveries with what their priority hangs on, and the number of schedules in a row of its own.
select new_delivery.id as "delivery_id?", platform_id as "platform_id?",
    starting.is_live as "is_update?", starting.release_date::date as "street_date?",
    null::bigint as "schedules?", null::bigint as "refused?", null::integer[] as "failed?"
from new_delivery full join starting using (release_id, platform_id)
union all
select null, null, null, null, (select count(*) from due),
    (select count(*) from judged where refusal is not null and platform_id is not null),
    (select array_agg(id) from marked where status = 'failed')
