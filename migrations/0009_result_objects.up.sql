-- Results whose bytes lie in an object store instead of their row.
SET lock_timeout = '5s';

-- Each key in the object store is either in a row of task_results or here, so nothing is ever
-- left over: the key is written before the object, and comes back when the row goes.
CREATE TABLE stray_objects (
    key text PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 1024),
    delete_at timestamptz NOT NULL
);

CREATE INDEX stray_objects_delete_at ON stray_objects (delete_at);

-- size_bytes is NULL then. A worker of the version before goes on writing rows as it knows them.
ALTER TABLE task_results
    ALTER COLUMN content DROP NOT NULL,
    ADD COLUMN object_key text,
    ADD COLUMN object_bytes bigint CHECK (object_bytes >= 0),
    ADD CONSTRAINT task_results_in_one_place CHECK (
        (content IS NULL) = (object_key IS NOT NULL)
        AND (object_key IS NULL) = (object_bytes IS NULL)
    ) NOT VALID;

-- All rows fit already; this looks at them without stopping anybody.
ALTER TABLE task_results VALIDATE CONSTRAINT task_results_in_one_place;

CREATE FUNCTION forget_result_object() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stray_objects (key, delete_at) VALUES (OLD.object_key, now())
    ON CONFLICT (key) DO UPDATE SET delete_at = excluded.delete_at;
    RETURN NULL;
END
$$;

-- However a row goes, with its task or by itself.
CREATE TRIGGER task_results_forget_object AFTER DELETE ON task_results
    FOR EACH ROW WHEN (OLD.object_key IS NOT NULL) EXECUTE FUNCTION forget_result_object();
