-- What is told to people: the outbox, and what each channel got of it.

create table worker.notifications (
    -- The id that receivers see; the same at every try.
    id         uuid primary key default worker.uuid_v7(),
    -- `schedule.completed`, `delivery.failed`, ...
    event      text collate "C" not null,
    -- What it tells of: `schedule/12`, `delivery/<id>`, `platform/3`.
    subject    text collate "C" not null,
    -- What it is gathered with where many of a kind come at once: the event, and the platform.
    topic      text collate "C" not null,
    payload    jsonb not null,
    -- `unaddressed`: no channel was configured for the event when its turn came. `failed`: some
    -- channel did not take it, and it is tried no more. `dismissed`: it failed, and an operator has
    -- seen it.
    state      text not null default 'pending'
        check (state in ('pending', 'delivered', 'failed', 'unaddressed', 'dismissed')),
    -- What may be told only once.
    once_key   text unique,
    created_at timestamptz not null,
    settled_at timestamptz,
    check ((state = 'pending') = (settled_at is null))
);
create index notifications_subject on worker.notifications (subject, id);
-- What has not reached everybody: few, however long the history is.
create index notifications_failed on worker.notifications (id) where state = 'failed';
create index notifications_pending on worker.notifications (topic, id) where state = 'pending';

-- What each channel got: a row per channel, from the first try on.
create table worker.notification_sends (
    notification_id uuid not null references worker.notifications on delete cascade,
    -- `webhook/<name>`, `mail/owner`, `mail/<address>`, `ticket`.
    channel         text not null,
    tries           integer not null default 1,
    -- Null while it has not been taken.
    delivered_at    timestamptz,
    -- The channel will not take it, however often it is tried.
    given_up_at     timestamptz,
    -- Why the last try failed; null once it was taken.
    problem         text,
    primary key (notification_id, channel)
);

-- When a channel that gathers was last told of a topic. Its row is locked while a mail is on its way.
create table worker.notification_digests (
    channel text not null,
    topic   text not null,
    told_at timestamptz,
    primary key (channel, topic)
);

-- A hand-over whose outcome is not known stays so, whatever else happens to the delivery, until the
-- partner or an operator has answered.
alter table worker.deliveries
    add column unknown_since timestamptz,
    -- What happened then: the last step that is certain.
    add column unknown_reason text;
