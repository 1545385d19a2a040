-- name: insert_user
-- A new account; nothing comes back when the name is taken. Uses users_username_key.
INSERT INTO users (username, password_hash)
VALUES ($1, $2)
ON CONFLICT (lower(username)) DO NOTHING
RETURNING id;

-- name: find_user
-- An account by name, compared without case; uses users_username_key.
SELECT id, username, password_hash FROM users WHERE lower(username) = lower($1);

-- name: start_family
-- The first refresh token of a login.
WITH family AS (
    INSERT INTO token_families (id, user_id, expires_at)
    VALUES ($1, $2, now() + make_interval(secs => $4::float8))
    RETURNING id
)
INSERT INTO refresh_tokens (token_hash, family_id, generation) SELECT $3, id, 1 FROM family;

-- name: lock_family
-- The family of a presented token, locked so that concurrent refreshes queue up. Primary keys only.
SELECT f.id, f.user_id, f.generation AS current_generation, r.generation AS presented_generation,
       f.revoked_at IS NOT NULL AS is_revoked, f.expires_at <= clock_timestamp() AS is_expired,
       extract(epoch FROM clock_timestamp() - f.rotated_at)::float8 AS seconds_since_rotation
FROM refresh_tokens r
JOIN token_families f ON f.id = r.family_id
WHERE r.token_hash = $1
FOR UPDATE OF f;

-- name: rotate_family
-- Move a family on by one generation and keep its new token; the login lives on from now.
WITH family AS (
    UPDATE token_families
    SET generation = generation + 1, rotated_at = clock_timestamp(),
        expires_at = clock_timestamp() + make_interval(secs => $3::float8)
    WHERE id = $1
    RETURNING id, generation
)
INSERT INTO refresh_tokens (token_hash, family_id, generation)
SELECT $2, id, generation FROM family;

-- name: add_sibling
-- One more token of the current generation, for a tab that lost the race to refresh.
INSERT INTO refresh_tokens (token_hash, family_id, generation)
SELECT $2, id, generation FROM token_families WHERE id = $1;

-- name: revoke_family
-- A token was used again after its time: end the login it belongs to.
UPDATE token_families SET revoked_at = clock_timestamp() WHERE id = $1 AND revoked_at IS NULL;

-- name: prune_families
-- Forget logins that ended, $1 at most; uses token_families_expires_at.
DELETE FROM token_families
WHERE id IN (SELECT id FROM token_families WHERE expires_at < now() - interval '1 day' LIMIT $1);
