-- Daily statistics: which days changed, what was computed of them, runs over many days.

-- The user-days to be recomputed. Rows are only added and taken away, never refused for being there
-- already: a writer that relied on an earlier row might see it claimed before its own usage is
-- visible, and the day would stay stale.
create table worker.dirty_days (
    -- '-infinity': every day there is.
    date      date        not null,
    -- 0: every user of that day.
    user_id   integer     not null default 0,
    source    text        collate "C" not null
        check (source in ('import', 'trigger', 'scan', 'rebuild', 'operator')),
    -- Of a whole day: every user, and not only those whose fingerprint differs.
    is_forced boolean     not null default false,
    -- The run that wants it (worker.statistics_runs).
    run_id    uuid,
    marked_at timestamptz not null default now()
) with (
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
-- The oldest day goes first, so that the trends of the days after it are right at once.
create index dirty_days_order on worker.dirty_days (date, user_id);
create index dirty_days_run on worker.dirty_days (run_id) where run_id is not null;

-- User-days whose figures changed: the trends of the 28 days after are to be computed again, once no
-- day waits to be recomputed itself.
create table worker.dirty_trends (
    user_id integer not null,
    date    date    not null
);
create index dirty_trends_order on worker.dirty_trends (user_id, date);

-- For each row of public.daily_stats that the worker wrote: its figures, exact, and what they came of.
create table worker.statistics_days (
    user_id     integer     not null,
    date        date        not null,
    -- Of the user's own tracks.
    streams     bigint      not null,
    downloads   bigint      not null,
    revenue     numeric     not null,
    -- Tells whether that usage, or the titles shown beside it, changed. NULL: there is none of the
    -- user's own, only of sub-labels.
    fingerprint numeric,
    computed_at timestamptz not null,
    primary key (user_id, date)
);
create index statistics_days_date on worker.statistics_days (date);

-- What daily_stats shows of others, as the last scan saw it: a sub-label's name and parent, a
-- platform's name.
create table worker.statistics_names (
    kind      text    collate "C" not null check (kind in ('label', 'platform')),
    id        integer not null,
    name      text    not null,
    parent_id integer,
    primary key (kind, id)
);

-- Rebuilds and scans: a mark for each day, and how far they have come.
create table worker.statistics_runs (
    id          uuid        not null primary key default worker.uuid_v7(),
    kind        text        collate "C" not null check (kind in ('rebuild', 'scan')),
    state       text        collate "C" not null default 'running'
        check (state in ('running', 'completed', 'canceled')),
    -- NULL: there was no day to look at.
    first_day   date,
    last_day    date,
    days_total  integer     not null,
    days_done   integer     not null default 0,
    -- User-days that were looked at, and those of them that differed and were written.
    looked_at   bigint      not null default 0,
    written     bigint      not null default 0,
    -- Of a rebuild: rows of daily_stats without usage go, though the worker did not write them.
    is_pruning  boolean     not null default false,
    started_at  timestamptz not null,
    updated_at  timestamptz not null,
    finished_at timestamptz,
    check ((state = 'running') = (finished_at is null))
);
create index statistics_runs_open on worker.statistics_runs (kind) where state = 'running';

-- A row of usage in 64 bits. Sums of it tell two sets of rows apart whatever was exchanged in them.
create function worker.usage_fingerprint(
    track_id integer, platform_id integer, territory text,
    streams integer, downloads integer, revenue numeric
) returns bigint
    language sql immutable parallel safe
    as $$ select hash_numeric_extended(coalesce(revenue, 0),
        hashint4extended(coalesce(downloads, 0),
        hashint4extended(coalesce(streams, 0),
        hashtextextended(coalesce(territory, ''),
        hashint4extended(coalesce(platform_id, 0), track_id))))) $$;

-- What is shown of a track beside its figures.
create function worker.track_fingerprint(
    track_id integer, title text, release_id integer, release_title text
) returns bigint
    language sql immutable parallel safe
    as $$ select hashtextextended(title, hashtextextended(coalesce(release_title, ''),
        hashint4extended(coalesce(release_id, 0), track_id))) $$;

-- Figures as they stand in the JSON columns, without the braces. As text, which PostgreSQL puts
-- together and reads in half the time that jsonb_build_object takes.
create function worker.figures(streams bigint, downloads bigint, revenue numeric) returns text
    language sql immutable parallel safe
    as $$ select '"streams":' || streams || ',"downloads":' || downloads || ',"revenue":"' || revenue || '"' $$;

-- What changed against other figures. Percent is null where there was nothing before.
create function worker.change(
    streams bigint, downloads bigint, revenue numeric,
    streams_before bigint, downloads_before bigint, revenue_before numeric
) returns text
    language sql immutable parallel safe
    as $$ select '{' || worker.figures(streams - streams_before, downloads - downloads_before,
            revenue - revenue_before)
        || ',"streams_percent":' || coalesce('"' || round(100.0 * (streams - streams_before) / nullif(streams_before, 0), 2) || '"', 'null')
        || ',"revenue_percent":' || coalesce('"' || round(100 * (revenue - revenue_before) / nullif(revenue_before, 0), 2) || '"', 'null')
        || '}' $$;

-- The mean of sums over days, rounded half away from zero to four decimals.
create function worker.average(streams bigint, downloads bigint, revenue numeric, days integer) returns text
    language sql immutable parallel safe
    as $$ select '{"streams":"' || round(streams::numeric / days, 4)
        || '","downloads":"' || round(downloads::numeric / days, 4)
        || '","revenue":"' || round(revenue / days, 4) || '"}' $$;

-- The part of daily_stats.trend_data that follows from the user's own figures: of the day, of the day
-- before, of the same weekday before, and the sums of the 6 and of the 27 days before it.
create function worker.trend(
    streams bigint, downloads bigint, revenue numeric,
    streams_1 bigint, downloads_1 bigint, revenue_1 numeric,
    streams_7 bigint, downloads_7 bigint, revenue_7 numeric,
    streams_6_days bigint, downloads_6_days bigint, revenue_6_days numeric,
    streams_27_days bigint, downloads_27_days bigint, revenue_27_days numeric
) returns text
    language sql immutable parallel safe
    as $$ select '"totals":{' || worker.figures(streams, downloads, revenue)
        || '},"day_before":' || worker.change(streams, downloads, revenue, streams_1, downloads_1, revenue_1)
        || ',"same_weekday":' || worker.change(streams, downloads, revenue, streams_7, downloads_7, revenue_7)
        || ',"average_7_days":' || worker.average(streams + streams_6_days,
            downloads + downloads_6_days, revenue + revenue_6_days, 7)
        || ',"average_28_days":' || worker.average(streams + streams_27_days,
            downloads + downloads_27_days, revenue + revenue_27_days, 28) $$;

-- The triggers on the web application's tables (migrations/public/additions.sql) call these. They
-- never fail what they watch over: what they miss, the scan finds.
create function worker.mark_usage() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
    as $$
declare
    changed text := case tg_op
        when 'INSERT' then 'select track_id, date from inserted'
        when 'DELETE' then 'select track_id, date from deleted'
        else 'select track_id, date from inserted union all select track_id, date from deleted'
    end;
begin
    -- Planned each time: it may be one row, or millions. Where the track is gone nobody knows whose
    -- it was, so the whole day is looked at.
    execute 'insert into worker.dirty_days (date, user_id, source)
        select distinct c.date, coalesce(t.user_id, 0), ''trigger''
        from (' || changed || ') c left join public.tracks t on t.id = c.track_id
        where c.date between ''0001-01-01'' and ''9999-12-31''';
    return null;
exception when others then
    raise warning 'worker: changed days of usage were not marked: %', sqlerrm;
    return null;
end $$;

create function worker.mark_all_usage() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
    as $$
begin
    insert into worker.dirty_days (date, source) values ('-infinity', 'trigger');
    return null;
exception when others then
    raise warning 'worker: emptied usage was not marked: %', sqlerrm;
    return null;
end $$;

create function worker.mark_tracks() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
    as $$
begin
    insert into worker.dirty_days (date, user_id, source)
    select distinct a.date, o.user_id, 'trigger'
    from deleted b join inserted n on n.id = b.id
    cross join lateral (values (b.user_id), (n.user_id)) o (user_id)
    join public.analytics a on a.track_id = n.id
    where (b.user_id, b.release_id, b.title) is distinct from (n.user_id, n.release_id, n.title)
      and a.date between '0001-01-01' and '9999-12-31';
    return null;
exception when others then
    raise warning 'worker: days of tracks with another owner were not marked: %', sqlerrm;
    return null;
end $$;

create function worker.mark_labels() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
    as $$
begin
    insert into worker.dirty_days (date, user_id, source)
    select distinct d.date, l.user_id, 'trigger'
    from deleted b join inserted n on n.id = b.id
    cross join lateral (values (b.parent_label_id), (n.parent_label_id)) l (user_id)
    join worker.statistics_days d on d.user_id = n.id
    where l.user_id is not null
      and (b.parent_label_id is distinct from n.parent_label_id or b.full_name <> n.full_name);
    return null;
exception when others then
    raise warning 'worker: days of labels were not marked: %', sqlerrm;
    return null;
end $$;
