-- What clients may ask of a task, and what they called their requests.
SET lock_timeout = '5s';

-- Constants as defaults: no row is rewritten.
ALTER TABLE tasks
    ADD COLUMN priority smallint NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 2),
    ADD COLUMN run_at timestamptz,
    ADD COLUMN retry_of bigint;

-- A failed task is run again by one other task, however often its owner asks.
CREATE UNIQUE INDEX tasks_retry_of ON tasks (retry_of) WHERE retry_of IS NOT NULL;

-- A submission under a key, kept in the transaction that kept its tasks.
CREATE TABLE idempotency_keys (
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    key text NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    task_ids bigint[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key),
    CONSTRAINT idempotency_keys_key_shape CHECK (char_length(key) BETWEEN 1 AND 255)
);

CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
