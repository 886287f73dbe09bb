-- UUIDs of version 7 whose order is the order of time to the microsecond, not the millisecond: twelve
-- of the random bits hold the rest of the time (RFC 9562, 6.2, method 3). What one operator did in
-- quick succession is listed in the order in which it was done.
create or replace function worker.uuid_v7() returns uuid
    language sql volatile parallel safe
    return (overlay(lpad(to_hex((extract(epoch from clock_timestamp()) * 4096000)::bigint), 15, '0')
                placing '7' from 13 for 0)
            || right(gen_random_uuid()::text, 17))::uuid;

-- Every job enters the primary key again when it is claimed and when it is completed. Room on the pages
-- is cheaper than looking, on each that is full, for entries that may go.
alter index worker.jobs_pkey set (fillfactor = 40);
-- Nothing stays in the index of running jobs for long: to merge equal entries is wasted.
alter index worker.jobs_running set (deduplicate_items = off);
