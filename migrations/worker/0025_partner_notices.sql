-- Notices that partners sent on their own account and that were heard: each counts once, however often
-- it comes.
create table worker.partner_notices (
    platform_id integer     not null,
    -- The partner's name of it, or the hash sum of what was signed.
    id          text        collate "C" not null,
    heard_at    timestamptz not null,
    primary key (platform_id, id)
);
create index partner_notices_heard on worker.partner_notices (heard_at);
