-- The next deliveries after a mark ($1 decided at, $2 id) that were decided before $3, at most $4 of
-- them: how far they reach, and which deliveries of the same releases and platforms have evidence
-- ($5 true) or files ($5 false) that may go.
--
-- The planner cannot know how many rows a batch has, and would read whole tables to be ready for
-- many. A limit that it can read, the offset and the scalar subqueries keep it to the indexes.
with ahead as not materialized (
    select d.id, d.release_id, d.platform_id, d.decided_at from worker.deliveries d
    where (d.decided_at, d.id) > ($1::timestamptz, $2::uuid) and d.decided_at < $3
    order by d.decided_at, d.id
    limit 10000
),
aged as materialized (
    select * from ahead order by decided_at, id limit $4
),
pairs as (
    select distinct release_id, platform_id from aged
),
gone as (
    select known.id
    from pairs cross join lateral (
        select e.id, e.release_id, e.platform_id, e.revision,
            e.state = 'accepted' and e.kind in ('insert', 'update') as is_accepted
        from worker.deliveries e
        where e.release_id = pairs.release_id and e.platform_id = pairs.platform_id
          and e.decided_at < $3
          and e.state in ('accepted', 'rejected', 'failed', 'canceled')
          and case when $5
              then (select true from worker.evidence k where k.delivery_id = e.id limit 1)
              else (select true from worker.delivery_files k where k.delivery_id = e.id limit 1) end
        offset 0
    ) known
    -- The last proof of what the platform has stays: an update that found nothing changed sent
    -- nothing, and leaves it to the one before.
    where not known.is_accepted or (
        select true from worker.deliveries later
        where later.release_id = known.release_id and later.platform_id = known.platform_id
          and later.revision > known.revision
          and later.state = 'accepted' and later.kind in ('insert', 'update')
          and case when $5
              then (select true from worker.evidence k where k.delivery_id = later.id limit 1)
              else (select true from worker.delivery_files k where k.delivery_id = later.id limit 1) end
        limit 1
    )
)
select (select decided_at from aged order by decided_at desc, id desc limit 1) as last_decided_at,
    (select id from aged order by decided_at desc, id desc limit 1) as last_id,
    array(select id from gone) as "gone!"
