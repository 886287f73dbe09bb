-- Deliveries: what is handed over to one platform, from "queued" to the partner's last word.
-- Nothing here refers to a row of `public` by foreign key: a release that is deleted there must not
-- take its history with it. Rows keep ids and a snapshot of title, UPC and platform name.

-- UUIDs of version 7, whose order is the order of time. PostgreSQL 18 has its own.
create function worker.uuid_v7() returns uuid
    language sql volatile parallel safe
    return encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid;

create table worker.deliveries (
    id              uuid primary key default worker.uuid_v7(),
    release_id      integer not null,
    platform_id     integer not null,
    -- The row of public.distribution_records that shows this release on this platform.
    record_id       integer not null,
    kind            text not null check (kind in ('insert', 'update', 'takedown')),
    -- Rises with each delivery of the release to the platform.
    revision        integer not null check (revision > 0),
    -- Rises when the partner asks for a resend or an operator redelivers; never by a retry.
    transmission    integer not null default 1 check (transmission > 0),
    state           text not null default 'queued' check (state in (
                        'queued', 'sending', 'sent', 'accepted', 'rejected', 'retrying', 'unknown',
                        'failed', 'held', 'canceled')),
    -- Snapshot, for people and for history.
    release_title   text not null,
    platform_name   text not null,
    upc             text,
    method          text not null,
    -- Attempts that counted, over all transmissions.
    attempts        integer not null default 0,
    -- SHA-256 of everything that goes into the package, in hex; known from the first attempt on.
    fingerprint     text,
    -- When the first attempt of this transmission began: fixes remote names.
    started_at      timestamptz,
    -- Given up then, if it has not been sent.
    expires_at      timestamptz,
    next_attempt_at timestamptz,
    sent_at         timestamptz,
    decided_at      timestamptz,
    -- What the partner gave back (platform_adapters::Receipt).
    receipt         jsonb,
    -- The last fault: its code, what happened, what to do.
    fault_code      text,
    fault_message   text,
    fault_remedy    text,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    unique (release_id, platform_id, revision)
) with (fillfactor = 80);

-- Work that is not decided: small, however long the history is.
create index deliveries_undecided on worker.deliveries (platform_id, state)
    where state not in ('accepted', 'rejected', 'failed', 'canceled');

-- The files of the package as handed over: evidence, and what demo and console show.
create table worker.delivery_files (
    delivery_id  uuid not null references worker.deliveries on delete cascade,
    transmission integer not null,
    position     smallint not null,
    name         text not null,
    path         text not null,
    size         bigint not null,
    sha256       text not null,
    md5          text not null,
    primary key (delivery_id, transmission, position)
);

-- Documents as sent and as received: messages, manifests, answers, acknowledgements. Never media.
create table worker.evidence (
    id           uuid primary key default worker.uuid_v7(),
    delivery_id  uuid not null references worker.deliveries on delete cascade,
    transmission integer not null,
    attempt      integer not null,
    name         text not null,
    media_type   text not null,
    body         bytea not null,
    created_at   timestamptz not null default now()
);
create index evidence_delivery on worker.evidence (delivery_id);

-- What a schedule waits for: one row for each platform it names. Where several schedules name the
-- same release and platform while it is on its way, they share the delivery.
create table worker.schedule_targets (
    schedule_id integer not null,
    platform_id integer not null,
    -- NULL where the platform was refused at once.
    delivery_id uuid references worker.deliveries on delete cascade,
    state       text not null default 'open' check (state in ('open', 'completed', 'failed')),
    -- Why it failed: code, message, at, attempts; goes into failed_platforms.
    failure     jsonb,
    primary key (schedule_id, platform_id)
);
create index schedule_targets_delivery on worker.schedule_targets (delivery_id)
    where delivery_id is not null;
