-- The peers' tasks: what the contract needs and nothing more, so they write less per task than we do.
CREATE TABLE tasks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    status text NOT NULL DEFAULT 'PENDING',
    payload jsonb NOT NULL,
    result bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz
) WITH (fillfactor = 80);
