"""What most tests of stores begin with.

Before: the integration tests have made a database.
After: there is somebody whose tasks and files it may hold.
"""

import pytest

from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.tasks import UserId


@pytest.fixture
async def user_id(database: Database) -> UserId:
    return await AccountStore(database).insert("ada", "hash")


@pytest.fixture
def tasks(database: Database) -> TaskStore:
    return TaskStore(database)


@pytest.fixture
def workers(database: Database) -> WorkerStore:
    return WorkerStore(database)
