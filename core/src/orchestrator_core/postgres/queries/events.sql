-- name: read_events_of_tasks
-- What is new of tasks $1, each after its number in $2; uses task_events_pkey. Needs no horizon:
-- the next event of a task is written only after the one before has been committed.
SELECT e.task_id, e.seq, e.at, e.status, e.kind, e.reason, e.position, t.user_id
FROM unnest($1::bigint[], $2::integer[]) AS marks(task_id, seq)
JOIN task_events e ON e.task_id = marks.task_id AND e.seq > marks.seq
JOIN tasks t ON t.id = e.task_id
ORDER BY e.task_id, e.seq
LIMIT $3;

-- name: read_event_page
-- What is new of users $4 after position ($1, $2, $3), having looked at no more than $5 events of
-- all users; uses task_events_position, then tasks_pkey for each. Never the other way round: a user
-- may have millions of tasks.
-- The last row has no event: it tells where looking ended. Nothing at or above the horizon is
-- told, as a transaction with a lower id may still commit.
WITH horizon AS MATERIALIZED (
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS position
), looked_at AS MATERIALIZED (
    SELECT position, task_id, seq, at, status, kind, reason
    FROM task_events
    WHERE position >= $1::bigint
      AND (position, task_id, seq) > ($1::bigint, $2::bigint, $3::integer)
      AND position < (SELECT position FROM horizon)
    ORDER BY position, task_id, seq
    LIMIT $5::integer
), owned AS MATERIALIZED (
    SELECT l.*, (SELECT t.user_id FROM tasks t WHERE t.id = l.task_id) AS user_id
    FROM looked_at l
), last AS (
    SELECT position, task_id, seq FROM looked_at ORDER BY position, task_id, seq
    OFFSET $5::integer - 1
)
SELECT position, task_id, seq, at, status, kind, reason, user_id, NULL AS is_more_coming
FROM owned
WHERE user_id = ANY($4::bigint[])
UNION ALL
SELECT coalesce(last.position, horizon.position), coalesce(last.task_id, 0), coalesce(last.seq, 0),
       NULL, NULL, NULL, NULL, NULL,
       last.position IS NOT NULL
       OR coalesce((SELECT max(e.position) FROM task_events e) >= horizon.position, false)
FROM horizon LEFT JOIN last ON true
ORDER BY is_more_coming NULLS FIRST, position, task_id, seq;

-- name: read_progress
-- How far attempts are that run now: of tasks $1, and of users $2. The latter are found among the $3
-- leases that end soonest, as live_tasks_first_ring has them; more are not shown. The rest by
-- primary keys; OFFSET 0 leaves no other plan.
WITH running AS (
    SELECT task_id, progress, progress_message
    FROM live_tasks
    WHERE task_id = ANY($1::bigint[]) AND lease_token IS NOT NULL AND progress IS NOT NULL
    UNION
    SELECT task_id, progress, progress_message
    FROM (
        SELECT task_id, lease_token, progress, progress_message
        FROM live_tasks
        WHERE rings = 0 AND ring_at > now() AND cardinality($2::bigint[]) > 0
        ORDER BY ring_at
        LIMIT $3
    ) AS soonest
    WHERE lease_token IS NOT NULL AND progress IS NOT NULL
)
SELECT r.task_id, r.progress, nullif(r.progress_message, '') AS message, owner.user_id
FROM running r
CROSS JOIN LATERAL (SELECT user_id FROM tasks WHERE id = r.task_id OFFSET 0) AS owner
WHERE r.task_id = ANY($1::bigint[]) OR owner.user_id = ANY($2::bigint[]);

-- name: read_horizon
-- The position that everything told so far is below.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint;

-- name: announce
-- Wake all who listen. Alone in its transaction: beside a write it would hold a lock of all
-- notifications until the write is on disk; alone it waits for no disk.
SELECT pg_notify($1, '');
