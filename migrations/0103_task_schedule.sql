-- By which schedule a run came, e.g. `30 2 * * * Etc/UTC`; what was missed before it was settled then. Null for a run by
-- hand, and for one that could not find out what was missed: those settle nothing.
alter table ops.task_runs add column schedule text;
