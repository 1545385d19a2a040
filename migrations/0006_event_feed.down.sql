DROP INDEX task_events_position;
ALTER TABLE task_events DROP COLUMN position;
