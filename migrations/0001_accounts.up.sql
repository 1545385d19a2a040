-- Accounts and their refresh tokens.
SET lock_timeout = '5s';

CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_username_shape CHECK (username ~ '^[A-Za-z0-9._-]{3,64}$')
);

-- Usernames are compared without case.
CREATE UNIQUE INDEX users_username_key ON users (lower(username));

-- One family per login. Rotation raises the generation; the row is what concurrent
-- refreshes of one family lock, so a token can't be redeemed twice.
CREATE TABLE token_families (
    id uuid PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    generation integer NOT NULL DEFAULT 1,
    rotated_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE INDEX token_families_user_id ON token_families (user_id);
CREATE INDEX token_families_expires_at ON token_families (expires_at);

-- Only SHA-256 of a token is kept.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    family_id uuid NOT NULL REFERENCES token_families ON DELETE CASCADE,
    generation integer NOT NULL,
    CONSTRAINT refresh_tokens_hash_shape CHECK (octet_length(token_hash) = 32)
);

CREATE INDEX refresh_tokens_family_id ON refresh_tokens (family_id);
