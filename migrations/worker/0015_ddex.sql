-- Acknowledgements that partners put where all of a platform's lie: which files were dealt with. A
-- file is heard once, when it is complete; files stay at the partner.

create table worker.acknowledgement_files (
    platform_id integer     not null,
    name        text        collate "C" not null,
    -- Bytes, as last seen. A file that grows is still being written.
    size        bigint      not null,
    -- When this size was first seen.
    seen_at     timestamptz not null,
    -- When it was dealt with; NULL while it cannot be read yet.
    heard_at    timestamptz,
    -- What is wrong with it, or why it says nothing to anybody.
    problem     text,
    primary key (platform_id, name)
);
