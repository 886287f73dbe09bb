-- What runs at set times, and what is pruned by age.

create table worker.cron_entries (
    name          text        collate "C" not null primary key,
    -- As the last daemon that started was configured; UTC.
    expression    text        not null,
    -- Ticks up to here are dealt with: run, let pass while paused, or from before the entry was
    -- known. It only rises, so a run that was pruned from cron_runs is not made again.
    handled_until timestamptz not null,
    paused_at     timestamptz,
    -- Why it was paused or resumed last.
    reason        text,
    changed_at    timestamptz not null default now()
);

create table worker.cron_runs (
    name       text        collate "C" not null,
    -- Computed from the expression: the same in every daemon. Of a run by hand: when.
    tick       timestamptz not null,
    started_at timestamptz not null,
    -- NULL: the job of an earlier run was not finished, so there was nothing to add.
    job_id     uuid,
    -- Of a run by hand: why.
    reason     text,
    primary key (name, tick)
);

-- What was decided, in the order of that: retention goes along it.
create index deliveries_decided on worker.deliveries (decided_at, id) where decided_at is not null;

-- How far retention has gone along it, so that it never looks at the same delivery every day.
create table worker.retention_marks (
    name        text        collate "C" not null primary key,
    decided_at  timestamptz not null,
    delivery_id uuid        not null
);
