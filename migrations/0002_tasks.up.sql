-- Tasks, their live work, their history and their results.
SET lock_timeout = '5s';

-- What workers can run. Published by the worker image, read by the API.
CREATE TABLE task_types (
    name text PRIMARY KEY,
    payload_schema jsonb NOT NULL,
    timeout_seconds integer NOT NULL CHECK (timeout_seconds > 0),
    max_attempts integer NOT NULL CHECK (max_attempts > 0),
    published_at timestamptz NOT NULL DEFAULT now()
);

CREATE TYPE task_status AS ENUM ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED', 'CANCELLED');

-- No index on status: it would make every transition rewrite all indexes (no HOT update).
-- What is due is found through live_tasks.
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
    CONSTRAINT tasks_attempts_in_budget CHECK (attempts BETWEEN 0 AND max_attempts),
    CONSTRAINT tasks_finished_when_final CHECK (
        (finished_at IS NOT NULL) = (status IN ('COMPLETED', 'FAILED', 'CANCELLED'))
    ),
    CONSTRAINT tasks_failed_with_reason CHECK (status <> 'FAILED' OR error_code IS NOT NULL),
    CONSTRAINT tasks_completed_with_result CHECK (status <> 'COMPLETED' OR result_file IS NOT NULL)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);

CREATE INDEX tasks_user_id_id ON tasks (user_id, id);

-- One row per task that is not final: when its doorbell rings next and who holds it.
-- Every transition locks this row first.
CREATE TABLE live_tasks (
    task_id bigint PRIMARY KEY REFERENCES tasks ON DELETE CASCADE,
    due_at timestamptz NOT NULL,
    ring_at timestamptz NOT NULL,
    rings integer NOT NULL DEFAULT 0,
    handbacks integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    lease_token uuid,
    lease_owner uuid,
    CONSTRAINT live_tasks_lease_whole CHECK (
        num_nulls(lease_until, lease_token, lease_owner) IN (0, 3)
    )
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);

CREATE INDEX live_tasks_ring_at ON live_tasks (ring_at);

-- Append-only: each transition, in the transaction that made it.
CREATE TABLE task_events (
    task_id bigint NOT NULL REFERENCES tasks ON DELETE CASCADE,
    seq integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    epoch integer NOT NULL,
    status task_status NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    reason text,
    PRIMARY KEY (task_id, seq)
);

-- At most one result per task, written with its verdict.
CREATE TABLE task_results (
    task_id bigint PRIMARY KEY REFERENCES tasks ON DELETE CASCADE,
    epoch integer NOT NULL,
    size_bytes bigint GENERATED ALWAYS AS (octet_length(content)) STORED,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    content_type text NOT NULL,
    file_name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    content bytea NOT NULL
);

-- Results are compressed files already.
ALTER TABLE task_results ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE FUNCTION refuse_unlawful_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status, NEW.status) NOT IN (
        ('PENDING', 'PENDING'),
        ('PENDING', 'PROCESSING'),
        ('PENDING', 'CANCELLED'),
        ('PROCESSING', 'PROCESSING'),
        ('PROCESSING', 'COMPLETED'),
        ('PROCESSING', 'FAILED'),
        ('PROCESSING', 'CANCELLED')
    ) THEN
        RAISE EXCEPTION 'task % may not move from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tasks_lawful_moves';
    END IF;
    IF NEW.epoch < OLD.epoch THEN
        RAISE EXCEPTION 'epoch of task % may not go back from % to %', OLD.id, OLD.epoch, NEW.epoch
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tasks_epoch_grows';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER tasks_lawful_moves BEFORE UPDATE ON tasks
    FOR EACH ROW EXECUTE FUNCTION refuse_unlawful_move();

CREATE FUNCTION refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'task_events is append-only' USING ERRCODE = 'check_violation',
        CONSTRAINT = 'task_events_append_only';
END
$$;

CREATE TRIGGER task_events_append_only BEFORE UPDATE ON task_events
    FOR EACH ROW EXECUTE FUNCTION refuse_event_change();

-- Worker processes and their running totals; each writes only its own row.
CREATE TABLE workers (
    worker_id uuid PRIMARY KEY,
    pod_name text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    completions bigint NOT NULL DEFAULT 0,
    busy_seconds double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
