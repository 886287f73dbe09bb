-- How hard a queue's partner may be used, how it stands with the partner, and what follows for
-- the next claim. All daemons share these rows; a claim holds the queue's lock while it uses them.

alter table worker.queues
    -- Claims in any second, hour and day, over all daemons; null: no such limit.
    add column per_second            integer check (per_second > 0),
    add column per_hour              integer check (per_hour > 0),
    add column per_day               integer check (per_day > 0),
    -- When claims are allowed: [{"from": "22:00", "to": "06:00", "zone": "Europe/Berlin"}, ...];
    -- null or empty: always.
    add column windows               jsonb,
    -- What was claimed of late, for the limits above: [[milliseconds since 1970, jobs], ...], oldest
    -- first, thinned out with age. Empty where there is no such limit.
    add column grants                jsonb not null default '[]',
    -- When the limits were last read from the platform; null: never.
    add column limits_read_at        timestamptz,
    -- Running jobs that the partner seems to bear, below the limit; null: as many as the limit says.
    add column pace                  double precision check (pace >= 1),
    add column pace_fell_at          timestamptz,
    -- The circuit. Faults of the partner in a row; open since; probes that failed since then; no
    -- claim before; the last fault.
    add column circuit_faults        integer not null default 0,
    add column circuit_opened_at     timestamptz,
    add column circuit_probes        integer not null default 0,
    add column circuit_probe_at      timestamptz,
    add column circuit_fault_at      timestamptz,
    add column circuit_fault_code    text,
    add column circuit_fault_message text,
    add constraint queues_circuit_check
        check ((circuit_opened_at is null) = (circuit_probe_at is null)),
    -- A row is rewritten with every claim of a queue with a rate: leave room on its page.
    set (fillfactor = 50);

comment on table worker.queues is
    'A row deliver/* holds the configuration''s limits for platforms that set none themselves; it is no queue.';
