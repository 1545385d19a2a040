"""A round that fails ends nothing, and an outage is told once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from orchestrator_api.rounds import Rounds
from orchestrator_core.errors import StoreUnavailableError


def failing(error: BaseException) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        raise error

    return work


async def succeeding() -> None:
    pass


def some_rounds(back: str | None = "back") -> Rounds:
    return Rounds(structlog.get_logger(), absent="absent", failed="failed", back=back)


async def test_an_outage_is_told_when_it_begins_when_it_moves_and_when_it_is_over() -> None:
    rounds = some_rounds()
    outage = [failing(StoreUnavailableError(store, "x")) for store in ("postgres", "rabbitmq")]

    with structlog.testing.capture_logs() as lines:
        for work in (outage[0], outage[0], outage[1], outage[1], succeeding, succeeding):
            await rounds.go(work)

    assert [(line["event"], line["store"]) for line in lines] == [
        ("absent", "postgres"),
        ("absent", "rabbitmq"),
        ("back", "rabbitmq"),
    ]


async def test_the_next_outage_is_told_again_also_where_no_return_is() -> None:
    rounds = some_rounds(back=None)
    outage = failing(StoreUnavailableError("postgres", "x"))

    with structlog.testing.capture_logs() as lines:
        for work in (outage, succeeding, outage):
            await rounds.go(work)

    assert [line["event"] for line in lines] == ["absent", "absent"]


async def test_a_fault_is_told_each_time_and_ends_nothing() -> None:
    rounds = some_rounds()

    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            await rounds.go(failing(ValueError("ours")))

    assert [(line["event"], line["log_level"]) for line in lines] == [("failed", "error")] * 2


async def test_a_cancellation_gets_through() -> None:
    with pytest.raises(asyncio.CancelledError):
        await some_rounds().go(failing(asyncio.CancelledError()))
