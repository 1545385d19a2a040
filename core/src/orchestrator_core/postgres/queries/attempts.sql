-- name: claim_tasks
-- Lease at most as many tasks as there are messages in $1, for worker $2 and $3 seconds. The ids are
-- hints: each message brings the task it names, by primary key, but one that waits with a higher
-- priority goes first, and a message whose task can't be had brings the next of those that wait.
-- Only as many rows are locked as are taken, so that workers side by side don't hide rows from each
-- other. The attempt is counted here, so that a task which kills its worker runs out. Rows are found
-- through arrays: the planner takes a LIMIT that is a query for a tenth of the table, and would join
-- by reading all of it.
-- now() and not clock_timestamp(): only what is stable can bound an index scan. Uses
-- live_tasks_pkey, live_tasks_waiting and tasks_pkey.
WITH hinted AS MATERIALIZED (
    SELECT l.task_id, l.priority, l.due_at
    FROM live_tasks l
    JOIN tasks t ON t.id = l.task_id
    WHERE l.task_id = ANY($1::bigint[])
      AND l.due_at <= now()
      AND (l.lease_until IS NULL OR l.lease_until <= now())
      AND t.attempts < t.max_attempts
), wanted AS MATERIALIZED (
    SELECT cardinality($1::bigint[]) AS tasks,
           cardinality($1::bigint[]) - count(*) AS unhinted,
           count(*) FILTER (WHERE priority < 2) AS below_high,
           count(*) FILTER (WHERE priority < 1) AS below_normal
    FROM hinted
), high AS MATERIALIZED (
    SELECT l.task_id FROM live_tasks l
    WHERE l.lease_token IS NULL AND l.priority = 2 AND l.due_at <= now()
      AND l.task_id <> ALL($1::bigint[])
    ORDER BY l.due_at
    LIMIT (SELECT unhinted + below_high FROM wanted)
    FOR UPDATE SKIP LOCKED
), normal AS MATERIALIZED (
    SELECT l.task_id FROM live_tasks l
    WHERE l.lease_token IS NULL AND l.priority = 1 AND l.due_at <= now()
      AND l.task_id <> ALL($1::bigint[])
    ORDER BY l.due_at
    LIMIT (SELECT greatest(unhinted + below_normal - (SELECT count(*) FROM high), 0) FROM wanted)
    FOR UPDATE SKIP LOCKED
), low AS MATERIALIZED (
    SELECT l.task_id FROM live_tasks l
    WHERE l.lease_token IS NULL AND l.priority = 0 AND l.due_at <= now()
      AND l.task_id <> ALL($1::bigint[])
    ORDER BY l.due_at
    LIMIT (
        SELECT greatest(
            unhinted - (SELECT count(*) FROM high) - (SELECT count(*) FROM normal), 0
        ) FROM wanted
    )
    FOR UPDATE SKIP LOCKED
), unhinted AS MATERIALIZED (
    SELECT task_id FROM high
    UNION ALL SELECT task_id FROM normal
    UNION ALL SELECT task_id FROM low
), as_hinted AS MATERIALIZED (
    -- Looked at again under the lock: another worker may have been quicker.
    SELECT l.task_id
    FROM live_tasks l
    JOIN (
        SELECT task_id FROM hinted
        ORDER BY priority DESC, due_at
        LIMIT (SELECT greatest(tasks - (SELECT count(*) FROM unhinted), 0) FROM wanted)
    ) h ON h.task_id = l.task_id
    WHERE l.due_at <= now() AND (l.lease_until IS NULL OR l.lease_until <= now())
    ORDER BY l.task_id
    FOR UPDATE OF l SKIP LOCKED
), leased AS (
    UPDATE live_tasks l
    SET lease_token = gen_random_uuid(), lease_owner = $2::uuid,
        lease_until = clock_timestamp() + make_interval(secs => $3::float8),
        ring_at = clock_timestamp() + make_interval(secs => $3::float8), rings = 0,
        progress = NULL, progress_message = NULL
    WHERE l.task_id = ANY(
        ARRAY(SELECT task_id FROM unhinted UNION ALL SELECT task_id FROM as_hinted)
    )
    RETURNING l.task_id, l.lease_token, l.lease_until,
              extract(epoch FROM clock_timestamp() - l.due_at)::float8 AS waited_seconds
), claimed AS (
    UPDATE tasks t
    SET status = 'PROCESSING', epoch = t.epoch + 1, attempts = t.attempts + 1,
        started_at = coalesce(t.started_at, clock_timestamp()), updated_at = clock_timestamp(),
        last_event = t.last_event + 1
    WHERE t.id = ANY(ARRAY(SELECT task_id FROM leased))
    RETURNING t.id AS task_id, t.user_id, t.task_type, t.payload, t.epoch,
              t.attempts AS attempt, t.max_attempts, t.timeout_seconds, t.trace_context,
              t.last_event, t.priority
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor)
    SELECT task_id, last_event, epoch, 'PROCESSING', 'CLAIMED', $2::uuid::text FROM claimed
)
SELECT task_id, user_id, task_type, payload, epoch, lease_token, attempt, max_attempts,
       timeout_seconds, trace_context, lease_until, waited_seconds
