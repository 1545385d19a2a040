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
-- A worker's running totals and slots; each process writes only its own row. Returns its cordon.
INSERT INTO workers (worker_id, pod_name, completions, busy_seconds, slots, busy_slots, is_resting)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (worker_id) DO UPDATE
SET seen_at = clock_timestamp(), completions = excluded.completions,
    busy_seconds = excluded.busy_seconds, slots = excluded.slots, busy_slots = excluded.busy_slots,
    is_resting = excluded.is_resting
RETURNING is_cordoned AND cordoned_until > clock_timestamp();

-- name: cordon_workers
-- Cordon the workers $1 for $2 seconds from now, by primary key. What a worker said under an
-- earlier cordon is no answer to this one, unless this one only prolongs it.
UPDATE workers
SET is_cordoned = true, cordoned_until = clock_timestamp() + make_interval(secs => $2::float8),
    is_resting = is_resting AND is_cordoned AND cordoned_until > clock_timestamp()
WHERE worker_id = ANY($1::uuid[]);

-- name: uncordon_workers
-- Let the workers $1 in again, by primary key.
UPDATE workers SET is_cordoned = false, is_resting = false
WHERE worker_id = ANY($1::uuid[]) AND is_cordoned;

-- name: prune_workers
-- Forget worker processes that ended long ago.
DELETE FROM workers WHERE seen_at < now() - interval '1 day';

-- name: read_load
-- One reading for the autoscaler. Who waits is counted up to 20,000: by then every pool is at its
-- maximum, and a deep backlog must not make the reading slow. Who waits for a time to come is
-- counted as far, the soonest first, so that it is the index that is read. A live lease has not
-- rung since it began, so leases stand apart from the backlog in live_tasks_first_ring, the soonest
-- end first; behind them in the same hour may be tasks that are delayed, up to 20,000 rows are
-- looked at. What rings = 0 and was due a minute ago is stuck: some sixty sweeps have left it.
-- now() and not clock_timestamp(): only what is stable can bound an index scan. Uses
-- live_tasks_waiting and live_tasks_first_ring.
WITH levels AS (
    SELECT p FROM (VALUES (2), (1), (0)) AS v(p)
), waiting AS (
    SELECT count(*) AS tasks
    FROM (
        SELECT 1
        FROM levels
        CROSS JOIN LATERAL (
            SELECT 1 FROM live_tasks
            WHERE lease_token IS NULL AND priority = p AND due_at <= now()
            LIMIT 20000
        ) AS level
        LIMIT 20000
    ) AS counted
), scheduled AS (
    SELECT count(*) AS tasks
    FROM (
        SELECT 1
        FROM levels
        CROSS JOIN LATERAL (
            SELECT 1 FROM live_tasks
            WHERE lease_token IS NULL AND priority = p AND due_at > now()
            ORDER BY due_at
            LIMIT 20000
        ) AS level
        LIMIT 20000
    ) AS counted
), heads AS (
    SELECT min(due_at) AS due_at
    FROM levels
    CROSS JOIN LATERAL (
        SELECT due_at FROM live_tasks
        WHERE lease_token IS NULL AND priority = p AND due_at <= now()
        ORDER BY due_at
        LIMIT 1
    ) AS head
), expired AS (
    SELECT count(*) FILTER (WHERE lease_until <= now()) AS tasks,
           min(due_at) FILTER (WHERE lease_until <= now()) AS due_at,
           count(*) FILTER (WHERE ring_at <= now() - interval '1 minute') AS stuck_tasks
    FROM (
        SELECT lease_until, due_at, ring_at FROM live_tasks
        WHERE rings = 0 AND ring_at <= now()
        ORDER BY ring_at
        LIMIT 20000
    ) AS oldest
), leased AS (
    SELECT count(*) AS tasks
    FROM (
        SELECT lease_until FROM live_tasks
        WHERE rings = 0 AND ring_at > now() AND ring_at <= now() + interval '1 hour'
        ORDER BY ring_at
        LIMIT 20000
    ) AS soonest
    WHERE lease_until > now()
), done AS (
    SELECT coalesce(sum(completions), 0) AS completions,
           coalesce(sum(busy_seconds), 0) AS busy_seconds
    FROM workers
)
SELECT waiting.tasks + expired.tasks AS ready_tasks, leased.tasks AS in_flight_tasks,
       scheduled.tasks AS scheduled_tasks,
       coalesce(extract(epoch FROM now() - least(heads.due_at, expired.due_at)), 0)::float8
           AS oldest_ready_age_seconds,
       (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tasks_id_seq) AS arrivals_total,
       done.completions::bigint AS completions_total,
       done.busy_seconds::float8 AS busy_seconds_total, expired.stuck_tasks
FROM waiting, scheduled, heads, expired, leased, done;

-- name: list_workers
-- Worker processes seen in the last $1 seconds with the live leases each holds. One that is silent
-- and holds a lease is busy until that ends: it may only be cut off from Postgres. Uses
-- live_tasks_first_ring, as read_load does. A cordoned worker reports each change of its slots at
-- once, so what it reports is up to date, and knows of messages that are not yet leases.
WITH held AS (
    SELECT lease_owner, count(*) AS leases
    FROM (
        SELECT lease_owner, lease_until FROM live_tasks
        WHERE rings = 0 AND ring_at > now() AND ring_at <= now() + interval '1 hour'
        ORDER BY ring_at
        LIMIT 20000
    ) AS soonest
    WHERE lease_until > now()
    GROUP BY lease_owner
)
SELECT w.worker_id, w.pod_name, w.started_at, w.slots, cordon.holds AS is_cordoned,
       cordon.holds AND w.is_resting AS is_resting,
       greatest(coalesce(held.leases, 0), CASE WHEN cordon.holds THEN w.busy_slots ELSE 0 END)
           AS busy_slots
FROM workers w
CROSS JOIN LATERAL (
    SELECT w.is_cordoned AND w.cordoned_until > clock_timestamp() AS holds
) AS cordon
LEFT JOIN held ON held.lease_owner = w.worker_id
WHERE w.seen_at > clock_timestamp() - make_interval(secs => $1::float8) OR held.leases > 0
ORDER BY w.started_at;
