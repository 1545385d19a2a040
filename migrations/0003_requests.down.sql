DROP TABLE idempotency_keys;
DROP INDEX tasks_retry_of;
ALTER TABLE tasks DROP COLUMN retry_of, DROP COLUMN run_at, DROP COLUMN priority;
