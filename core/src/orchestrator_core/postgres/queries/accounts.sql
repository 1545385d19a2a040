-- name: insert_user
-- A new account; nothing comes back when the name is taken. Uses users_username_key.
WITH account AS (
    INSERT INTO users (username, password_hash)
    VALUES ($1, $2)
    ON CONFLICT (lower(username)) DO NOTHING
    RETURNING id
), event AS (
    INSERT INTO auth_events (user_id, kind) SELECT id, 'REGISTERED' FROM account
)
SELECT id FROM account;

-- name: find_user
-- An account by name, compared without case; uses users_username_key.
SELECT id, username, password_hash, created_at FROM users WHERE lower(username) = lower($1);

-- name: find_user_by_id
-- An account by its primary key.
SELECT id, username, password_hash, created_at FROM users WHERE id = $1;

-- name: find_profile
-- What is shown of an account, by its primary key.
SELECT id, username, created_at FROM users WHERE id = $1;

-- name: start_family
-- A login, its first refresh token and what it began with, unless the password is no longer $6.
-- The share waits for a change of the password under way and holds up one that comes now, so
-- that it finds this login and ends it. Primary keys only.
WITH account AS (
    SELECT id FROM users WHERE id = $2 AND password_hash = $6 FOR SHARE
), family AS (
    INSERT INTO token_families (id, user_id, expires_at)
    SELECT $1, id, clock_timestamp() + make_interval(secs => $4::float8) FROM account
    RETURNING id, user_id
), event AS (
    INSERT INTO auth_events (user_id, session_id, kind) SELECT user_id, id, $5 FROM family
), token AS (
    INSERT INTO refresh_tokens (token_hash, family_id, generation) SELECT $3, id, 1 FROM family
)
SELECT id FROM family;

-- name: lock_family
-- The family of a presented token, locked so that concurrent refreshes queue up. Primary keys only.
SELECT f.id, f.user_id, lower(u.username) AS username,
       f.generation AS current_generation, r.generation AS presented_generation,
       f.revoked_at IS NOT NULL AS is_revoked, f.expires_at <= clock_timestamp() AS is_expired,
       extract(epoch FROM clock_timestamp() - f.rotated_at)::float8 AS seconds_since_rotation
FROM refresh_tokens r
JOIN token_families f ON f.id = r.family_id
JOIN users u ON u.id = f.user_id
WHERE r.token_hash = $1
FOR UPDATE OF f;

-- name: rotate_family
-- Move a family on by one generation and keep its new token; the login lives on from now.
WITH family AS (
    UPDATE token_families
    SET generation = generation + 1, rotated_at = clock_timestamp(),
        expires_at = clock_timestamp() + make_interval(secs => $3::float8)
    WHERE id = $1
    RETURNING id, user_id, generation
), event AS (
    INSERT INTO auth_events (user_id, session_id, kind) SELECT user_id, id, 'REFRESHED' FROM family
)
INSERT INTO refresh_tokens (token_hash, family_id, generation)
SELECT $2, id, generation FROM family;

-- name: add_sibling
-- One more token of the current generation, for a tab that lost the race to refresh.
WITH family AS (
    SELECT id, user_id, generation FROM token_families WHERE id = $1
), event AS (
    INSERT INTO auth_events (user_id, session_id, kind) SELECT user_id, id, 'REFRESHED' FROM family
)
INSERT INTO refresh_tokens (token_hash, family_id, generation)
SELECT $2, id, generation FROM family;

-- name: revoke_family
-- End one login for the reason $2 and tell every API process; no row when it had ended before.
WITH family AS (
    UPDATE token_families SET revoked_at = clock_timestamp()
    WHERE id = $1 AND revoked_at IS NULL
    RETURNING id, user_id
), event AS (
    INSERT INTO auth_events (user_id, session_id, kind) SELECT user_id, id, $2 FROM family
)
SELECT pg_notify('orchestrator_revocations', id::text) FROM family;

-- name: lock_password
-- Whether a password is still the user's, locked for its change; waits for logins under way.
-- Primary key.
SELECT id FROM users WHERE id = $1 AND password_hash = $2 FOR NO KEY UPDATE;

-- name: lock_live_family
-- Whether a login still lives, locked until the transaction ends. Primary key.
SELECT id FROM token_families WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL FOR UPDATE;

-- name: replace_password
-- A new password for a locked row. Primary key.
UPDATE users SET password_hash = $2 WHERE id = $1;

-- name: revoke_families_of
-- End all logins of a user; uses token_families_user_id.
UPDATE token_families SET revoked_at = clock_timestamp()
WHERE user_id = $1 AND revoked_at IS NULL
RETURNING id;

-- name: tell_of_revocations
-- Make every API process read what was revoked, when this transaction commits.
SELECT pg_notify('orchestrator_revocations', '');

-- name: read_revocations
-- Logins that ended after $1 less $2 seconds, or in the last $2 seconds before now;
-- uses token_families_revoked_at.
SELECT now() AS read_at,
       ARRAY(
           SELECT id FROM token_families
           WHERE revoked_at >= coalesce($1::timestamptz, now()) - make_interval(secs => $2::float8)
       ) AS session_ids;

-- name: prune_families
-- Forget logins that ended, $1 at most, the longest first, with their refresh tokens; uses
-- token_families_expires_at and refresh_tokens_family_id. Several processes may do so at once.
DELETE FROM token_families
WHERE id IN (
    SELECT id FROM token_families
    WHERE expires_at < now() - interval '1 day'
    ORDER BY expires_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
);

-- name: prune_auth_events
-- Forget what happened more than $2 days ago, $1 rows at most; uses auth_events_at. Several
-- processes may do so at once.
DELETE FROM auth_events
WHERE id IN (
    SELECT id FROM auth_events
    WHERE at < now() - make_interval(days => $2)
    ORDER BY at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
);
