"""The life of background services."""

import asyncio

import pytest

from orchestrator_api.running import Service, running


class AService:
    """Runs until told to end; notes how it went."""

    def __init__(self, name: str = "a", notes: list[str] | None = None) -> None:
        self.name = name
        self.notes = [] if notes is None else notes
        self.started = asyncio.Event()
        self.may_drain = asyncio.Event()
        self.fault: Exception | None = None
        self.ends = asyncio.Event()

    async def run(self) -> None:
        self.started.set()
        try:
            await self.ends.wait()
        except asyncio.CancelledError:
            self.notes.append(f"{self.name} cancelled")
            raise
        if self.fault is not None:
            raise self.fault

    async def drain(self) -> None:
        await self.may_drain.wait()
        self.notes.append(f"{self.name} drained")


async def test_in_the_end_services_are_drained_in_order_and_only_then_cancelled() -> None:
    notes: list[str] = []
    first, second = AService("first", notes), AService("second", notes)
    for each in (first, second):
        each.may_drain.set()

    async with running([second, first], drain=[first, second], drain_seconds=5):
        await asyncio.gather(first.started.wait(), second.started.wait())

    assert notes[:2] == ["first drained", "second drained"]
    assert sorted(notes[2:]) == ["first cancelled", "second cancelled"]


async def test_what_does_not_drain_in_time_is_left_behind() -> None:
    service = AService()

    async with running([service], drain=[service], drain_seconds=0.01):
        await service.started.wait()

    assert service.notes == ["a cancelled"]


async def test_all_are_alive_until_one_ends() -> None:
    services: list[Service] = [AService(), AService()]
    ending = AService()
    ending.may_drain.set()
    async with running([*services, ending], drain=[], drain_seconds=0) as started:
        was_alive = started.is_alive()

        ending.ends.set()
        await started.tasks[-1]
        is_alive = started.is_alive()

    assert was_alive
    assert not is_alive


async def test_a_service_that_breaks_ends_the_process_instead_of_missing_silently() -> None:
    broken = AService()
    broken.fault = RuntimeError("a bug")

    async def live() -> None:
        async with running([broken], drain=[], drain_seconds=0):
            broken.ends.set()
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as fault:
        await live()

    assert fault.group_contains(RuntimeError, match="a bug")
