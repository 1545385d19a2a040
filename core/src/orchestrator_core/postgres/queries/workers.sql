-- name: publish_type
-- Make a task type known to the API, or bring it up to date.
INSERT INTO task_types (name, payload_schema, timeout_seconds, max_attempts)
VALUES ($1, $2::jsonb, $3, $4)
ON CONFLICT (name) DO UPDATE
SET payload_schema = excluded.payload_schema, timeout_seconds = excluded.timeout_seconds,
    max_attempts = excluded.max_attempts, published_at = now();

-- name: list_types
-- Every task type.
SELECT name, payload_schema, timeout_seconds, max_attempts FROM task_types ORDER BY name;

-- name: report_worker
-- A worker's running totals; each process writes only its own row.
INSERT INTO workers (worker_id, pod_name, completions, busy_seconds)
VALUES ($1, $2, $3, $4)
ON CONFLICT (worker_id) DO UPDATE
SET seen_at = clock_timestamp(), completions = excluded.completions,
    busy_seconds = excluded.busy_seconds;

-- name: prune_workers
-- Forget worker processes that ended long ago.
DELETE FROM workers WHERE seen_at < now() - interval '1 day';

-- name: read_load
-- One reading for the autoscaler. Counting stops at 20,000 rows: by then every pool is at its
-- maximum, and a deep backlog must not make the reading slow.
WITH work AS (
    SELECT due_at, lease_until FROM live_tasks WHERE due_at <= clock_timestamp() LIMIT 20000
), backlog AS (
    SELECT count(*) FILTER (WHERE lease_until IS NULL OR lease_until <= clock_timestamp()) AS ready,
           count(*) FILTER (WHERE lease_until > clock_timestamp()) AS in_flight,
           min(due_at) FILTER (WHERE lease_until IS NULL OR lease_until <= clock_timestamp())
               AS oldest_due_at
    FROM work
), done AS (
    SELECT coalesce(sum(completions), 0) AS completions,
           coalesce(sum(busy_seconds), 0) AS busy_seconds
    FROM workers
)
SELECT backlog.ready AS ready_tasks, backlog.in_flight AS in_flight_tasks,
       coalesce(extract(epoch FROM clock_timestamp() - backlog.oldest_due_at), 0)::float8
           AS oldest_ready_age_seconds,
       (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tasks_id_seq) AS arrivals_total,
       done.completions::bigint AS completions_total,
       done.busy_seconds::float8 AS busy_seconds_total
FROM backlog, done;

-- name: list_workers
-- Worker processes seen in the last $1 seconds with the live leases each holds.
WITH held AS (
    SELECT lease_owner, count(*) AS busy_slots
    FROM live_tasks
    WHERE lease_until > clock_timestamp()
    GROUP BY lease_owner
)
SELECT w.worker_id, w.pod_name, w.started_at, coalesce(held.busy_slots, 0) AS busy_slots
FROM workers w
LEFT JOIN held ON held.lease_owner = w.worker_id
WHERE w.seen_at > clock_timestamp() - make_interval(secs => $1::float8)
ORDER BY w.started_at;
