-- What the engine needs to honour priorities, to serve deep backlogs and to be told to pause.
SET lock_timeout = '5s';

-- Constants as defaults: no row is rewritten.
ALTER TABLE live_tasks
    -- A copy of the task's own, so that the order of claims is one index.
    ADD COLUMN priority smallint NOT NULL DEFAULT 1 CHECK (priority BETWEEN 0 AND 2),
    -- Of the attempt under way, as its handler tells it.
    ADD COLUMN progress real CHECK (progress BETWEEN 0 AND 1),
    ADD COLUMN progress_message text;

UPDATE live_tasks l SET priority = t.priority FROM tasks t WHERE t.id = l.task_id AND t.priority <> 1;

-- Who waits, in the order in which they are claimed.
CREATE INDEX live_tasks_waiting ON live_tasks (priority DESC, due_at) WHERE lease_token IS NULL;

-- What has not rung since it became due, or since its lease began: retries, delayed tasks, leases.
CREATE INDEX live_tasks_first_ring ON live_tasks (ring_at) WHERE rings = 0;

-- A backlog of tasks that have rung needs no index of its own: it is found through those that wait.
DROP INDEX live_tasks_ring_at;

ALTER TABLE workers
    ADD COLUMN slots integer NOT NULL DEFAULT 0,
    ADD COLUMN busy_slots integer NOT NULL DEFAULT 0,
    -- Written by the operator; the worker reads it with each report.
    ADD COLUMN is_cordoned boolean NOT NULL DEFAULT false;
