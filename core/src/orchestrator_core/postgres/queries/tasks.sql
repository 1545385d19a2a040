-- name: find_task
-- One task, with the progress of its attempt if one runs, by primary keys.
SELECT t.id, t.user_id, t.task_type, t.status, t.payload, t.attempts, t.max_attempts,
       t.timeout_seconds, t.priority, t.run_at, t.retry_of, t.last_event, t.result_file,
       t.error_code, t.error_message, t.trace_context, t.created_at, t.updated_at, t.started_at,
       t.finished_at, l.progress, nullif(l.progress_message, '') AS progress_message
FROM tasks t
LEFT JOIN live_tasks l ON l.task_id = t.id AND l.lease_token IS NOT NULL
WHERE t.id = $1;

-- name: find_scan_end
-- The id at which $3 tasks of a user after id $2 have been looked at, if there are so many;
-- reads only tasks_user_id_id.
SELECT id FROM tasks WHERE user_id = $1 AND id > $2 ORDER BY id OFFSET $3::bigint - 1 LIMIT 1;

-- name: list_tasks
-- A page of a user's tasks in the order they were accepted, after id $2 and up to id $3, of status
-- $4 and type $5 if those are given; uses tasks_user_id_id.
-- Payloads stay out: a page of them may be hundreds of megabytes. Progress is looked up for each
-- task of the page by live_tasks_pkey; OFFSET 0 leaves no other plan, however long the page.
SELECT page.*, running.progress, running.progress_message
FROM (
    SELECT id, user_id, task_type, status, attempts, max_attempts, timeout_seconds, priority,
           run_at, retry_of, last_event, result_file, error_code, error_message, trace_context,
           created_at, updated_at, started_at, finished_at
    FROM tasks
    WHERE user_id = $1 AND id > $2 AND id <= $3
      AND ($4::task_status IS NULL OR status = $4)
      AND ($5::text IS NULL OR task_type = $5)
    ORDER BY id
    LIMIT $6
) AS page
LEFT JOIN LATERAL (
    SELECT progress, nullif(progress_message, '') AS progress_message
    FROM live_tasks
    WHERE task_id = page.id AND lease_token IS NOT NULL
    OFFSET 0
) AS running ON true
ORDER BY page.id;

-- name: cancel_task
-- End task $1 if it is not final. Its live row goes, and with it the lease: a settlement under way
-- is either recorded before, so that nothing is left to cancel, or refused. Primary keys only.
WITH ended AS (
    DELETE FROM live_tasks WHERE task_id = $1 RETURNING task_id
), moved AS (
    UPDATE tasks t
    SET status = 'CANCELLED', finished_at = clock_timestamp(), updated_at = clock_timestamp(),
        error_code = 'CANCELLED', error_message = 'its owner asked for it',
        last_event = t.last_event + 1
    FROM ended
    WHERE t.id = ended.task_id
    RETURNING t.id, t.last_event, t.epoch
), told AS (
    INSERT INTO task_events (task_id, seq, epoch, status, kind, actor, reason)
    SELECT id, last_event, epoch, 'CANCELLED', 'CANCELLED', 'api', 'its owner asked for it'
    FROM moved
)
SELECT id FROM moved;
