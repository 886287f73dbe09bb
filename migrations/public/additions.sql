-- What the worker adds to the web application's tables: for speed only. Run at every `migrate`,
-- since the web application's next schema push may drop it. Correctness never depends on it.
create index if not exists worker_scheduled_distributions_due
    on public.scheduled_distributions (scheduled_date, id)
    where status in ('pending', 'scheduled');
create index if not exists worker_distribution_records_release_platform
    on public.distribution_records (release_id, platform_id, id);
create index if not exists worker_rights_management_release
    on public.rights_management (release_id) where release_id is not null;
create index if not exists worker_rights_management_track
    on public.rights_management (track_id) where track_id is not null;

-- A schedule that is due at once does not wait for the next look.
create or replace function worker.announce_schedule() returns trigger
    language plpgsql security definer set search_path = pg_catalog as
$$
begin
    perform pg_notify('worker_schedules', '');
    return null;
end
$$;
create or replace trigger worker_scheduled_distributions_announce
    after insert or update of status, scheduled_date on public.scheduled_distributions
    for each row when (new.status in ('pending', 'scheduled'))
    execute function worker.announce_schedule();
