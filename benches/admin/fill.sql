-- A million deliveries of 20,000 releases to 50 platforms, made over a week, with five attempts each and
-- their jobs: most accepted, some of everything else. Beside them what else lists show: upkeep, the
-- audit, schedules, notifications.
insert into users (username, email, password, full_name, status) select 'u' || n, 'u' || n || '@x.example', '-', 'Label ' || n, 'active' from generate_series(1, 500) n;
insert into distribution_platforms (name, delivery_method, api_endpoint) select 'Platform ' || n, 'api', 'https://p' || n || '.example/' from generate_series(1, 50) n;
-- Nothing is delivered while it is looked at.
insert into worker.queues (name, paused_at, paused_reason) select 'deliver/' || n, now(), 'benchmark' from generate_series(1, 50) n;
insert into releases (user_id, title, type, release_date, artist_names, upc, status)
  select 1 + n % 500, md5(n::text) || ' ' || (array['Midnight','Ferry','Song','Études','Nacht'])[1 + n % 5], 'single', now(), 'Artist ' || n % 3000, (842000000000 + n)::text, 'approved' from generate_series(1, 20000) n;
insert into tracks (release_id, user_id, title, artist, isrc, track_number)
  select n, 1 + n % 500, 'Track', 'Artist', 'DEA01' || lpad(n::text, 7, '0'), 1 from generate_series(1, 20000) n;

-- An id of the time at which its row was made, as the worker makes them.
create function pg_temp.id_of(at timestamptz) returns uuid language sql as $$
  select (left(worker.uuid_v7_floor(at)::text, 14) || '7' || right(gen_random_uuid()::text, 21))::uuid $$;
insert into worker.deliveries (id, release_id, platform_id, record_id, kind, revision, state, release_title, platform_name, upc, method, attempts, created_at, updated_at, decided_at, fault_code, fault_message, fault_remedy)
select pg_temp.id_of(at), r, p, 1, 'insert', 1, s, 'Title ' || r, 'Platform ' || p, (842000000000 + r)::text, 'api', 2,
  at, now() - interval '1 second' * ((r * 31 + p) % 90000),
  case when s in ('accepted','rejected','failed','canceled') then now() - interval '1 second' * ((r * 31 + p) % 600000) end,
  case when s in ('failed','rejected','retrying','held') then (array['package_invalid','partner_error','timeout','host_key_changed'])[1 + r % 4] end,
  case when s in ('failed','rejected','retrying','held') then 'a sentence' end, 'do it'
from (select r, p, now() - interval '1 second' * (1000000 - ((r - 1) * 50 + p)) * 0.6 as at,
        case when x < 940 then 'accepted' when x < 955 then 'failed' when x < 960 then 'rejected' when x < 965 then 'canceled' when x < 985 then 'queued' when x < 992 then 'retrying' when x < 997 then 'sent' when x < 999 then 'held' else 'unknown' end as s
      from (select r, p, (r * 7919 + p * 104729) % 1000 as x from generate_series(1, 20000) r, generate_series(1, 50) p) a) b order by r, p;
insert into worker.attempts (id, job_id, delivery_id, number, started_at, ended_at, outcome, worker)
select worker.uuid_v7(), d.id, d.id, n, d.created_at + interval '1 minute' * n, d.created_at + interval '1 minute' * n, 'completed', 'w' from worker.deliveries d, generate_series(1, 5) n;
insert into worker.jobs (id, queue, kind, arguments, state, run_at, max_attempts, created_at, finished_at, unique_key)
select id, 'deliver/' || platform_id, 'deliver', jsonb_build_object('delivery', id),
  case when state in ('queued','retrying') then 'available' when state='held' then 'held' when state = 'failed' then 'dead' else 'completed' end, now(), 40, created_at,
  case when state in ('queued','retrying','held') then null else now() end, 'deliver/' || id from worker.deliveries;
insert into worker.jobs (id, queue, kind, arguments, state, run_at, max_attempts, created_at, finished_at, unique_key)
select pg_temp.id_of(at), 'statistics', 'statistics', '{}', case when n % 500 = 0 then 'dead' else 'completed' end, at, 5, at, at, 'statistics/' || n
from (select n, now() - interval '1 minute' * n as at from generate_series(1, 20000) n) minutes;
insert into worker.upkeep_jobs select id from worker.jobs where queue = 'statistics';

insert into worker.audit (id, at, actor, action, object_kind, object_id, reason)
select pg_temp.id_of(created_at), created_at, 'key:' || 1 + release_id % 7, case when release_id % 5000 = 1 then 'delivery.cancel' else 'delivery.hold' end, 'delivery', id::text, 'why'
from worker.deliveries where platform_id <= 10;
insert into scheduled_distributions (release_id, user_id, scheduled_date, platform_ids, status) select n, 1, now() - interval '1 hour' * (n % 700), '{1,2,3}', 'completed' from generate_series(1, 20000) n;
insert into worker.notifications (id, event, subject, topic, payload, state, created_at, settled_at)
select pg_temp.id_of(at), case when n % 4000 = 0 then 'platform.paused' else 'schedule.completed' end, 'schedule/' || n, 'schedule/' || n, '{}', case when n % 900 = 0 then 'failed' when n % 5000 = 1 then 'dismissed' else 'delivered' end, at, at
from (select n, now() - interval '30 seconds' * n as at from generate_series(1, 100000) n) made;
