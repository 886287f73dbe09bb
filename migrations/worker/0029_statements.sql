-- Statements of all payees of a run, written by a daemon and kept for a while.

create table worker.statement_sets (
    id          uuid        not null primary key default worker.uuid_v7(),
    run_id      uuid        not null,
    layout      text        collate "C" not null check (layout in ('csv', 'pdf')),
    -- jobs::royalty::Run::version when it was asked for: of another one these are not the statements.
    version     text        not null,
    state       text        not null default 'running' check (state in ('running', 'completed', 'failed')),
    -- Payees whose statement is written, and all of them.
    done        integer     not null default 0,
    total       integer     not null,
    -- What became of it when it failed for good.
    fault       text,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    finished_at timestamptz,
    check ((state = 'running') = (finished_at is null))
);
-- Asked for again it is the same.
create unique index statement_sets_once on worker.statement_sets (run_id, layout, version) where state <> 'failed';

create table worker.statement_files (
    set_id   uuid    not null references worker.statement_sets on delete cascade,
    payee_id integer not null,
    body     bytea   not null,
    primary key (set_id, payee_id)
);

-- What the version before 0020 read; it is long gone.
drop view worker.usage_amounts;
