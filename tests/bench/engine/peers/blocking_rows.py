"""A peer's rows for libraries that block: psycopg, one connection per thread, prepared statements.

Before: Celery's and Dramatiq's task, or their producer's threads.
After: each call is committed.
"""

import os
import threading
from typing import Any

import psycopg

from tests.bench.engine.contract import PAYLOAD, RESULT
from tests.bench.engine.peers.rows import COMPLETE, INSERT, START

_own = threading.local()


def insert() -> int:
    """Keep a task; return its id."""
    row = _connect().execute(INSERT.format("%s::jsonb"), [PAYLOAD]).fetchone()
    assert row is not None
    return int(row[0])


def perform(task_id: int) -> None:
    """Run a task: it does nothing."""
    connection = _connect()
    connection.execute(START.format("%s"), [task_id])
    connection.execute(COMPLETE.format("%s", "%s"), [RESULT, task_id])


def _connect() -> Any:
    if not hasattr(_own, "connection"):
        _own.connection = psycopg.connect(
            os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=1
        )
    return _own.connection
