-- Results in an object store go with it: their rows can't say where they lie any more.
SET lock_timeout = '5s';

DROP TRIGGER task_results_forget_object ON task_results;
DROP FUNCTION forget_result_object();
DELETE FROM task_results WHERE object_key IS NOT NULL;
ALTER TABLE task_results
    DROP CONSTRAINT task_results_in_one_place,
    DROP COLUMN object_key,
    DROP COLUMN object_bytes,
    ALTER COLUMN content SET NOT NULL;
DROP TABLE stray_objects;
