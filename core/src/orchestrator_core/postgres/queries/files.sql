-- name: find_result
-- What is known of a completed task's file unless it has expired, by its primary key; the content
-- stays where it is.
SELECT task_id, coalesce(size_bytes, object_bytes) AS size_bytes, sha256, content_type, file_name,
       created_at, expires_at, object_key
FROM task_results
WHERE task_id = $1 AND (expires_at IS NULL OR expires_at > now());

-- name: prune_results
-- Delete results that have expired, $1 at most, the longest first; uses task_results_expires_at.
-- Several processes may do so at once. Rows are found through an array: the planner does not know
-- how few they are.
DELETE FROM task_results
WHERE task_id = ANY(ARRAY(
    SELECT task_id FROM task_results WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
    FOR UPDATE SKIP LOCKED
))
RETURNING task_id;

-- name: read_result
-- At most $3 bytes of a result from offset $2 on, by its primary key. It is stored uncompressed, so
-- only this part of it is read.
SELECT substring(content FROM $2::integer + 1 FOR $3::integer)
FROM task_results
WHERE task_id = $1;

-- name: expect_object
-- Remember the key of an object that is about to be put; deleted after $2 seconds unless a result
-- takes it. Primary key.
INSERT INTO stray_objects (key, delete_at)
VALUES ($1, clock_timestamp() + make_interval(secs => $2::float8))
ON CONFLICT (key) DO UPDATE SET delete_at = excluded.delete_at;

-- name: find_stray_objects
-- Keys that no result has, $1 at most, the longest first; uses stray_objects_delete_at.
SELECT key FROM stray_objects WHERE delete_at <= now() ORDER BY delete_at LIMIT $1;

-- name: forget_objects
-- Forget the keys of objects that are deleted, by primary key.
DELETE FROM stray_objects WHERE key = ANY($1::text[]);

-- name: find_file
-- A whole and unexpired file by its primary key.
SELECT id, user_id, size_bytes, sha256, content_type, file_name, created_at, expires_at
FROM files
WHERE id = $1 AND sha256 IS NOT NULL AND expires_at > now();

-- name: list_files
-- A page of a user's files in the order in which they began to come in; uses files_user_id_id.
SELECT id, user_id, size_bytes, sha256, content_type, file_name, created_at, expires_at
FROM files
WHERE user_id = $1 AND id > $2 AND sha256 IS NOT NULL AND expires_at > now()
ORDER BY id
LIMIT $3;

-- name: read_piece
-- At most $3 bytes of a file from offset $2 on, as far as they lie in one piece; by primary key.
SELECT substring(content FROM ($2::bigint - start)::integer + 1 FOR $3::integer)
FROM file_pieces
WHERE file_id = $1 AND start <= $2::bigint
ORDER BY start DESC
LIMIT 1;

-- name: lock_user
-- Make whoever takes room of a user's quota wait for this transaction's end, so that the next sum
-- sees what it took; logins, which share the row, wait as well. Primary key.
SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE;

-- name: begin_upload
-- A row that reserves $4 bytes for $5 seconds, if all the user's files together stay within $6 and
-- each counts for at least $7; uses files_user_id_id. The user is locked.
INSERT INTO files (user_id, content_type, file_name, size_bytes, expires_at)
SELECT $1, $2, $3, $4::bigint, clock_timestamp() + make_interval(secs => $5::float8)
FROM (
    SELECT coalesce(sum(greatest(size_bytes, $7::bigint)), 0) AS size_bytes
    FROM files
    WHERE user_id = $1 AND expires_at > clock_timestamp()
) AS others
WHERE others.size_bytes + greatest($4::bigint, $7::bigint) <= $6::bigint
RETURNING id;

-- name: grow_upload
-- Let upload $2 of user $1 reserve $3 bytes, if all his files together stay within $4 and each
-- counts for at least $5; uses files_user_id_id. The user is locked.
UPDATE files
SET size_bytes = $3::bigint
FROM (
    SELECT coalesce(sum(greatest(size_bytes, $5::bigint)), 0) AS size_bytes
    FROM files
    WHERE user_id = $1 AND id <> $2 AND expires_at > clock_timestamp()
) AS others
WHERE files.id = $2 AND others.size_bytes + greatest($3::bigint, $5::bigint) <= $4::bigint
RETURNING files.id;

-- name: append_piece
-- Keep the bytes of an upload from offset $2 on; nothing comes back when it is gone. Primary keys.
INSERT INTO file_pieces (file_id, start, content)
SELECT id, $2, $3 FROM files WHERE id = $1 AND sha256 IS NULL
RETURNING file_id;

-- name: finish_upload
-- Make an upload a file of $2 bytes for $4 seconds; nothing comes back when it is gone. Primary key.
UPDATE files
SET size_bytes = $2, sha256 = $3,
    expires_at = clock_timestamp() + make_interval(secs => $4::float8)
WHERE id = $1 AND sha256 IS NULL
RETURNING id, user_id, size_bytes, sha256, content_type, file_name, created_at, expires_at;

-- name: read_pieces
-- The next $3 pieces of a file from offset $2 on, by primary key.
SELECT content
FROM file_pieces
WHERE file_id = $1 AND start >= $2::bigint
ORDER BY start
LIMIT $3;

-- name: delete_file
-- Delete a file, whole or not, with its pieces, by its primary key.
DELETE FROM files WHERE id = $1;

-- name: prune_files
-- Delete what has expired, $1 at most, the longest first; uses files_expires_at. Several processes
-- may do so at once.
DELETE FROM files
WHERE id IN (
    SELECT id FROM files WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING id;
