-- Results that go some day, so that a database does not grow for ever.
SET lock_timeout = '5s';

-- NULL: kept for good, as all results so far. Without a default no row is rewritten.
ALTER TABLE task_results ADD COLUMN expires_at timestamptz;

CREATE INDEX task_results_expires_at ON task_results (expires_at) WHERE expires_at IS NOT NULL;
