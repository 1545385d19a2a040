-- What users upload for their tasks.
SET lock_timeout = '5s';

-- While a file comes in it has no sha256, its size is what it has reserved of the user's quota, and
-- it expires soon: what nobody finishes counts for some minutes only and goes like any other.
CREATE TABLE files (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    sha256 bytea CHECK (octet_length(sha256) = 32),
    content_type text NOT NULL,
    file_name text NOT NULL,
    CONSTRAINT files_file_name_plain CHECK (
        char_length(file_name) BETWEEN 1 AND 255 AND file_name !~ '[/\\\x01-\x1f\x7f]'
    )
);

CREATE INDEX files_user_id_id ON files (user_id, id);
CREATE INDEX files_expires_at ON files (expires_at);

-- The bytes, in pieces as they came in, found by where they begin.
CREATE TABLE file_pieces (
    file_id bigint NOT NULL REFERENCES files ON DELETE CASCADE,
    start bigint NOT NULL CHECK (start >= 0),
    content bytea NOT NULL,
    PRIMARY KEY (file_id, start)
);

-- Most of them are compressed already, and parts of a piece are read without the rest.
ALTER TABLE file_pieces ALTER COLUMN content SET STORAGE EXTERNAL;
