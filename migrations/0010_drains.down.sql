SET lock_timeout = '5s';

ALTER TABLE workers DROP COLUMN cordoned_until, DROP COLUMN is_resting;
