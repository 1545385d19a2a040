SET lock_timeout = '5s';

ALTER TABLE task_results DROP COLUMN expires_at;
