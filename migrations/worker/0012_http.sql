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
create index jobs_dead on worker.jobs (id) where state = 'dead';

-- The deliveries that fit every condition given; NULL: no such condition. The planner takes it apart
-- like a view, so order and limit around it use the indexes.
create function worker.matching_deliveries(
    one_state     text,
    any_state     text[],
    platform      integer,
    release       integer,
    -- Part of the title or of an artist's name.
    words         text,
    -- Spellings of the release's UPC, of a track's ISRC.
    upcs          text[],
    isrcs         text[],
    owner         integer,
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
      and (words is null or d.release_id in (
          select r.id from public.releases r
          where strpos(lower(r.title), lower(words)) > 0
             or strpos(lower(r.artist_names), lower(words)) > 0))
      and (upcs is null or d.upc = any(upcs))
      and (isrcs is null or d.release_id in (
          select t.release_id from public.tracks t where t.isrc = any(isrcs)))
      and (owner is null or d.release_id in (
          select r.id from public.releases r where r.user_id = owner))
      and (fault is null or d.fault_code = fault)
      and (created_from is null or d.created_at >= created_from)
      and (created_until is null or d.created_at < created_until)
$$;
