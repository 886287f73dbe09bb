-- A takedown by which the partner is to forget the release, as if it had never been there: a
-- PurgeReleaseMessage of DDEX. Begun by an operator, for one release on one platform.
alter table worker.deliveries
    add column purges boolean not null default false,
    add constraint deliveries_purges check (kind = 'takedown' or not purges);
