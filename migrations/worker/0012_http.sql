-- The HTTP API and the console: what they remember, and what makes their questions fast.

-- A POST that was made with an Idempotency-Key, and its answer, so that a repetition gets the same
-- answer and does nothing. Kept for a day.
create table worker.idempotency_keys (
    -- public.api_keys.id: two keys of the API may use the same idempotency key.
    key_id          integer     not null,
    idempotency_key text        collate "C" not null,
    -- SHA-256 of method, path and body, in hex: another request under the same key is refused.
    fingerprint     text        collate "C" not null,
    -- Fences the answer: a request that took too long may have been taken over.
    token           uuid        not null,
    created_at      timestamptz not null,
    -- The answer; NULL while the request is under way.
    status          smallint,
    media_type      text,
    body            bytea,
    primary key (key_id, idempotency_key),
    check ((status is null) = (body is null))
);
create index idempotency_keys_created on worker.idempotency_keys (created_at);

-- Who is logged in to the console. A session is as good as its key: it ends with it.
create table worker.console_sessions (
    -- SHA-256 of what the cookie holds, in hex.
    token      text        collate "C" not null primary key,
    key_id     integer     not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index console_sessions_expires on worker.console_sessions (expires_at);

-- The daemons on this database, by their own signs of life.
create table worker.daemons (
    -- As the first part of worker.jobs.worker.
    name       text        collate "C" not null primary key,
    version    text        not null,
    host       text        not null,
    process    integer     not null,
    started_at timestamptz not null,
    seen_at    timestamptz not null,
    -- Set when it ended in order.
    stopped_at timestamptz
);

-- An operator looks at one platform, at what was stopped, at one fault, at one product. None of it
-- moves when a delivery goes its way but the first and the last.
create index deliveries_platform on worker.deliveries (platform_id, id);
create index deliveries_stopped on worker.deliveries (state, id)
    where state in ('rejected', 'failed', 'canceled');
create index deliveries_fault on worker.deliveries (fault_code, id) where fault_code is not null;
create index deliveries_upc on worker.deliveries (upc, id) where upc is not null;
create index jobs_dead on worker.jobs (queue, id) where state = 'dead';
create index jobs_held on worker.jobs (queue, id) where state = 'held';
create index audit_actor on worker.audit (actor, id);

-- The first UUID of version 7 of a time. They are in the order of time, so the primary key finds
-- what was made about then.
create function worker.uuid_v7_floor(at timestamptz) returns uuid
    language sql immutable parallel safe
    return (lpad(to_hex(least(greatest(extract(epoch from at) * 1000, 0), 281474976710655)::bigint), 12, '0')
            || repeat('0', 20))::uuid;

-- The deliveries that fit every condition given; NULL: no such condition. The planner takes it apart
-- like a view, so order and limit around it use the indexes.
create function worker.matching_deliveries(
    one_state     text,
    any_state     text[],
    platform      integer,
    release       integer,
    releases      integer[],
    -- Spellings of the release's UPC.
    upcs          text[],
    fault         text,
    -- Inclusive, exclusive.
    created_from  timestamptz,
    created_until timestamptz
) returns setof worker.deliveries
    language sql stable as $$
    select d.* from worker.deliveries d
    where (one_state is null or d.state = one_state)
      and (any_state is null or d.state = any(any_state))
      and (platform is null or d.platform_id = platform)
      and (release is null or d.release_id = release)
      and (releases is null or d.release_id = any(releases))
      and (upcs is null or d.upc = any(upcs))
      and (fault is null or d.fault_code = fault)
      and (created_from is null or d.created_at >= created_from)
      and (created_until is null or d.created_at < created_until)
      -- The id's time is the database's, the row's is the worker's: a day lies between them at most.
      and (created_from is null or d.id >= worker.uuid_v7_floor(created_from - interval '1 day'))
      and (created_until is null or d.id < worker.uuid_v7_floor(created_until + interval '1 day'))
$$;
