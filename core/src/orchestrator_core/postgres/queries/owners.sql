-- name: find_history_span
-- The ids of the first and the last of user $1's tasks; both ends of tasks_user_id_id.
SELECT (SELECT id FROM tasks WHERE user_id = $1 ORDER BY id LIMIT 1) AS first_id,
       (SELECT id FROM tasks WHERE user_id = $1 ORDER BY id DESC LIMIT 1) AS last_id;

-- name: find_page_end
-- The last id of the next $4 tasks of user $1 after id $2 and up to id $3; reads only
-- tasks_user_id_id.
SELECT max(id)
FROM (
    SELECT id FROM tasks WHERE user_id = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4
) AS page;

-- name: read_history
-- User $1's tasks after id $2 and up to id $3 that are of states $4 and types $5 and were accepted
-- from $6 on and before $7, as far as those are given; uses tasks_user_id_id, then
-- task_results_pkey for each; OFFSET 0 leaves no other plan.
SELECT t.id AS task_id, t.task_type, t.status, t.priority, t.attempts, t.max_attempts,
       t.created_at, t.started_at, t.finished_at, t.result_file, r.result_bytes,
       t.error_code, t.error_message
FROM tasks t
LEFT JOIN LATERAL (
    SELECT coalesce(size_bytes, object_bytes) AS result_bytes
    FROM task_results
    WHERE task_id = t.id
    OFFSET 0
) AS r ON true
WHERE t.user_id = $1 AND t.id > $2 AND t.id <= $3
  AND ($4::text[] IS NULL OR t.status = ANY($4::text[]::task_status[]))
  AND ($5::text[] IS NULL OR t.task_type = ANY($5::text[]))
  AND ($6::timestamptz IS NULL OR t.created_at >= $6)
  AND ($7::timestamptz IS NULL OR t.created_at < $7)
ORDER BY t.id;

-- name: count_by_type
-- User $1's tasks that were accepted from $2 on and before $3, by type and state; reads all of the
-- user's tasks by tasks_user_id_id, as the rest of an activity does.
SELECT task_type, status, count(*) AS tasks
FROM tasks
WHERE user_id = $1 AND created_at >= $2 AND created_at < $3
GROUP BY task_type, status
ORDER BY task_type, status;

-- name: count_by_day
-- The same by day, in UTC, and state.
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, status, count(*) AS tasks
FROM tasks
WHERE user_id = $1 AND created_at >= $2 AND created_at < $3
GROUP BY day, status
ORDER BY day, status;

-- name: measure_latencies
-- How long user $1's completed tasks, accepted from $2 on and before $3, waited and ran, in seconds
-- by type.
SELECT task_type, count(*) AS tasks,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY waiting) AS waiting_p50,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY waiting) AS waiting_p95,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY running) AS running_p50,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY running) AS running_p95,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY running) AS running_p99
FROM (
    SELECT task_type,
           extract(epoch FROM greatest(started_at - greatest(created_at, run_at), interval '0'))::float8
               AS waiting,
           extract(epoch FROM finished_at - started_at)::float8 AS running
    FROM tasks
    WHERE user_id = $1 AND created_at >= $2 AND created_at < $3
      AND status = 'COMPLETED' AND started_at IS NOT NULL
) AS measured
GROUP BY task_type
ORDER BY task_type;

-- name: list_slowest
-- Those $4 of user $1's tasks, accepted from $2 on and before $3, that took longest from their
-- first start to their end.
SELECT id AS task_id, task_type, status, priority, attempts, max_attempts, created_at, started_at,
       finished_at, result_file, NULL::bigint AS result_bytes, error_code, error_message
FROM tasks
WHERE user_id = $1 AND created_at >= $2 AND created_at < $3
  AND started_at IS NOT NULL AND finished_at IS NOT NULL
ORDER BY finished_at - started_at DESC, id
LIMIT $4;

-- name: list_failed
-- The latest $4 of user $1's tasks, accepted from $2 on and before $3, that failed.
SELECT id AS task_id, task_type, status, priority, attempts, max_attempts, created_at, started_at,
       finished_at, result_file, NULL::bigint AS result_bytes, error_code, error_message
FROM tasks
WHERE user_id = $1 AND created_at >= $2 AND created_at < $3 AND status = 'FAILED'
ORDER BY finished_at DESC, id DESC
LIMIT $4;

-- name: find_stale_uploads
-- Up to $3 of user $1's whole files that have expired or are older than $2 seconds, if that is
-- given, after id $4; uses files_user_id_id.
SELECT id, file_name, size_bytes, created_at, expires_at
FROM files
WHERE user_id = $1 AND id > $4 AND sha256 IS NOT NULL
  AND (expires_at <= now() OR created_at <= now() - make_interval(secs => $2::float8))
ORDER BY id
LIMIT $3;

-- name: delete_uploads
-- Delete files $2 of user $1 with their pieces, and say which there were; by primary key.
DELETE FROM files WHERE user_id = $1 AND id = ANY($2::bigint[]) RETURNING id;

-- name: find_stale_results
-- The results of user $1's tasks after id $3 and up to id $4 that have expired or are older than $2
-- seconds, if that is given; uses tasks_user_id_id, then task_results_pkey for each; OFFSET 0
-- leaves no other plan.
SELECT t.id, r.file_name, r.size_bytes, r.created_at, r.expires_at
FROM (
    SELECT id FROM tasks WHERE user_id = $1 AND id > $3 AND id <= $4 ORDER BY id
) AS t
CROSS JOIN LATERAL (
    SELECT file_name, coalesce(size_bytes, object_bytes) AS size_bytes, created_at, expires_at
    FROM task_results
    WHERE task_id = t.id
    OFFSET 0
) AS r
WHERE r.expires_at <= now() OR r.created_at <= now() - make_interval(secs => $2::float8)
ORDER BY t.id;

-- name: delete_results
-- Delete the results of tasks $1 and say which there were; by primary key.
DELETE FROM task_results WHERE task_id = ANY($1::bigint[]) RETURNING task_id AS id;
