"""The statements of a peer's task: one transaction each, as each needs its own answer.

Before: a producer inserts, a worker begins and completes.
After: ``kept`` counts the rows.
"""

INSERT = "INSERT INTO tasks (payload) VALUES ({}) RETURNING id"
START = "UPDATE tasks SET status = 'PROCESSING', started_at = clock_timestamp() WHERE id = {}"
COMPLETE = (
    "UPDATE tasks SET status = 'COMPLETED', result = {}, finished_at = clock_timestamp()"
    " WHERE id = {}"
)
