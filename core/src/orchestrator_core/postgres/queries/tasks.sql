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

-- name: claim_tasks
-- Lease every task of $1 that is due, unleased and within its budget, for worker $2 and $3 seconds.
-- The attempt is counted here, so that a task which kills its worker runs out. Primary keys only.
WITH free AS (
    SELECT l.task_id
    FROM live_tasks l
    JOIN tasks t ON t.id = l.task_id
    WHERE l.task_id = ANY($1::bigint[])
      AND l.due_at <= clock_timestamp()
      AND (l.lease_until IS NULL OR l.lease_until <= clock_timestamp())
      AND t.attempts < t.max_attempts
    ORDER BY l.task_id
    FOR UPDATE OF l SKIP LOCKED
), leased AS (
    UPDATE live_tasks l
    SET lease_token = gen_random_uuid(), lease_owner = $2::uuid,
        lease_until = clock_timestamp() + make_interval(secs => $3::float8),
        ring_at = clock_timestamp() + make_interval(secs => $3::float8), rings = 0
    FROM free
    WHERE l.task_id = free.task_id
    RETURNING l.task_id, l.lease_token, l.lease_until
), claimed AS (
    UPDATE tasks t
    SET status = 'PROCESSING', epoch = t.epoch + 1, attempts = t.attempts + 1,
        started_at = coalesce(t.started_at, clock_timestamp()), updated_at = clock_timestamp(),
        last_event = t.last_event + 1
    FROM leased
    WHERE t.id = leased.task_id
    RETURNING t.id AS task_id, t.user_id, t.task_type, t.payload, t.epoch, leased.lease_token,
              t.attempts AS attempt, t.max_attempts, t.timeout_seconds, t.trace_context,
              leased.lease_until, t.last_event
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor)
    SELECT task_id, last_event, epoch, 'PROCESSING', 'CLAIMED', $2::uuid::text FROM claimed
)
SELECT task_id, user_id, task_type, payload, epoch, lease_token, attempt, max_attempts,
       timeout_seconds, trace_context, lease_until
FROM claimed
ORDER BY task_id;

-- name: extend_leases
-- Push the end of every lease that is still ours to $3 seconds from now. Primary keys only.
WITH ours AS (
    SELECT l.task_id
    FROM unnest($1::bigint[], $2::uuid[]) AS u(task_id, lease_token)
    JOIN live_tasks l ON l.task_id = u.task_id AND l.lease_token = u.lease_token
    ORDER BY l.task_id
    FOR UPDATE OF l
)
UPDATE live_tasks l
SET lease_until = clock_timestamp() + make_interval(secs => $3::float8),
    ring_at = clock_timestamp() + make_interval(secs => $3::float8)
FROM ours
WHERE l.task_id = ours.task_id
RETURNING l.task_id;

-- name: settle_attempts
-- Record a batch of outcomes whose fence (task, epoch, lease token) still holds: row, live row,
-- result and event together. A hand-back gives the attempt back, at most $12 times a task.
WITH input AS (
    SELECT *
    FROM unnest(
        $1::bigint[], $2::integer[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::float8[],
        $8::text[], $9::text[], $10::bytea[], $11::bytea[]
    ) AS u(task_id, epoch, lease_token, verdict, error_code, error_message, delay_seconds,
           file_name, content_type, content, sha256)
), held AS MATERIALIZED (
    SELECT i.*, l.lease_owner, l.handbacks < $12::integer AS is_free_handback
    FROM input i
    JOIN live_tasks l ON l.task_id = i.task_id AND l.lease_token = i.lease_token
    JOIN tasks t ON t.id = i.task_id AND t.epoch = i.epoch
    ORDER BY i.task_id
    FOR UPDATE OF l
), ended AS (
    DELETE FROM live_tasks l
    USING held h
    WHERE l.task_id = h.task_id AND h.verdict IN ('COMPLETED', 'FAILED')
), postponed AS (
    UPDATE live_tasks l
    SET lease_until = NULL, lease_token = NULL, lease_owner = NULL, rings = 0,
        due_at = clock_timestamp() + make_interval(secs => h.delay_seconds),
        ring_at = clock_timestamp() + make_interval(secs => h.delay_seconds),
        handbacks = l.handbacks + (h.verdict = 'HANDED_BACK')::integer
    FROM held h
    WHERE l.task_id = h.task_id AND h.verdict IN ('RETRY', 'HANDED_BACK')
), moved AS (
    UPDATE tasks t
    SET status = CASE WHEN h.verdict IN ('COMPLETED', 'FAILED')
                      THEN h.verdict::task_status ELSE t.status END,
        finished_at = CASE WHEN h.verdict IN ('COMPLETED', 'FAILED') THEN clock_timestamp() END,
        attempts = t.attempts - (h.verdict = 'HANDED_BACK' AND h.is_free_handback)::integer,
        result_file = CASE WHEN h.verdict = 'COMPLETED' THEN 'result/' || h.file_name END,
        error_code = CASE WHEN h.verdict = 'HANDED_BACK' THEN t.error_code ELSE h.error_code END,
        error_message =
            CASE WHEN h.verdict = 'HANDED_BACK' THEN t.error_message ELSE h.error_message END,
        updated_at = clock_timestamp(),
        last_event = t.last_event + 1
    FROM held h
    WHERE t.id = h.task_id
    RETURNING t.id, t.last_event, t.epoch, t.status, h.verdict, h.lease_owner, h.error_message
), filed AS (
    INSERT INTO task_results (task_id, epoch, content, content_type, file_name, sha256)
    SELECT task_id, epoch, content, content_type, file_name, sha256
    FROM held
    WHERE verdict = 'COMPLETED'
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor, reason)
    SELECT id, last_event, epoch, status, verdict, lease_owner::text, error_message FROM moved
)
SELECT task_id FROM held;

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
