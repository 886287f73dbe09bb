-- The newest approval of a release, in lower case; NULL: there is none. In the web application's
-- database the table may be absent, and have other columns than ours. Read through JSON, a column that
-- is not there is NULL; what is not reached is not looked for.
create function worker.release_approval(of_release integer) returns text
language plpgsql stable as $$
begin
    if (select count(*) from pg_catalog.pg_attribute a
        where a.attrelid = to_regclass('public.release_approvals') and not a.attisdropped
          and (a.attname = 'status' or a.attname = 'release_id'
               and a.atttypid in ('int4'::regtype, 'int8'::regtype))) < 2 then
        return null;
    end if;
    return (select lower(coalesce(a.status::text, 'open')) from public.release_approvals a
            where a.release_id = of_release
            order by to_jsonb(a) ->> 'created_at' desc nulls last,
                length(to_jsonb(a) ->> 'id') desc, to_jsonb(a) ->> 'id' desc
            limit 1);
end $$;
