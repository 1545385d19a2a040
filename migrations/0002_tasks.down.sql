SET lock_timeout = '5s';

DROP TABLE workers;
DROP TABLE task_results;
DROP TABLE task_events;
DROP TABLE live_tasks;
DROP TABLE tasks;
DROP TYPE task_status;
DROP TABLE task_types;
DROP FUNCTION refuse_unlawful_move();
DROP FUNCTION refuse_event_change();
