-- Batches: deliveries that a platform's partner takes together, and looks at only when the batch is
-- said to be complete (the choreography `batch` of DDEX).

create table worker.batches (
    id           uuid        not null primary key default worker.uuid_v7(),
    platform_id  integer     not null,
    -- open: releases are taken in. closing: no more are, and those on their way are waited for.
    -- sealed: it is settled what is in it. closed: the partner was told that it is complete.
    -- abandoned: nothing was in it.
    state        text        not null default 'open'
                     check (state in ('open', 'closing', 'sealed', 'closed', 'abandoned')),
    -- To the millisecond, and later than of any batch before, over all platforms: its id at the partner
    -- is made of it, and is never used twice by a sender.
    opened_at    timestamptz not null unique,
    -- The batch's id at the partner: opened_at as YYYYMMDDhhmmssnnn.
    name         text        collate "C" not null unique check (name ~ '^[0-9]{17}$'),
    -- As the platform's settings said when it was opened.
    max_releases integer     not null check (max_releases > 0),
    max_bytes    bigint      not null check (max_bytes > 0),
    -- Closed then at the latest.
    closes_at    timestamptz not null,
    sealed_at    timestamptz,
    -- When the partner was first about to be told that it is complete; NULL: it certainly was not.
    marker_at    timestamptz,
    closed_at    timestamptz,
    -- What said that it is complete, as it was sent.
    manifest     bytea,
    -- Why it could not be closed the last time.
    fault        text,
    check ((state = 'sealed') <= (sealed_at is not null)),
    check ((state in ('closed', 'abandoned')) = (closed_at is not null))
);

-- One at a time takes releases in.
create unique index batches_open on worker.batches (platform_id) where state = 'open';

-- What is, or was to be, in a batch: one row for each transmission of a delivery that was given a place
-- there. No foreign key to the delivery: it would lock its row.
create table worker.batch_releases (
    batch_id     uuid        not null references worker.batches,
    delivery_id  uuid        not null,
    transmission integer     not null,
    -- The release's bar code in 13 digits: no two of one release in a batch.
    release_key  text        collate "C" not null,
    -- Of audio and artwork.
    bytes        bigint      not null,
    taken_in_at  timestamptz not null,
    -- It is not in the batch any more: called off, failed, or not there when the batch was closed.
    left_at      timestamptz,
    primary key (delivery_id, transmission, batch_id)
);
create index batch_releases_batch on worker.batch_releases (batch_id, taken_in_at);
create unique index batch_releases_release on worker.batch_releases (batch_id, release_key)
    where left_at is null;
create unique index batch_releases_place on worker.batch_releases (delivery_id, transmission)
    where left_at is null;

-- batched: lies at the partner in a batch that is not complete yet. What is there already is in one of
-- the other states.
alter table worker.deliveries
    drop constraint deliveries_state_check,
    add constraint deliveries_state_check check (state in (
        'queued', 'sending', 'batched', 'sent', 'accepted', 'rejected', 'retrying', 'unknown',
        'failed', 'held', 'canceled')) not valid;
