"""A worker that ends loses no attempt and spends none."""

import asyncio
from random import Random
from typing import Self

from orchestrator_core.attempts import HandedBack, Outcome, ResultFile, Settlement, Succeeded
from orchestrator_core.handlers import Handler, TaskContext
from orchestrator_core.testing import AnyPayload, a_claim, a_handler, a_result
from orchestrator_worker.claiming import Taken
from orchestrator_worker.draining import StopSignals, drain
from orchestrator_worker.executing import Executor, Limits
from orchestrator_worker.journeys import Journeys, Stations
from orchestrator_worker.leasing import Leases
from orchestrator_worker.metrics import Metrics
from orchestrator_worker.processes import Lanes
from orchestrator_worker.reporting import Totals
from orchestrator_worker.settling import Settler
from orchestrator_worker.slots import Slots
from orchestrator_worker.storing import carry_result
from supplied import a_supplier


class Bench:
    """A worker's parts without stores: every claim is won, every outcome recorded."""

    def __init__(self, handler: Handler) -> None:
        self.outcomes: list[Outcome] = []
        self.slots, self.totals, metrics = Slots(4), Totals(), Metrics()

        async def record(settlements: list[Settlement]) -> list[bool]:
            self.outcomes += [each.outcome for each in settlements]
            return [True] * len(settlements)

        self.stations = Stations(
            leases=Leases(),
            executor=Executor(
                {handler.task_type: handler},
                Lanes(0, chance=Random(1)),
                a_supplier(),
                carry_result,
                limits=Limits(task_timeout_seconds=60, max_result_bytes=1024),
                chance=Random(1),
            ),
            settler=Settler(
                record,  # type: ignore[arg-type]
                slots=4,
                count=metrics.count_settled,
                chance=Random(1),
            ),
        )
        self.journeys = Journeys(self.stations, self.slots, self.totals, metrics)

    async def __aenter__(self) -> Self:
        self.tasks = [
            asyncio.create_task(self.stations.settler.run()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)

    def start(self, task_id: int = 17) -> None:
        self.slots.take(1)
        self.journeys.start(a_claim(task_id), Taken(0, 0))

    async def drain(self, seconds: float, hurried: asyncio.Event | None = None) -> None:
        await drain(
            self.journeys,
            self.stations.leases,
            drain_seconds=seconds,
            hurried=hurried or asyncio.Event(),
        )


async def never(_: AnyPayload, __: TaskContext) -> ResultFile:
    await asyncio.Event().wait()
    raise AssertionError


async def test_what_fits_into_the_time_is_finished() -> None:
    async with Bench(a_handler()) as bench:
        bench.start()
        await bench.drain(30)

    assert bench.outcomes == [Succeeded(a_result())]
    assert bench.slots.free == 4
    assert bench.totals.completions == 1


async def test_what_does_not_fit_is_handed_back_and_counts_as_nothing() -> None:
    async with Bench(a_handler(never)) as bench:
        bench.start(1)
        bench.start(2)
        await bench.drain(0.01)

    assert bench.outcomes == [HandedBack(), HandedBack()]
    assert bench.totals.completions == 0


async def test_a_second_signal_ends_the_wait() -> None:
    signals = StopSignals()
    signals.note()
    signals.note()

    async with Bench(a_handler(never)) as bench, asyncio.timeout(10):
        bench.start()
        await bench.drain(3600, signals.hurried)

    assert bench.outcomes == [HandedBack()]


async def test_an_idle_worker_drains_at_once() -> None:
    async with Bench(a_handler()) as bench, asyncio.timeout(10):
        await bench.drain(3600)

    assert bench.outcomes == []
