"""A result waits for its stores rather than be made once more."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from random import Random

import pytest

from orchestrator_core.attempts import ResultObject
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.testing import a_claim, a_result
from orchestrator_worker import storing
from orchestrator_worker.storing import PUTS_AT_ONCE, Expect, ObjectKeeper


class Objects:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes | Path] = {}

    async def put(self, key: str, content: bytes | Path) -> None:
        self.kept[key] = content

    def read(self, key: str, *, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError

    async def delete(self, keys: Sequence[str]) -> None:
        raise NotImplementedError


async def keep_with(expect: Expect, objects: Objects) -> ResultObject:
    kept = await ObjectKeeper(objects, expect, chance=Random(1)).keep(a_claim(), a_result(b"abc"))
    assert isinstance(kept, ResultObject)
    return kept


async def away(_: str) -> None:
    raise StoreUnavailableError("postgres", "expect")


async def test_an_object_is_put_under_the_key_that_postgres_was_told_of() -> None:
    told: list[str] = []
    objects = Objects()

    async def expect(key: str) -> None:
        assert not objects.kept
        told.append(key)

    kept = await keep_with(expect, objects)

    assert told == [kept.key]
    assert objects.kept == {kept.key: b"abc"}


async def test_a_database_that_comes_back_is_told_of_the_same_object() -> None:
    told: list[str] = []
    answers = iter([False, False, True])

    async def come_back(key: str) -> None:
        told.append(key)
        if not next(answers):
            raise StoreUnavailableError("postgres", "expect")

    kept = await keep_with(come_back, Objects())

    assert told == [kept.key] * 3


async def test_a_database_that_stays_away_gives_the_result_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storing, "BUDGET_SECONDS", 0.0)
    objects = Objects()

    with pytest.raises(StoreUnavailableError):
        await keep_with(away, objects)

    assert not objects.kept


async def test_an_attempt_that_is_to_end_does_not_wait_for_the_database() -> None:
    is_asked = asyncio.Event()

    async def ask(key: str) -> None:
        is_asked.set()
        await away(key)

    async with asyncio.timeout(10):
        keeping = asyncio.create_task(keep_with(ask, Objects()))
        await is_asked.wait()
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping


async def test_results_that_wait_for_the_database_take_no_turn_from_others() -> None:
    waiting, is_open = asyncio.Semaphore(0), asyncio.Event()

    async def expect(key: str) -> None:
        if key.startswith("results/17/"):
            waiting.release()
            await is_open.wait()

    keeper = ObjectKeeper(Objects(), expect, chance=Random(1))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for _ in range(PUTS_AT_ONCE):
            group.create_task(keeper.keep(a_claim(17), a_result()))
        for _ in range(PUTS_AT_ONCE):
            await waiting.acquire()
        kept = await keeper.keep(a_claim(18), a_result())
        is_open.set()

    assert isinstance(kept, ResultObject)
