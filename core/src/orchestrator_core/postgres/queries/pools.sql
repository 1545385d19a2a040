-- name: tell_pool
-- What the operator decided last, in the table's only row.
INSERT INTO pool_state (
    mode, min_replicas, max_replicas, desired_replicas, slots_per_pod, pod_start_seconds,
    limited_message, held_message
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (is_only) DO UPDATE
SET mode = excluded.mode, min_replicas = excluded.min_replicas,
    max_replicas = excluded.max_replicas, desired_replicas = excluded.desired_replicas,
    slots_per_pod = excluded.slots_per_pod, pod_start_seconds = excluded.pod_start_seconds,
    limited_message = excluded.limited_message, held_message = excluded.held_message,
    told_at = clock_timestamp();

-- name: record_pod_ends
-- Record how containers and pods ended, each once and beside the worker process that ran there last:
-- the kubelet's times are in whole seconds. Where none had reported, no attempt can have run, and
-- nothing is kept. Reads the table of workers, a day's processes, whole.
INSERT INTO pod_ends (
    pod_uid, pod_name, container, began_at, ended_at, reason, exit_code, message, worker_id
)
SELECT u.*, ran.worker_id
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[],
    $7::integer[], $8::text[]
) AS u(pod_uid, pod_name, container, began_at, ended_at, reason, exit_code, message)
CROSS JOIN LATERAL (
    SELECT worker_id
    FROM workers w
    WHERE w.pod_name = u.pod_name
      AND w.started_at >= u.began_at - interval '1 second'
      AND w.started_at < u.ended_at + interval '1 second'
    ORDER BY w.started_at DESC
    LIMIT 1
) AS ran
ON CONFLICT DO NOTHING;

-- name: prune_pod_ends
-- Forget at most $2 ends of pods older than $1 seconds; uses pod_ends_ended_at.
DELETE FROM pod_ends
WHERE (pod_uid, container, began_at) IN (
    SELECT pod_uid, container, began_at
    FROM pod_ends
    WHERE ended_at < now() - make_interval(secs => $1::float8)
    ORDER BY ended_at
    LIMIT $2
);
