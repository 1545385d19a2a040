"""A bench of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.settings import AmqpSettings, PostgresSettings
from worker_bench import Bench, opened_bench


@pytest.fixture
async def bench(
    database: Database,
    postgres_settings: PostgresSettings,
    amqp_settings: AmqpSettings,
    tmp_path: Path,
) -> AsyncIterator[Bench]:
    user_id = await AccountStore(database).insert("ada", "hash")
    async with opened_bench(
        database, postgres_settings, amqp_settings, tmp_path, user_id
    ) as opened:
        yield opened
