-- Computes user-days ($1 users, $2 days, all between $3 and $4) and writes what differs, as of $5:
-- public.daily_stats and worker.statistics_days; notes where the trends of later days follow.
--
-- One statement, so that all of it sees the same usage. The caller holds the lock on statistics, and
-- has the planner look at the arrays. The usage is read once, in the order of users: then what a
-- user's sums need stays in the processor's cache.
with recursive pairs as materialized (
    select pair.user_id, pair.date from unnest($1::integer[], $2::date[]) as pair (user_id, date)
),
usage as (
    select p.user_id, p.date, a.track_id, a.platform_id,
        coalesce(nullif(a.territory, ''), 'ZZ') as territory,
        a.streams, a.downloads,
        -- NaN is an amount that nobody reported.
        nullif(a.revenue, 'NaN') as revenue,
        worker.usage_fingerprint(
            a.track_id, a.platform_id, a.territory, a.streams, a.downloads, a.revenue
        ) as fingerprint
    from unnest($1::integer[], $2::date[]) as p (user_id, date)
    join public.users u on u.id = p.user_id
    join public.tracks t on t.user_id = p.user_id
    join public.analytics a on a.track_id = t.id and a.date = p.date and a.date between $3 and $4
    order by p.user_id, p.date
    offset 0
),
groups as materialized (
    select user_id, date, track_id, platform_id, territory,
        grouping(track_id, platform_id, territory) as kind,
        coalesce(sum(streams), 0) as streams, coalesce(sum(downloads), 0) as downloads,
        coalesce(sum(revenue), 0.0000) as revenue, sum(fingerprint) as fingerprint
    from usage
    group by grouping sets (
        (user_id, date, track_id), (user_id, date, platform_id), (user_id, date, territory)
    )
),
by_track as materialized (
    select g.user_id, g.date, g.track_id, t.title, t.release_id, r.title as release_title,
        g.streams, g.downloads, g.revenue, g.fingerprint
            + worker.track_fingerprint(t.id, t.title, t.release_id, r.title) as fingerprint
    from groups g
    join public.tracks t on t.id = g.track_id
    left join public.releases r on r.id = t.release_id
    where g.kind = 3
),
entries as (
    select user_id, date, 'track' as kind, streams, downloads, revenue, fingerprint,
        '"' || track_id || '":{"name":' || to_json(title) || ','
            || worker.figures(streams, downloads, revenue) || '}' as entry
    from by_track
    union all
    select user_id, date, 'release', null, null, null, null,
        '"' || coalesce(release_id::text, 'unknown') || '":{'
            || coalesce('"name":' || to_json(min(release_title)) || ',', '')
            || worker.figures(sum(streams)::bigint, sum(downloads)::bigint, sum(revenue)) || '}'
    from by_track
    group by user_id, date, release_id
    union all
    select g.user_id, g.date, 'platform', null, null, null, null,
        '"' || coalesce(g.platform_id::text, 'unknown') || '":{'
            || coalesce('"name":' || to_json(p.name) || ',', '')
            || worker.figures(g.streams, g.downloads, g.revenue) || '}'
    from groups g left join public.distribution_platforms p on p.id = g.platform_id
    where g.kind = 5
    union all
    select user_id, date, 'territory', null, null, null, null,
        to_json(territory) || ':{' || worker.figures(streams, downloads, revenue) || '}'
    from groups
    where kind = 6
),
computed as materialized (
    select user_id, date, sum(streams)::bigint as streams, sum(downloads)::bigint as downloads,
        sum(revenue) as revenue, sum(fingerprint) as fingerprint,
        '{' || string_agg(entry, ',') filter (where kind = 'platform') || '}' as platforms,
        '{' || string_agg(entry, ',') filter (where kind = 'territory') || '}' as territories,
        '{' || string_agg(entry, ',') filter (where kind = 'track') || '}' as tracks,
        '{' || string_agg(entry, ',') filter (where kind = 'release') || '}' as releases
    from entries
    group by user_id, date
),
-- The labels below each user, five levels deep; a circle ends there too.
below as (
    select p.user_id as label_id, u.id as user_id, 1 as depth
    from (select distinct user_id from pairs) p
    join public.users u on u.parent_label_id = p.user_id
    union
    select b.label_id, u.id, b.depth + 1
    from below b join public.users u on u.parent_label_id = b.user_id
    where b.depth < 5
),
sub_labels as materialized (
    select p.user_id, p.date,
        '"sub_labels":{' || string_agg('"' || u.id || '":{"name":' || to_json(u.full_name) || ','
                || worker.figures(f.streams, f.downloads, f.revenue) || '}', ',')
            || '}' as entries,
        sum(f.streams)::bigint as streams, sum(f.downloads)::bigint as downloads,
        sum(f.revenue) as revenue
    from pairs p
    join (select distinct label_id, user_id from below where label_id <> user_id) b
        on b.label_id = p.user_id
    join (
        select user_id, date, streams, downloads, revenue from computed
        union all
        select d.user_id, d.date, d.streams, d.downloads, d.revenue
        from worker.statistics_days d
        where d.date between $3 and $4 and d.fingerprint is not null
          and d.user_id in (select user_id from below)
          and (d.user_id, d.date) not in (select user_id, date from pairs)
    ) f on f.user_id = b.user_id and f.date = p.date
    join public.users u on u.id = b.user_id
    group by p.user_id, p.date
),
-- The days that have a row, and the figures of the user's own tracks.
figures as materialized (
    select p.user_id, p.date, coalesce(c.streams, 0) as streams,
        coalesce(c.downloads, 0) as downloads, coalesce(c.revenue, 0.0000) as revenue
    from pairs p
    left join computed c using (user_id, date)
    left join sub_labels s using (user_id, date)
    where c.user_id is not null or s.user_id is not null
),
past as (
    select f.user_id, f.date,
        sum(h.streams) filter (where h.date = f.date - 1)::bigint as streams_1,
        sum(h.downloads) filter (where h.date = f.date - 1)::bigint as downloads_1,
        sum(h.revenue) filter (where h.date = f.date - 1) as revenue_1,
        sum(h.streams) filter (where h.date = f.date - 7)::bigint as streams_7,
        sum(h.downloads) filter (where h.date = f.date - 7)::bigint as downloads_7,
        sum(h.revenue) filter (where h.date = f.date - 7) as revenue_7,
        sum(h.streams) filter (where h.date > f.date - 7)::bigint as streams_6_days,
        sum(h.downloads) filter (where h.date > f.date - 7)::bigint as downloads_6_days,
        sum(h.revenue) filter (where h.date > f.date - 7) as revenue_6_days,
        sum(h.streams)::bigint as streams_27_days,
        sum(h.downloads)::bigint as downloads_27_days,
        sum(h.revenue) as revenue_27_days
    from figures f
    join (
        select user_id, date, streams, downloads, revenue from figures
        union all
        select d.user_id, d.date, d.streams, d.downloads, d.revenue
        from (select distinct user_id from figures) u
        join worker.statistics_days d on d.user_id = u.user_id and d.date between $3 - 27 and $4
        where not exists (select from pairs p where p.user_id = d.user_id and p.date = d.date)
    ) h on h.user_id = f.user_id and h.date between f.date - 27 and f.date - 1
    group by f.user_id, f.date
),
final as materialized (
    select f.user_id, f.date,
        case when f.streams between -2147483648 and 2147483647 then f.streams::integer end as total_streams,
        case when abs(f.revenue) < 100000000 then f.revenue end as total_revenue,
        coalesce(c.platforms, '{}')::jsonb as platform_breakdown,
        coalesce(c.territories, '{}')::jsonb as territory_breakdown,
        coalesce(c.tracks, '{}')::jsonb as track_performance,
        coalesce(c.releases, '{}')::jsonb as release_performance,
        ('{' || worker.trend(f.streams, f.downloads, f.revenue,
            coalesce(h.streams_1, 0), coalesce(h.downloads_1, 0), coalesce(h.revenue_1, 0.0000),
            coalesce(h.streams_7, 0), coalesce(h.downloads_7, 0), coalesce(h.revenue_7, 0.0000),
            coalesce(h.streams_6_days, 0), coalesce(h.downloads_6_days, 0), coalesce(h.revenue_6_days, 0.0000),
            coalesce(h.streams_27_days, 0), coalesce(h.downloads_27_days, 0), coalesce(h.revenue_27_days, 0.0000)
        ) || coalesce(',"with_sub_labels":{' || worker.figures(
                f.streams + s.streams, f.downloads + s.downloads, f.revenue + s.revenue
            ) || '},' || s.entries, '') || '}')::jsonb as trend_data
    from figures f
    left join computed c using (user_id, date)
    left join sub_labels s using (user_id, date)
    left join past h using (user_id, date)
),
-- Of several rows for one day the newest is kept right; the others are for `stats duplicates`.
present as materialized (
    select distinct on (d.user_id, d.date) d.id, d.user_id, d.date
    from pairs p join public.daily_stats d on d.user_id = p.user_id and d.date = p.date
    order by d.user_id, d.date, d.id desc
),
updated as (
    update public.daily_stats d
    set total_streams = f.total_streams, total_revenue = f.total_revenue,
        platform_breakdown = f.platform_breakdown, territory_breakdown = f.territory_breakdown,
        track_performance = f.track_performance, release_performance = f.release_performance,
        trend_data = f.trend_data
    from present p join final f using (user_id, date)
    where d.id = p.id
      and (d.total_streams, d.total_revenue, d.platform_breakdown, d.territory_breakdown,
              d.track_performance, d.release_performance, d.trend_data)
          is distinct from (f.total_streams, f.total_revenue, f.platform_breakdown,
              f.territory_breakdown, f.track_performance, f.release_performance, f.trend_data)
    returning d.id
),
inserted as (
    insert into public.daily_stats (user_id, date, total_streams, total_revenue, platform_breakdown,
        territory_breakdown, track_performance, release_performance, trend_data, created_at)
    select user_id, date, total_streams, total_revenue, platform_breakdown, territory_breakdown,
        track_performance, release_performance, trend_data, $5 at time zone 'UTC'
    from final f
    where not exists (select from present p where p.user_id = f.user_id and p.date = f.date)
    returning id
),
deleted as (
    delete from public.daily_stats d
    using pairs p
    where d.user_id = p.user_id and d.date = p.date
      and not exists (select from figures f where f.user_id = p.user_id and f.date = p.date)
    returning d.id
),
known as materialized (
    select d.user_id, d.date, d.streams, d.downloads, d.revenue
    from pairs p join worker.statistics_days d on d.user_id = p.user_id and d.date = p.date
),
kept as (
    insert into worker.statistics_days as d
        (user_id, date, streams, downloads, revenue, fingerprint, computed_at)
    select f.user_id, f.date, f.streams, f.downloads, f.revenue, c.fingerprint, $5
    from figures f left join computed c using (user_id, date)
    on conflict (user_id, date) do update
        set streams = excluded.streams, downloads = excluded.downloads,
            revenue = excluded.revenue, fingerprint = excluded.fingerprint,
            computed_at = excluded.computed_at
        where (d.streams, d.downloads, d.revenue, d.fingerprint)
            is distinct from (excluded.streams, excluded.downloads, excluded.revenue, excluded.fingerprint)
),
forgotten as (
    delete from worker.statistics_days d
    using known k
    where d.user_id = k.user_id and d.date = k.date
      and not exists (select from figures f where f.user_id = k.user_id and f.date = k.date)
),
followed as (
    insert into worker.dirty_trends (user_id, date)
    select p.user_id, p.date
    from pairs p
    left join figures f using (user_id, date)
    left join known k using (user_id, date)
    where (coalesce(f.streams, 0), coalesce(f.downloads, 0), coalesce(f.revenue, 0))
            is distinct from (coalesce(k.streams, 0), coalesce(k.downloads, 0), coalesce(k.revenue, 0))
      and exists (
          select from worker.statistics_days n
          where n.user_id = p.user_id and n.date between p.date + 1 and p.date + 28
      )
)
select (select count(*) from inserted) as "inserted!", (select count(*) from updated) as "updated!",
    (select count(*) from deleted) as "deleted!"
