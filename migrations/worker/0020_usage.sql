-- Usage: one place that says what a row was reported as, lines that can be matched again; and days of
-- statistics that cannot be written.

-- A row of usage has its reported amount in worker.usage_lines, whoever wrote it. file_id 0: no file.
insert into worker.usage_lines
    (file_id, record, analytics_id, amount, currency, rate, rate_date, rate_source)
select 0, analytics_id, analytics_id, amount, currency, rate, rate_date, rate_source
from worker.usage_amounts;
drop table worker.usage_amounts;
-- The version before this one adds what it finds here to the lines that have a rate.
create view worker.usage_amounts as
    select analytics_id, currency, amount, rate, rate_date, rate_source
    from worker.usage_lines where file_id = 0 and rate is null;

comment on column worker.usage_lines.file_id is '0: no file, somebody else wrote the row';
comment on column worker.usage_lines.rate is
    'accounting currency for one unit; NULL: the amount is in the accounting currency, or, in another '
    'one, there was no rate and analytics.revenue does not hold the amount yet';

-- What could be read of a line, so that it can be matched again. NULL day: it could not be read.
alter table worker.usage_unmatched
    add column date      date,
    add column territory text,
    add column streams   integer,
    add column downloads integer,
    add column amount    numeric,
    add column currency  text collate "C";

-- User-days of statistics that the database refuses to compute or to write. The others go on; these
-- are tried again when they are marked, and after a while.
create table worker.statistics_asides (
    user_id         integer     not null,
    date            date        not null,
    -- What the database said.
    problem         text        not null,
    attempts        integer     not null default 1 check (attempts > 0),
    first_failed_at timestamptz not null,
    last_failed_at  timestamptz not null,
    next_attempt_at timestamptz not null,
    primary key (user_id, date)
);
create index statistics_asides_due on worker.statistics_asides (next_attempt_at);
alter table worker.dirty_days
    drop constraint dirty_days_source_check,
    add constraint dirty_days_source_check
        check (source in ('import', 'trigger', 'scan', 'rebuild', 'operator', 'retry'));
