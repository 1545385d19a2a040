-- name: fail_exhausted
-- End at most $1 tasks whose last allowed attempt lost its lease. What is leased has not rung since
-- then, so it is found through live_tasks_first_ring; the rest by primary keys. Arrays and scalar
-- queries instead of joins: they leave no other plan, however large the tables.
WITH lost AS MATERIALIZED (
    SELECT l.task_id
    FROM live_tasks l
    WHERE l.rings = 0 AND l.ring_at <= now() AND l.lease_until <= now()
      AND (SELECT t.attempts >= t.max_attempts FROM tasks t WHERE t.id = l.task_id)
    ORDER BY l.ring_at
    LIMIT $1
    FOR UPDATE OF l SKIP LOCKED
), ended AS (
    DELETE FROM live_tasks WHERE task_id = ANY(ARRAY(SELECT task_id FROM lost))
), moved AS (
    UPDATE tasks
    SET status = 'FAILED', finished_at = clock_timestamp(), updated_at = clock_timestamp(),
        error_code = 'WORKER_LOST',
        error_message = 'the worker of the last attempt was lost', last_event = last_event + 1
    WHERE id = ANY(ARRAY(SELECT task_id FROM lost))
    RETURNING id, last_event, epoch
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor, reason)
    SELECT id, last_event, epoch, 'FAILED', 'WORKER_LOST', 'api', 'lease ran out' FROM moved
)
SELECT id FROM moved;

-- name: take_first_rings
-- At most $1 tasks that have not rung since they became due, or since their lease ran out; each
-- rings again $2 seconds later unless a claim moves that. A lease that ran out ends here: its task
-- waits like any other from now on, so that any message can bring it and a lost ring is repeated.
-- One without an attempt left is not for ringing. If $3, no lease ends, and what is leased does not
-- ring. Uses live_tasks_first_ring and primary keys.
WITH due AS MATERIALIZED (
    SELECT l.task_id
    FROM live_tasks l
    WHERE l.rings = 0 AND l.ring_at <= now()
      AND (l.lease_token IS NULL
           OR NOT $3::boolean AND l.lease_until <= now()
              AND (SELECT t.attempts < t.max_attempts FROM tasks t WHERE t.id = l.task_id))
    ORDER BY l.ring_at
    LIMIT $1
    FOR UPDATE OF l SKIP LOCKED
)
UPDATE live_tasks
SET ring_at = now() + make_interval(secs => $2::float8), rings = 1,
    lease_until = NULL, lease_token = NULL, lease_owner = NULL,
    progress = NULL, progress_message = NULL
WHERE task_id = ANY(ARRAY(SELECT task_id FROM due))
RETURNING task_id;

-- name: has_due_repeats
-- Whether any of the first $1 of those that wait, of each priority, has rung so long ago that it
-- might ring again. Mostly the first one looked at tells. Uses live_tasks_waiting.
SELECT EXISTS (
    SELECT
    FROM (VALUES (2), (1), (0)) AS levels(p)
    CROSS JOIN LATERAL (
        SELECT rings, ring_at FROM live_tasks
        WHERE lease_token IS NULL AND priority = p AND due_at <= now()
        ORDER BY due_at
        LIMIT $1
    ) AS head
    WHERE rings > 0 AND ring_at <= now()
);

-- name: count_waiting
-- How many tasks are due and held by nobody, counted up to $1. In the index's order, which
-- keeps a level without tasks from being looked for in the table. Uses live_tasks_waiting.
SELECT count(*)
FROM (
    SELECT
    FROM (VALUES (2), (1), (0)) AS levels(p)
    CROSS JOIN LATERAL (
        SELECT FROM live_tasks
        WHERE lease_token IS NULL AND priority = p AND due_at <= now()
        ORDER BY due_at
        LIMIT $1
    ) AS level
    LIMIT $1
) AS counted;

-- name: take_repeats
-- At most $1 tasks that wait and rang long ago, in the order in which they are claimed, from the
-- first $3 of each priority; each rings again $2 seconds later. Candidates are found without a lock
-- and looked at again under it. Uses live_tasks_waiting and live_tasks_pkey.
WITH candidates AS MATERIALIZED (
    SELECT task_id
    FROM (VALUES (2), (1), (0)) AS levels(p)
    CROSS JOIN LATERAL (
        SELECT task_id, due_at, rings, ring_at FROM live_tasks
        WHERE lease_token IS NULL AND priority = p AND due_at <= now()
        ORDER BY due_at
        LIMIT $3
    ) AS head
    WHERE rings > 0 AND ring_at <= now()
    ORDER BY p DESC, due_at
    LIMIT $1
), due AS MATERIALIZED (
    SELECT task_id FROM live_tasks
    WHERE task_id = ANY(ARRAY(SELECT task_id FROM candidates))
      AND lease_token IS NULL AND rings > 0 AND ring_at <= now()
    FOR UPDATE SKIP LOCKED
)
UPDATE live_tasks
SET ring_at = now() + make_interval(secs => $2::float8), rings = rings + 1
WHERE task_id = ANY(ARRAY(SELECT task_id FROM due))
RETURNING task_id;

-- name: take_overtaken
-- At most $1 tasks that wait although others of their priority run which became due $4 seconds
-- later, from the first $3 of each priority: the message that named them was lost. Those whose ring
-- was due less than $5 seconds ago are left alone. Each rings again $2 seconds later. Leases are
-- found through live_tasks_first_ring, among the first 2,000 there; tasks through live_tasks_waiting
-- and live_tasks_pkey.
WITH running AS MATERIALIZED (
    SELECT priority, max(due_at) - make_interval(secs => $4::float8) AS due_before
    FROM (
        SELECT priority, due_at, lease_token FROM live_tasks
        WHERE rings = 0 AND ring_at > now()
        ORDER BY ring_at
        LIMIT 2000
    ) AS soonest
    WHERE lease_token IS NOT NULL
    GROUP BY priority
), candidates AS MATERIALIZED (
    SELECT task_id
    FROM running r
    CROSS JOIN LATERAL (
        SELECT task_id, due_at, rings, ring_at FROM live_tasks
        WHERE lease_token IS NULL AND priority = r.priority AND due_at < r.due_before
        ORDER BY due_at
        LIMIT $3
    ) AS head
    WHERE rings > 0 AND ring_at <= now() - make_interval(secs => $5::float8)
    ORDER BY r.priority DESC, due_at
    LIMIT $1
), due AS MATERIALIZED (
    SELECT task_id FROM live_tasks
    WHERE task_id = ANY(ARRAY(SELECT task_id FROM candidates))
      AND lease_token IS NULL AND rings > 0 AND ring_at <= now() - make_interval(secs => $5::float8)
    FOR UPDATE SKIP LOCKED
)
UPDATE live_tasks
SET ring_at = now() + make_interval(secs => $2::float8), rings = rings + 1
WHERE task_id = ANY(ARRAY(SELECT task_id FROM due))
RETURNING task_id;

-- name: find_trace_contexts
-- The trace contexts of the tasks $1. Asked only by who exports spans.
SELECT trace_context FROM tasks WHERE id = ANY($1::bigint[]);
