"""How many connections there are and how many of them work, as metrics tell it."""

from contextlib import AsyncExitStack

from orchestrator_core.postgres.database import Database


async def test_connections_are_made_when_they_are_needed_and_are_busy_while_they_are_lent(
    database: Database,
) -> None:
    assert (database.open_connections, database.busy_connections) == (0, 0)

    async with AsyncExitStack() as lent:
        for _ in range(2):
            connection = await lent.enter_async_context(database.answering("lend"))
            await connection.execute("SELECT 1")
        assert (database.open_connections, database.busy_connections) == (2, 2)

    assert (database.open_connections, database.busy_connections) == (2, 0)
    assert database.max_connections >= 2
