SET lock_timeout = '5s';
ALTER TABLE workers DROP COLUMN slots, DROP COLUMN busy_slots, DROP COLUMN is_cordoned;
CREATE INDEX live_tasks_ring_at ON live_tasks (ring_at);
DROP INDEX live_tasks_first_ring;
DROP INDEX live_tasks_waiting;
ALTER TABLE live_tasks
    DROP COLUMN priority, DROP COLUMN progress, DROP COLUMN progress_message;
