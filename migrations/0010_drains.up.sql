-- A cordon ends by itself unless whoever set it renews it, and a cordoned worker says that it
-- takes nothing new, so that nobody need guess when.
SET lock_timeout = '5s';

ALTER TABLE workers
    ADD COLUMN cordoned_until timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN is_resting boolean NOT NULL DEFAULT false;
