-- The query that marks days is planned for each statement, and looks dear enough after a bulk COPY to
-- be compiled: that takes longer than running it.
alter function worker.mark_usage() set jit = off;
