-- The queue: jobs, their attempts, and what is set per queue.
-- Times are timestamptz throughout the schema `worker`.

create schema if not exists worker;

create table worker.jobs (
    -- UUIDv7: in order of creation.
    id               uuid        not null primary key,
    -- Compared byte by byte: names are never sorted for a person, and index probes are cheaper.
    queue            text        collate "C" not null check (queue <> ''),
    kind             text        collate "C" not null check (kind <> ''),
    arguments        jsonb       not null,
    -- Waiting for a retry is `available` with a later run_at.
    state            text        not null default 'available'
        check (state in ('available', 'running', 'held', 'completed', 'canceled', 'dead')),
    -- Smaller goes first.
    priority         smallint    not null default 0,
    run_at           timestamptz not null,
    -- Attempts counted so far: raised when an attempt begins, given back by a snooze or a crash.
    attempt          smallint    not null default 0,
    -- How often a daemon died while it held this job.
    crashes          smallint    not null default 0,
    max_attempts     smallint    not null check (max_attempts > 0),
    -- The claim: every outcome is fenced by the token; the expiry is on the database's clock.
    lease_token      uuid,
    lease_expires_at timestamptz,
    worker           text,
    -- The row of worker.attempts that this claim opened; null: claimed and not begun.
    attempt_id       uuid,
    -- Unique among unfinished jobs.
    unique_key       text        collate "C",
    fault_code       text,
    fault_message    text,
    created_at       timestamptz not null default now(),
    finished_at      timestamptz,
    check ((state = 'running') = (lease_token is not null)),
    check ((state = 'running') = (lease_expires_at is not null)),
    check ((state in ('completed', 'canceled', 'dead')) = (finished_at is not null))
) with (
    -- Every job is rewritten a few times in its life: leave room on its page, and sweep by
    -- thousands of rows instead of by a share of a table that may hold millions.
    fillfactor = 70,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_analyze_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 1,
    autovacuum_vacuum_insert_scale_factor = 0.05
);

-- Due work. A claim reads one range of it per queue, kind and priority, so it never walks over
-- what is not due, finished, or of a kind that this daemon does not know.
create index jobs_available on worker.jobs (queue, kind, priority, run_at, id) where state = 'available';

-- Leases, and the running jobs of a queue. It has no expiry in it, so that a heartbeat rewrites no index.
create index jobs_running on worker.jobs (queue) where state = 'running';

create unique index jobs_unique_key on worker.jobs (unique_key)
    where unique_key is not null and state in ('available', 'running', 'held');

create table worker.attempts (
    -- UUIDv7: a job's attempts in order.
    id            uuid        not null,
    -- No foreign key: a job may be pruned before its attempts.
    job_id        uuid        not null,
    delivery_id   uuid,
    -- The job's count of attempts when this one began. An attempt that was given back has its number used again.
    number        smallint    not null,
    started_at    timestamptz not null,
    ended_at      timestamptz,
    outcome       text check (outcome in ('completed', 'retry', 'snoozed', 'dead', 'canceled', 'held', 'crashed')),
    fault_code    text,
    fault_message text,
    worker        text        not null,
    -- One index serves the key, the history of a job, and the close of an open attempt.
    primary key (job_id, id),
    check ((ended_at is null) = (outcome is null))
) with (
    fillfactor = 90,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);

create index attempts_delivery on worker.attempts (delivery_id, started_at) where delivery_id is not null;

-- What is set for a queue at run time. A queue without a row has the configuration's defaults.
create table worker.queues (
    name          text        collate "C" not null primary key,
    -- Running jobs over all daemons; null: the configuration's default.
    concurrency   integer check (concurrency >= 0),
    -- No claims while set; running jobs finish.
    paused_at     timestamptz,
    paused_reason text,
    updated_at    timestamptz not null default now()
);
