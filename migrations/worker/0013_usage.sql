-- Usage as platforms report it: which files were imported, what each line said, and what could not be
-- imported.

create table worker.usage_files (
    id             integer     not null primary key generated always as identity,
    name           text        not null,
    -- Of its content, unpacked: the same usage is not imported twice.
    sha256         text        collate "C" not null check (sha256 ~ '^[0-9a-f]{64}$'),
    platform_id    integer     not null,
    platform_name  text        not null,
    layout         text        not null,
    state          text        collate "C" not null default 'importing'
        check (state in ('importing', 'imported', 'voiding', 'voided')),
    -- Records in the file, and how many of them have been dealt with: an import goes on from there.
    records_total  bigint      not null,
    records_done   bigint      not null default 0,
    lines_imported bigint      not null default 0,
    lines_aside    bigint      not null default 0,
    streams        bigint      not null default 0,
    downloads      bigint      not null default 0,
    -- In the accounting currency.
    revenue        numeric     not null default 0,
    first_day      date,
    last_day       date,
    started_at     timestamptz not null,
    updated_at     timestamptz not null,
    finished_at    timestamptz
);
create unique index usage_files_sha256 on worker.usage_files (sha256) where state <> 'voided';

-- Where a row of public.analytics came from, and its amount before it was converted.
create table worker.usage_lines (
    file_id      integer not null,
    -- In the file, from 1.
    line         bigint  not null,
    -- The row of public.analytics; that may have been deleted since.
    analytics_id integer not null,
    -- As reported; NULL: the line has none.
    amount       numeric,
    currency     text    collate "C",
    -- Accounting currency for one unit of it; NULL: it is in the accounting currency.
    rate         numeric,
    rate_date    date,
    rate_source  text,
    primary key (file_id, line)
);
-- Both rise together, so this small index finds the line of a row.
create index usage_lines_analytics on worker.usage_lines using brin (analytics_id);

-- Lines that were not imported.
create table worker.usage_unmatched (
    file_id integer  not null,
    line    bigint   not null,
    reason  text     collate "C" not null check (reason in (
        'unreadable', 'unknown_recording', 'ambiguous_recording', 'no_rate', 'out_of_range')),
    problem text     not null,
    isrc    text     collate "C",
    upc     text     collate "C",
    -- The fields as they stand there, as far as they can be kept.
    fields  text[]   not null,
    primary key (file_id, line)
);
