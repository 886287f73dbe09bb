-- What an operator looks for with a long history behind it. None of these indexes moves when a delivery
-- goes its way: they hold what stopped, what was decided, what is no delivery, and the audit.

-- How a delivery ended stands beside when: a day's tally reads the index alone.
drop index worker.deliveries_decided;
create index deliveries_decided on worker.deliveries (decided_at, id) include (state)
    where decided_at is not null;

-- The newest of those that stopped, however many came after them.
drop index worker.deliveries_stopped;
create index deliveries_stopped on worker.deliveries (state, id)
    where state in ('rejected', 'failed', 'canceled', 'held', 'unknown');
create index jobs_stopped on worker.jobs (state, id) where state in ('dead', 'canceled', 'held');

-- The few jobs among the many that deliver nothing, and whether one was followed up by another.
create index jobs_upkeep on worker.jobs (id) where left(queue, 8) not in ('deliver/', 'confirm/');
create index jobs_upkeep_key on worker.jobs (unique_key, id)
    where unique_key is not null and left(queue, 8) not in ('deliver/', 'confirm/');

create index audit_action on worker.audit (action, id);
create index audit_request on worker.audit (request_id) where request_id is not null;
create index notifications_state on worker.notifications (state, id);
create index notifications_event on worker.notifications (event, id);
