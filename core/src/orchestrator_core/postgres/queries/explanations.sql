-- name: read_standing
-- Task $1 with its live row, if it is not final, by primary keys.
SELECT t.id AS task_id, now() AS read_at, t.status, t.priority, t.attempts, t.max_attempts,
       t.error_code, t.error_message, t.finished_at, l.due_at, l.lease_until, l.lease_owner,
       l.progress, nullif(l.progress_message, '') AS progress_message
FROM tasks t
LEFT JOIN live_tasks l ON l.task_id = t.id
WHERE t.id = $1;

-- name: read_place
-- How many tasks that are due go before task $4 of priority $1 that is due at $2, and how many wait
-- at all, each counted up to $3. Of those due at the same instant, as all of a batch are, the smaller
-- ids go first; up to $3 of them are looked at in the table. Uses live_tasks_waiting, in its order.
WITH levels AS (
    SELECT p FROM (VALUES (2), (1), (0)) AS v(p)
)
SELECT (
    SELECT count(*)
    FROM (
        SELECT
        FROM levels
        CROSS JOIN LATERAL (
            SELECT FROM live_tasks
            WHERE lease_token IS NULL AND priority = p
              AND due_at < CASE WHEN p > $1::integer THEN now() ELSE $2::timestamptz END
            ORDER BY due_at
            LIMIT $3
        ) AS level
        WHERE p >= $1::integer
        UNION ALL
        SELECT
        FROM (
            SELECT task_id FROM live_tasks
            WHERE lease_token IS NULL AND priority = $1::integer AND due_at = $2::timestamptz
            LIMIT $3
        ) AS tied
        WHERE task_id < $4
        LIMIT $3
    ) AS before
) AS ahead, (
    SELECT count(*)
    FROM (
        SELECT
        FROM levels
        CROSS JOIN LATERAL (
            SELECT FROM live_tasks
            WHERE lease_token IS NULL AND priority = p AND due_at <= now()
            ORDER BY due_at
            LIMIT $3
        ) AS level
        LIMIT $3
    ) AS due
) AS waiting;

-- name: read_pool
-- The workers of the last $1 seconds that take tasks, what the operator told, and how long those of
-- the latest $2 events' attempts ran that ended within an hour. Workers report their busy slots each
-- second, so no lease is counted. Uses task_events_position, then task_events_pkey for each; OFFSET 0
-- leaves no other plan. The table of workers holds a day's processes and is read whole, as for the
-- autoscaler.
WITH taking AS (
    SELECT count(*) AS workers, coalesce(sum(slots), 0) AS slots,
           coalesce(sum(least(busy_slots, slots)), 0) AS busy_slots
    FROM workers
    WHERE seen_at > clock_timestamp() - make_interval(secs => $1::float8)
      AND NOT (is_cordoned AND cordoned_until > clock_timestamp())
), latest AS MATERIALIZED (
    SELECT task_id, seq, epoch, kind, at
    FROM task_events
    ORDER BY position DESC
    LIMIT $2
), runs AS (
    SELECT count(*) AS attempts, avg(extract(epoch FROM e.at - began.at))::float8 AS seconds
    FROM latest e
    CROSS JOIN LATERAL (
        SELECT at FROM task_events
        WHERE task_id = e.task_id AND seq < e.seq AND epoch = e.epoch AND kind = 'CLAIMED'
        ORDER BY seq DESC
        LIMIT 1 OFFSET 0
    ) AS began
    WHERE e.kind IN ('COMPLETED', 'FAILED', 'RETRY') AND e.at > now() - interval '1 hour'
)
SELECT taking.workers, taking.slots, taking.busy_slots, runs.attempts AS measured_attempts,
       runs.seconds AS mean_run_seconds, told.mode, told.min_replicas, told.max_replicas,
       told.desired_replicas, told.slots_per_pod, told.pod_start_seconds, told.limited_message,
       told.held_message, told.told_at
FROM taking
CROSS JOIN runs
LEFT JOIN pool_state told ON told.is_only;

-- name: read_history
-- The latest $2 events of task $1; uses task_events_pkey.
SELECT at, epoch, kind, actor, reason
FROM task_events
WHERE task_id = $1
ORDER BY seq DESC
LIMIT $2;

-- name: read_traces
-- What is left of the workers $1 with up to $2 ends of each one's container and pod; by workers_pkey
-- and pod_ends_worker_id; OFFSET 0 leaves no other plan.
SELECT asked.worker_id, coalesce(w.pod_name, e.pod_name) AS pod_name, w.seen_at, e.pod_uid,
       e.container, e.began_at, e.ended_at, e.reason, e.exit_code, e.message
FROM unnest($1::uuid[]) AS asked(worker_id)
LEFT JOIN workers w ON w.worker_id = asked.worker_id
LEFT JOIN LATERAL (
    SELECT * FROM pod_ends
    WHERE worker_id = asked.worker_id
    ORDER BY ended_at
    LIMIT $2 OFFSET 0
) AS e ON true
ORDER BY asked.worker_id, e.ended_at, e.container;
