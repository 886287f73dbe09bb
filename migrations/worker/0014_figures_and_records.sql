-- Two records of a report can begin in one line, where a lone carriage return parts them: records are
-- what is counted, and the line is for people.
alter table worker.usage_lines rename column line to record;
alter table worker.usage_unmatched rename column line to record;
alter table worker.usage_unmatched add column line bigint not null default 0;
alter table worker.usage_unmatched alter column line drop default;

-- The same texts as before. PostgreSQL puts the body of an immutable function in its place only if all
-- in it is immutable, and `text || bigint` is not; `text || bigint::text` is.
create or replace function worker.figures(streams bigint, downloads bigint, revenue numeric)
    returns text
    language sql immutable parallel safe
    as $$ select '"streams":' || streams::text || ',"downloads":' || downloads::text
        || ',"revenue":"' || revenue::text || '"' $$;

create or replace function worker.change(
    streams bigint, downloads bigint, revenue numeric,
    streams_before bigint, downloads_before bigint, revenue_before numeric
) returns text
    language sql immutable parallel safe
    as $$ select '{"streams":' || (streams - streams_before)::text
        || ',"downloads":' || (downloads - downloads_before)::text
        || ',"revenue":"' || (revenue - revenue_before)::text
        || '","streams_percent":' || coalesce('"' || round(
            100.0 * (streams - streams_before) / nullif(streams_before, 0), 2)::text || '"', 'null')
        || ',"revenue_percent":' || coalesce('"' || round(
            100 * (revenue - revenue_before) / nullif(revenue_before, 0), 2)::text || '"', 'null')
        || '}' $$;

create or replace function worker.average(
    streams bigint, downloads bigint, revenue numeric, days integer
) returns text
    language sql immutable parallel safe
    as $$ select '{"streams":"' || round(streams::numeric / days, 4)::text
        || '","downloads":"' || round(downloads::numeric / days, 4)::text
        || '","revenue":"' || round(revenue / days, 4)::text || '"}' $$;
