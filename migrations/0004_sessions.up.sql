-- Logins that end before their time, and what happened to accounts.
SET lock_timeout = '5s';

-- Each API process asks every second what was revoked lately.
CREATE INDEX token_families_revoked_at ON token_families (revoked_at)
    WHERE revoked_at IS NOT NULL;

-- Append-only: each act, in the transaction that did it. Never a token or a password.
-- No reference to users or token_families: an audit outlives what it tells of.
CREATE TABLE auth_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    user_id bigint NOT NULL,
    session_id uuid,
    kind text NOT NULL,
    CONSTRAINT auth_events_kind CHECK (
        kind IN (
            'REGISTERED', 'LOGGED_IN', 'REFRESHED', 'REUSE_FOUND', 'LOGGED_OUT', 'PASSWORD_CHANGED'
        )
    ),
    CONSTRAINT auth_events_session_of_login CHECK (
        (session_id IS NULL) = (kind = 'REGISTERED')
    )
);

CREATE INDEX auth_events_at ON auth_events (at);

CREATE FUNCTION refuse_auth_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'auth_events is append-only' USING ERRCODE = 'check_violation',
        CONSTRAINT = 'auth_events_append_only';
END
$$;

CREATE TRIGGER auth_events_append_only BEFORE UPDATE ON auth_events
    FOR EACH ROW EXECUTE FUNCTION refuse_auth_event_change();
