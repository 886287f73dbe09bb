-- What operators do: the audit, what their words need to be remembered by, and what a takedown
-- needs to know of a release that is gone.

-- One row for every change by an operator, written in the transaction of the change.
create table worker.audit (
    id          uuid        not null primary key default worker.uuid_v7(),
    at          timestamptz not null,
    -- Who: `cli:<user>`, `key:<id>`.
    actor       text        not null check (btrim(actor) <> ''),
    -- What was done: `delivery.hold`, `platform.pause`, `job.retry`.
    action      text        collate "C" not null check (action <> ''),
    -- To what: `delivery`, `platform`, `release`, `schedule`, `job`, and its id.
    object_kind text        collate "C" not null check (object_kind <> ''),
    object_id   text        collate "C" not null check (object_id <> ''),
    -- What of it changed, as it was and as it is; NULL: there was nothing, or is nothing left.
    before      jsonb,
    after       jsonb,
    -- Why.
    reason      text        not null check (btrim(reason) <> ''),
    -- The HTTP request, where there was one.
    request_id  text
);
create index audit_object on worker.audit (object_kind, object_id, id);

-- Rows are added and never changed, whoever asks.
create function worker.audit_is_append_only() returns trigger
    language plpgsql as $$
begin
    raise exception 'worker.audit is append-only: % refused', tg_op
        using errcode = 'insufficient_privilege';
end $$;
create trigger audit_append_only before update or delete or truncate on worker.audit
    for each statement execute function worker.audit_is_append_only();

-- An operator wants this running job stopped; its holder stops the handler and cancels the job.
alter table worker.jobs add column stop_requested_at timestamptz;

alter table worker.deliveries
    -- The release as it was last packaged for this delivery (platform_adapters::release::Release):
    -- a takedown needs title, UPC and ISRCs as the partner knows them.
    add column snapshot jsonb,
    -- The count of attempts when the limit began to count: a transmission begins it anew, and so does
    -- an operator who releases the delivery or has it tried again.
    add column attempts_before integer not null default 0,
    -- An earlier transmission was accepted: the platform has the release, whatever comes of this one.
    add column was_accepted boolean not null default false,
    -- Called off while an attempt was under way: the next one only looks what lies at the partner.
    add column cancel_requested_at timestamptz;

-- Where a release was taken down though its rights would allow it to be sold there.
create table worker.territory_takedowns (
    id          uuid        not null primary key default worker.uuid_v7(),
    release_id  integer     not null,
    -- NULL: on every platform.
    platform_id integer,
    -- ISO 3166-1 alpha-2, upper case.
    territory   text        collate "C" not null check (territory ~ '^[A-Z]{2}$'),
    created_at  timestamptz not null,
    unique nulls not distinct (release_id, platform_id, territory)
);
