-- The textbook service's tables: the same columns, checks and indexes of users and tasks as ours.
-- It has no live rows and no history of events, so it writes less per task than we do.
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX users_username_key ON users (lower(username));

CREATE TYPE task_status AS ENUM ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED');

CREATE TABLE tasks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    epoch integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL CHECK (max_attempts > 0),
    timeout_seconds integer NOT NULL CHECK (timeout_seconds > 0),
    last_event integer NOT NULL DEFAULT 1,
    status task_status NOT NULL DEFAULT 'PENDING',
    task_type text NOT NULL,
    trace_context text NOT NULL,
    result_file text,
    error_code text,
    error_message text,
    payload jsonb NOT NULL,
    priority smallint NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 2),
    run_at timestamptz,
    retry_of bigint,
    CONSTRAINT tasks_attempts_in_budget CHECK (attempts BETWEEN 0 AND max_attempts),
    CONSTRAINT tasks_finished_when_final CHECK (
        (finished_at IS NOT NULL) = (status IN ('COMPLETED', 'FAILED', 'CANCELLED'))
    ),
    CONSTRAINT tasks_failed_with_reason CHECK (status <> 'FAILED' OR error_code IS NOT NULL),
    CONSTRAINT tasks_completed_with_result CHECK (status <> 'COMPLETED' OR result_file IS NOT NULL)
) WITH (fillfactor = 80);

CREATE INDEX tasks_user_id_id ON tasks (user_id, id);
CREATE UNIQUE INDEX tasks_retry_of ON tasks (retry_of) WHERE retry_of IS NOT NULL;
