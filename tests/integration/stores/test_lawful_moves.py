"""States and moves are the same wherever they stand: in code, in pictures and in the database."""

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from orchestrator_core import tasks
from orchestrator_core.postgres.database import Database
from orchestrator_core.tasks import ALLOWED_MOVES, FINAL_STATUSES, TaskStatus

ARCHITECTURE = Path(__file__).parents[3] / "ARCHITECTURE.md"

Move = tuple[TaskStatus, TaskStatus]

A_TASK = """
INSERT INTO tasks (user_id, task_type, payload, max_attempts, timeout_seconds, trace_context,
                   status, finished_at, error_code, result_file)
SELECT id, 'T', '{}', 3, 60, 'trace', $1::task_status,
       CASE WHEN $1 IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN now() END, 'X', 'result/x'
FROM users
RETURNING id
"""
A_MOVE = """
UPDATE tasks
SET status = $2::task_status,
    finished_at = CASE WHEN $2 IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN now() END
WHERE id = $1
"""


async def add_user(connection: Any) -> None:
    await connection.execute("INSERT INTO users (username, password_hash) VALUES ('ada', 'x')")


async def test_the_database_knows_the_same_states(database: Database) -> None:
    async with database.answering("read the enum") as connection:
        labels = await connection.fetchval("SELECT enum_range(NULL::task_status)::text[]")

    assert labels == [status.value for status in TaskStatus]


async def test_the_database_allows_exactly_the_moves_of_the_code(database: Database) -> None:
    allowed = set()

    async with database.answering("move tasks") as connection:
        await add_user(connection)
        for before, after in itertools.product(TaskStatus, repeat=2):
            task_id = await connection.fetchval(A_TASK, before)
            with contextlib.suppress(asyncpg.CheckViolationError):
                await connection.execute(A_MOVE, task_id, after)
                allowed.add((before, after))

    assert allowed == ALLOWED_MOVES


@pytest.mark.parametrize("status", sorted(FINAL_STATUSES))
async def test_a_task_with_a_verdict_never_changes_again(
    database: Database, status: TaskStatus
) -> None:
    async with database.answering("change a verdict") as connection:
        await add_user(connection)
        task_id = await connection.fetchval(A_TASK, status)

        with pytest.raises(asyncpg.CheckViolationError, match=f"may not move from {status}"):
            await connection.execute("UPDATE tasks SET payload = '[]' WHERE id = $1", task_id)


@pytest.mark.parametrize(
    "text",
    [tasks.__doc__, ARCHITECTURE.read_text(encoding="utf-8").partition("\n## States\n")[2]],
    ids=["tasks.py", "ARCHITECTURE.md"],
)
def test_the_diagram_draws_exactly_the_moves_that_change_a_state(text: str) -> None:
    drawn = set(read_diagram(text))

    assert drawn == {(before, after) for before, after in ALLOWED_MOVES if before != after}


def test_a_state_without_moves_out_of_it_is_final() -> None:
    assert {before for before, _ in ALLOWED_MOVES} == set(TaskStatus) - FINAL_STATUSES


def read_diagram(text: str) -> Iterator[Move]:
    """Follow the lines of a drawing from each state, to the right and downwards."""
    lines = text.splitlines()
    top = next(row for row, line in enumerate(lines) if "PENDING →" in line)
    # Words in lower case are said about the state before them.
    rows = [re.sub(r"[a-z].*", "", row) for row in itertools.takewhile(str.strip, lines[top:])]
    states = {
        (y, found.start()): TaskStatus(found[0])
        for y, row in enumerate(rows)
        for found in re.finditer(r"[A-Z]+", row)
    }
    signs = {(y, x): sign for y, row in enumerate(rows) for x, sign in enumerate(row)}
    for (y, x), status in states.items():
        end = x + len(status)
        exits = [(y, end + 1, "right"), *((y + 1, below, "down") for below in range(x, end))]
        for place in exits:
            for target in follow(signs, *place):
                yield status, states[target]


def follow(
    signs: dict[tuple[int, int], str], y: int, x: int, heading: str
) -> Iterator[tuple[int, int]]:
    """Return where a line leads that is entered at a place in a direction."""
    sign = signs.get((y, x), " ")
    if heading == "right" and sign == "→":
        yield y, x + 2
    if sign in {"right": "─┴", "down": "├└┴"}[heading]:
        yield from follow(signs, y, x + 1, "right")
    if heading == "down" and sign in "│├":
        yield from follow(signs, y + 1, x, "down")
