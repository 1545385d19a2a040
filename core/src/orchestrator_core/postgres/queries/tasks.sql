-- name: find_task
-- One task by its primary key.
SELECT id, user_id, task_type, status, payload, attempts, max_attempts, timeout_seconds, priority,
       run_at, retry_of, last_event, result_file, error_code, error_message, trace_context,
       created_at, updated_at, started_at, finished_at
FROM tasks
WHERE id = $1;

-- name: find_scan_end
-- The id at which $3 tasks of a user after id $2 have been looked at, if there are so many;
-- reads only tasks_user_id_id.
SELECT id FROM tasks WHERE user_id = $1 AND id > $2 ORDER BY id OFFSET $3::bigint - 1 LIMIT 1;

-- name: list_tasks
-- A page of a user's tasks in the order they were accepted, after id $2 and up to id $3, of status
-- $4 and type $5 if those are given; uses tasks_user_id_id.
-- Payloads stay out: a page of them may be hundreds of megabytes.
SELECT id, user_id, task_type, status, attempts, max_attempts, timeout_seconds, priority, run_at,
       retry_of, last_event, result_file, error_code, error_message, trace_context,
       created_at, updated_at, started_at, finished_at
FROM tasks
WHERE user_id = $1 AND id > $2 AND id <= $3
  AND ($4::task_status IS NULL OR status = $4)
  AND ($5::text IS NULL OR task_type = $5)
ORDER BY id
LIMIT $6;

-- name: cancel_task
-- End task $1 if it is not final. Its live row goes, and with it the lease: a settlement under way
-- is either recorded before, so that nothing is left to cancel, or refused. Primary keys only.
WITH ended AS (
    DELETE FROM live_tasks WHERE task_id = $1 RETURNING task_id
), moved AS (
    UPDATE tasks t
    SET status = 'CANCELLED', finished_at = clock_timestamp(), updated_at = clock_timestamp(),
        error_code = NULL, error_message = NULL, last_event = t.last_event + 1
    FROM ended
    WHERE t.id = ended.task_id
    RETURNING t.id, t.last_event, t.epoch
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor, reason)
    SELECT id, last_event, epoch, 'CANCELLED', 'CANCELLED', 'api', 'its owner asked for it'
    FROM moved
)
SELECT id FROM moved;

-- name: fail_exhausted
-- End tasks whose last allowed attempt lost its lease; uses live_tasks_ring_at.
WITH lost AS (
    SELECT l.task_id
    FROM live_tasks l
    JOIN tasks t ON t.id = l.task_id
    WHERE l.ring_at <= clock_timestamp() AND l.lease_until <= clock_timestamp()
      AND t.attempts >= t.max_attempts
    ORDER BY l.ring_at
    LIMIT $1
    FOR UPDATE OF l SKIP LOCKED
), ended AS (
    DELETE FROM live_tasks l USING lost WHERE l.task_id = lost.task_id
), moved AS (
    UPDATE tasks t
    SET status = 'FAILED', finished_at = clock_timestamp(), updated_at = clock_timestamp(),
        error_code = 'WORKER_LOST',
        error_message = 'the worker of the last attempt was lost', last_event = t.last_event + 1
    FROM lost
    WHERE t.id = lost.task_id
    RETURNING t.id, t.last_event, t.epoch
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor, reason)
    SELECT id, last_event, epoch, 'FAILED', 'WORKER_LOST', 'api', 'lease ran out' FROM moved
)
SELECT id FROM moved;

-- name: take_due_rings
-- The doorbells to ring now, oldest first, at most $1; each rings again $2 seconds later
-- unless a claim moves that. Uses live_tasks_ring_at.
WITH due AS (
    SELECT l.task_id, l.rings
    FROM live_tasks l
    JOIN tasks t ON t.id = l.task_id
    WHERE l.ring_at <= clock_timestamp() AND t.attempts < t.max_attempts
    ORDER BY l.ring_at
    LIMIT $1
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE live_tasks l
SET ring_at = clock_timestamp() + make_interval(secs => $2::float8), rings = l.rings + 1
FROM due
WHERE l.task_id = due.task_id
RETURNING l.task_id, due.rings;
