-- Two things that only the operator sees, told to the API, which never speaks to Kubernetes: how many
-- workers there may be, and how their pods ended.
SET lock_timeout = '5s';

CREATE TABLE pool_state (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    mode text NOT NULL,
    min_replicas integer NOT NULL CHECK (min_replicas >= 0),
    max_replicas integer NOT NULL CHECK (max_replicas >= 0),
    desired_replicas integer CHECK (desired_replicas >= 0),
    slots_per_pod integer NOT NULL CHECK (slots_per_pod > 0),
    pod_start_seconds double precision NOT NULL CHECK (pod_start_seconds >= 0),
    limited_message text,
    held_message text,
    told_at timestamptz NOT NULL DEFAULT now()
);

-- worker_id is the process that ran there. Workers are forgotten after a day; this is kept longer.
CREATE TABLE pod_ends (
    pod_uid text NOT NULL,
    container text NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    worker_id uuid NOT NULL,
    pod_name text NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 100),
    exit_code integer,
    message text NOT NULL CHECK (length(message) <= 500),
    PRIMARY KEY (pod_uid, container, began_at)
);

CREATE INDEX pod_ends_worker_id ON pod_ends (worker_id);
CREATE INDEX pod_ends_ended_at ON pod_ends (ended_at);
