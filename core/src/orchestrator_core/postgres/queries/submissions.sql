-- name: keep_submissions
-- Keep the tasks of a batch of submissions, their live rows and first events; ids in input order.
-- $1 to $9 are the tasks, with the place of their submission; $11 to $14 the submissions that
-- have a key. One whose key is known from the last 24 hours keeps nothing and is not returned.
-- The submitting process rings at once; the sweep rings after $10 seconds if that was lost, or
-- when the time comes before which a task may not run. Uses idempotency_keys_pkey; keys are
-- taken in one order, so that batches that share some wait for each other and never in a circle.
WITH input AS MATERIALIZED (
    SELECT nextval('tasks_id_seq') AS id, u.*
    FROM unnest(
        $1::integer[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::integer[],
        $7::text[], $8::smallint[], $9::timestamptz[]
    ) WITH ORDINALITY
        AS u(submission, user_id, task_type, payload, max_attempts, timeout_seconds,
             trace_context, priority, run_at, place)
), named AS MATERIALIZED (
    SELECT *
    FROM unnest($11::integer[], $12::bigint[], $13::text[], $14::bytea[])
        AS u(submission, user_id, key, fingerprint)
), taken AS (
    INSERT INTO idempotency_keys AS known (user_id, key, fingerprint, task_ids)
    SELECT n.user_id, n.key, n.fingerprint,
           ARRAY(SELECT i.id FROM input i WHERE i.submission = n.submission ORDER BY i.place)
    FROM named n
    ORDER BY n.user_id, n.key
    ON CONFLICT (user_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, task_ids = excluded.task_ids, created_at = now()
    WHERE known.created_at <= now() - interval '24 hours'
    RETURNING user_id, key
), refused AS (
    SELECT n.submission
    FROM named n
    WHERE NOT EXISTS (SELECT FROM taken t WHERE t.user_id = n.user_id AND t.key = n.key)
), accepted AS MATERIALIZED (
    SELECT i.* FROM input i WHERE i.submission NOT IN (SELECT submission FROM refused)
), kept AS (
    INSERT INTO tasks (id, user_id, task_type, payload, max_attempts, timeout_seconds,
                       trace_context, priority, run_at)
    OVERRIDING SYSTEM VALUE
    SELECT id, user_id, task_type, payload::jsonb, max_attempts, timeout_seconds, trace_context,
           priority, run_at
    FROM accepted
), queued AS (
    INSERT INTO live_tasks (task_id, priority, due_at, ring_at, rings)
    SELECT id, priority, greatest(run_at, now()),
           CASE WHEN run_at > now() THEN run_at
                ELSE now() + make_interval(secs => $10::float8) END,
           coalesce(run_at <= now(), true)::integer
    FROM accepted
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor)
    SELECT id, 1, 0, 'PENDING', 'ACCEPTED', 'api' FROM accepted
)
SELECT submission, id, coalesce(run_at <= now(), true) AS is_due FROM accepted ORDER BY place;

-- name: find_keys
-- What the submissions with these keys left; uses idempotency_keys_pkey.
SELECT u.submission, k.fingerprint, k.task_ids
FROM unnest($1::integer[], $2::bigint[], $3::text[]) AS u(submission, user_id, key)
JOIN idempotency_keys k ON k.user_id = u.user_id AND k.key = u.key;

-- name: keep_retry
-- Run failed task $1 again as a new task with the same content, unless one does already: then
-- nothing is returned. The sweep rings after $3 seconds if the first ring was lost.
-- Uses tasks_retry_of.
WITH kept AS (
    INSERT INTO tasks (user_id, task_type, payload, max_attempts, timeout_seconds, trace_context,
                       priority, retry_of)
    SELECT user_id, task_type, payload, max_attempts, timeout_seconds, $2, priority, id
    FROM tasks
    WHERE id = $1 AND status = 'FAILED'
    ON CONFLICT (retry_of) WHERE retry_of IS NOT NULL DO NOTHING
    RETURNING id, priority
), queued AS (
    INSERT INTO live_tasks (task_id, priority, due_at, ring_at, rings)
    SELECT id, priority, now(), now() + make_interval(secs => $3::float8), 1 FROM kept
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor)
    SELECT id, 1, 0, 'PENDING', 'ACCEPTED', 'api' FROM kept
)
SELECT id FROM kept;

-- name: find_retry
-- The task that runs failed task $1 again; uses tasks_retry_of.
SELECT id FROM tasks WHERE retry_of = $1;

-- name: prune_keys
-- Forget at most $1 keys that count no more; uses idempotency_keys_created_at.
WITH old AS (
    SELECT user_id, key
    FROM idempotency_keys
    WHERE created_at <= now() - interval '24 hours'
    ORDER BY created_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys k USING old WHERE k.user_id = old.user_id AND k.key = old.key;
