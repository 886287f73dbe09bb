-- A million deliveries of 20,000 releases to 50 platforms, with five attempts each, their jobs, an
-- audit and schedules: most accepted, some of everything else.
insert into users (username, email, password, full_name, status) select 'u' || n, 'u' || n || '@x.example', '-', 'Label ' || n, 'active' from generate_series(1, 500) n;
insert into distribution_platforms (name, delivery_method, api_endpoint) select 'Platform ' || n, 'api', 'https://p' || n || '.example/' from generate_series(1, 50) n;
insert into releases (user_id, title, type, release_date, artist_names, upc, status)
  select 1 + n % 500, md5(n::text) || ' ' || (array['Midnight','Ferry','Song','Études','Nacht'])[1 + n % 5], 'single', now(), 'Artist ' || n % 3000, (842000000000 + n)::text, 'approved' from generate_series(1, 20000) n;
insert into tracks (release_id, user_id, title, artist, isrc, track_number)
  select n, 1 + n % 500, 'Track', 'Artist', 'DEA01' || lpad(n::text, 7, '0'), 1 from generate_series(1, 20000) n;
insert into worker.deliveries (release_id, platform_id, record_id, kind, revision, state, release_title, platform_name, upc, method, attempts, created_at, updated_at, decided_at, fault_code, fault_message, fault_remedy)
select r, p, 1, 'insert', 1, s, 'Title ' || r, 'Platform ' || p, (842000000000 + r)::text, 'api', 2,
  now() - (interval '1 second' * (1000000 - ((r - 1) * 50 + p)) * 0.6), now() - interval '1 second' * ((r * 31 + p) % 90000),
  case when s in ('accepted','rejected','failed','canceled') then now() - interval '1 second' * ((r * 31 + p) % 900000) end,
  case when s in ('failed','rejected','retrying','held') then (array['package_invalid','partner_error','timeout','host_key_changed'])[1 + r % 4] end,
  case when s in ('failed','rejected','retrying','held') then 'a sentence' end, 'do it'
from (select r, p, case when x < 940 then 'accepted' when x < 955 then 'failed' when x < 960 then 'rejected' when x < 965 then 'canceled' when x < 985 then 'queued' when x < 992 then 'retrying' when x < 997 then 'sent' when x < 999 then 'held' else 'unknown' end as s
      from (select r, p, (r * 7919 + p * 104729) % 1000 as x from generate_series(1, 20000) r, generate_series(1, 50) p) a) b order by r, p;
insert into worker.attempts (id, job_id, delivery_id, number, started_at, ended_at, outcome, worker)
select worker.uuid_v7(), d.id, d.id, n, d.created_at + interval '1 minute' * n, d.created_at + interval '1 minute' * n, 'completed', 'w' from worker.deliveries d, generate_series(1, 5) n;
insert into worker.jobs (id, queue, kind, arguments, state, run_at, max_attempts, created_at, finished_at, unique_key)
select worker.uuid_v7(), 'deliver/' || platform_id, 'deliver', jsonb_build_object('delivery', id),
  case when state in ('queued','retrying') then 'available' when state='held' then 'held' when state = 'failed' then 'dead' else 'completed' end, now(), 40, created_at,
  case when state in ('queued','retrying','held') then null else now() end, 'deliver/' || id from worker.deliveries;
insert into worker.audit (at, actor, action, object_kind, object_id, reason) select now(), 'key:1', 'delivery.hold', 'delivery', id::text, 'why' from worker.deliveries limit 100000;
insert into scheduled_distributions (release_id, user_id, scheduled_date, platform_ids, status) select n, 1, now() - interval '1 hour' * (n % 700), '{1,2,3}', 'completed' from generate_series(1, 20000) n;
