-- A job that the queue completes by itself, in an attempt that was never begun here, is the record of that
-- attempt: a row of worker.attempts beside it would say the same again, and most small jobs end so.
alter table worker.jobs
    -- When that attempt began; it ended at finished_at. Null: what is known is in worker.attempts.
    add column started_at timestamptz;

-- Every attempt, wherever it is recorded.
create view worker.job_attempts as
    select id, job_id, delivery_id, number, started_at, ended_at, outcome, fault_code, fault_message, worker
    from worker.attempts
    union all
    select id, id, null, attempt, started_at, finished_at, 'completed', null, null, coalesce(worker, '')
    from worker.jobs
    where state = 'completed' and started_at is not null;

-- The jobs that deliver nothing, among the many that do. A table and not an index: a job is written anew
-- when it is claimed and when it ends, and enters each of its indexes again; here it stands once. No
-- foreign key, which would look at the job as often. Retention removes both.
drop index worker.jobs_upkeep;
create table worker.upkeep_jobs (
    id uuid not null primary key
);
insert into worker.upkeep_jobs (id)
    select id from worker.jobs where left(queue, 8) not in ('deliver/', 'confirm/');
