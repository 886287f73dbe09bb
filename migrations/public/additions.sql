-- What the worker adds to the web application's tables, so that it is fast and hears of changes at
-- once. Run by a `migrate` that finds any of it missing, since the web application's next schema push
-- may drop it; what is changed here needs another name to be noticed. Correctness never depends on it.
create index if not exists worker_scheduled_distributions_due
    on public.scheduled_distributions (scheduled_date, id)
    where status in ('pending', 'scheduled');
create index if not exists worker_distribution_records_release_platform
    on public.distribution_records (release_id, platform_id, id);
create index if not exists worker_rights_management_release
    on public.rights_management (release_id) where release_id is not null;
create index if not exists worker_rights_management_track
    on public.rights_management (track_id) where track_id is not null;
create index if not exists worker_daily_stats_user_date
    on public.daily_stats (user_id, date);
create index if not exists worker_users_parent_label
    on public.users (parent_label_id) where parent_label_id is not null;
-- Triggers tell which days of the statistics changed. The importer records its own, and says so.
create or replace trigger worker_analytics_inserted after insert on public.analytics
    referencing new table as inserted for each statement
    when (current_setting('tunemantra.records_days', true) is distinct from 'yes')
    execute function worker.mark_usage();
create or replace trigger worker_analytics_updated after update on public.analytics
    referencing old table as deleted new table as inserted for each statement
    execute function worker.mark_usage();
create or replace trigger worker_analytics_deleted after delete on public.analytics
    referencing old table as deleted for each statement
    when (current_setting('tunemantra.records_days', true) is distinct from 'yes')
    execute function worker.mark_usage();
create or replace trigger worker_analytics_truncated after truncate on public.analytics
    for each statement execute function worker.mark_all_usage();
create or replace trigger worker_tracks_updated after update on public.tracks
    referencing old table as deleted new table as inserted for each statement
    execute function worker.mark_tracks();
create or replace trigger worker_users_updated after update on public.users
    referencing old table as deleted new table as inserted for each statement
    execute function worker.mark_labels();
create or replace trigger worker_revenue_shares_inserted after insert on public.revenue_shares
    referencing new table as new_rows for each statement execute function worker.note_split_change();
create or replace trigger worker_revenue_shares_updated after update on public.revenue_shares
    referencing old table as old_rows new table as new_rows
    for each statement execute function worker.note_split_change();
create or replace trigger worker_revenue_shares_deleted after delete on public.revenue_shares
    referencing old table as old_rows for each statement execute function worker.note_split_change();

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
-- Identifiers as they are compared: without hyphens, in upper case, of bar codes without leading zeros.
create index if not exists worker_tracks_isrc
    on public.tracks (upper(replace(isrc, '-', '')));
create index if not exists worker_releases_upc
    on public.releases (ltrim(replace(upc, '-', ''), '0'));
