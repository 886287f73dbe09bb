-- Two records of a report can begin in one line, where a lone carriage return parts them: records are
-- what is counted, and the line is for people.
alter table worker.usage_lines rename column line to record;
alter table worker.usage_unmatched rename column line to record;
alter table worker.usage_unmatched add column line bigint not null default 0;
alter table worker.usage_unmatched alter column line drop default;
