-- The next deliveries after a mark ($1 decided at, $2 id) that were decided before $3, at most $4 of
-- them: how far they reach, and which deliveries of the same releases and platforms have evidence
-- ($5 true) or files ($5 false) that may go.
with aged as materialized (
    select d.id, d.release_id, d.platform_id, d.decided_at from worker.deliveries d
    where (d.decided_at, d.id) > ($1::timestamptz, $2::uuid) and d.decided_at < $3
    order by d.decided_at, d.id
    limit $4
),
pairs as (
    select distinct release_id, platform_id from aged
),
gone as (
    select e.id
    from pairs join worker.deliveries e using (release_id, platform_id)
    where e.decided_at < $3
      and e.state in ('accepted', 'rejected', 'failed', 'canceled')
      -- The last proof of what the platform has: an update that found nothing changed sent nothing,
      -- and leaves it to the one before.
      and not (e.state = 'accepted' and e.kind in ('insert', 'update') and not exists (
          select from worker.deliveries later
          where later.release_id = e.release_id and later.platform_id = e.platform_id
            and later.revision > e.revision
            and later.state = 'accepted' and later.kind in ('insert', 'update')
            and case when $5
                then exists (select from worker.evidence k where k.delivery_id = later.id)
                else exists (select from worker.delivery_files k where k.delivery_id = later.id) end))
      and case when $5
          then exists (select from worker.evidence k where k.delivery_id = e.id)
          else exists (select from worker.delivery_files k where k.delivery_id = e.id) end
)
select (select decided_at from aged order by decided_at desc, id desc limit 1) as last_decided_at,
    (select id from aged order by decided_at desc, id desc limit 1) as last_id,
    array(select id from gone) as "gone!"