FROM claimed
JOIN leased USING (task_id)
ORDER BY priority DESC, task_id;

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

-- name: tend_leases
-- Write the progress $3 with its message $4, where there is one, of those leases that are still
-- ours; return all that are. No indexed column changes. Primary keys only.
WITH ours AS MATERIALIZED (
    SELECT u.*
    FROM unnest($1::bigint[], $2::uuid[], $3::real[], $4::text[])
        AS u(task_id, lease_token, progress, message)
    JOIN live_tasks l ON l.task_id = u.task_id AND l.lease_token = u.lease_token
), moved AS (
    SELECT l.task_id, o.progress, o.message
    FROM ours o
    JOIN live_tasks l ON l.task_id = o.task_id AND l.lease_token = o.lease_token
    WHERE o.progress IS NOT NULL
    ORDER BY l.task_id
    FOR UPDATE OF l
), told AS (
    UPDATE live_tasks l
    SET progress = m.progress, progress_message = m.message
    FROM moved m
    WHERE l.task_id = m.task_id
)
SELECT task_id FROM ours;

-- name: settle_attempts
-- Record a batch of outcomes whose fence (task, epoch, lease token) still holds: row, live row,
-- result and event together. A hand-back gives the attempt back, at most $14 times a task; after
-- that it spends one, and the last one ends the task: what waits always has an attempt left.
-- A result is kept for $15 seconds, in its row or under its key; NULL: for good. Its key strays no
-- more. Contents are taken from their array by place: in what is materialised, each would be copied
-- for every step below, through a file if it is large.
WITH input AS (
    SELECT *
    FROM unnest(
        $1::bigint[], $2::integer[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::float8[],
        $8::text[], $9::text[], $11::bytea[], $12::text[], $13::bigint[]
    ) WITH ORDINALITY AS u(
        task_id, epoch, lease_token, verdict, error_code, error_message, delay_seconds,
        file_name, content_type, sha256, object_key, object_bytes, place
    )
), held AS MATERIALIZED (
    SELECT i.task_id, l.lease_owner, l.handbacks < $14::integer AS is_free_handback,
           CASE WHEN is_used_up THEN 'FAILED' ELSE i.verdict END AS verdict,
           CASE WHEN is_used_up THEN 'ATTEMPTS_EXHAUSTED' ELSE i.error_code END AS error_code,
           CASE WHEN is_used_up
                THEN 'its workers had to stop before it ended, more often than it has attempts'
                ELSE i.error_message END AS error_message,
           i.delay_seconds, i.file_name, i.content_type, i.sha256,
           i.object_key, i.object_bytes, i.epoch, i.place
    FROM input i
    JOIN live_tasks l ON l.task_id = i.task_id AND l.lease_token = i.lease_token
    JOIN tasks t ON t.id = i.task_id AND t.epoch = i.epoch
    CROSS JOIN LATERAL (
        SELECT i.verdict = 'HANDED_BACK' AND l.handbacks >= $14::integer
               AND t.attempts >= t.max_attempts AS is_used_up
    ) AS judged
    ORDER BY i.task_id
    FOR UPDATE OF l
), ended AS (
    DELETE FROM live_tasks l
    USING held h
    WHERE l.task_id = h.task_id AND h.verdict IN ('COMPLETED', 'FAILED')
), postponed AS (
    UPDATE live_tasks l
    SET lease_until = NULL, lease_token = NULL, lease_owner = NULL, rings = 0,
        progress = NULL, progress_message = NULL,
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
    INSERT INTO task_results (
        task_id, epoch, content, object_key, object_bytes, content_type, file_name, sha256,
        expires_at
    )
    SELECT task_id, epoch, ($10::bytea[])[place], object_key, object_bytes, content_type, file_name,
           sha256, clock_timestamp() + make_interval(secs => $15::float8)
    FROM held
    WHERE verdict = 'COMPLETED'
), kept AS (
    DELETE FROM stray_objects
    WHERE key = ANY(ARRAY(
        SELECT object_key FROM held WHERE verdict = 'COMPLETED' AND object_key IS NOT NULL
    ))
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor, reason)
    SELECT id, last_event, epoch, status, verdict, lease_owner::text, error_message FROM moved
)
SELECT task_id FROM held;
