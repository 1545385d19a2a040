"""The operator learns what a worker does, and a cordon reaches it."""

import asyncio
import itertools

import pytest

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.load import WorkerReport
from orchestrator_worker import reporting
from orchestrator_worker.reporting import Reporter, Totals
from orchestrator_worker.slots import Slots


class Scene:
    """A reporter whose reports are answered with what the test set."""

    def __init__(self) -> None:
        self.totals, self.slots = Totals(), Slots(4)
        self.reports: asyncio.Queue[WorkerReport] = asyncio.Queue()
        self.is_cordoned = False
        self.is_away = False
        self.cordons: list[bool] = []
        self.is_resting = False
        self.reporter = Reporter(
            self.answer,
            self.totals,
            self.slots,
            is_resting=lambda: self.is_resting,
            on_cordon=self.cordons.append,
        )
        self.slots.on_change(self.reporter.slots_changed)

    async def answer(self, report: WorkerReport) -> bool:
        if self.is_away:
            raise StoreUnavailableError("postgres", "report")
        self.reports.put_nowait(report)
        return self.is_cordoned


async def test_totals_and_slots_are_reported() -> None:
    scene = Scene()
    scene.totals.count(1.5)
    scene.slots.take(3)
    scene.is_resting = True

    await scene.reporter.report()

    assert scene.reports.get_nowait() == WorkerReport(
        completions=1, busy_seconds=1.5, slots=4, busy_slots=3, is_resting=True
    )


async def test_a_cordon_is_told_when_it_changes_and_only_then() -> None:
    scene = Scene()

    for scene.is_cordoned in (False, True, True, False, False):
        await scene.reporter.report()

    assert scene.cordons == [True, False]


async def test_a_database_that_is_away_lifts_no_cordon() -> None:
    scene = Scene()
    scene.is_cordoned = True
    await scene.reporter.report()

    scene.is_away = True
    await scene.reporter.report()

    assert scene.cordons == [True]
    assert not scene.reporter.is_answered


@pytest.mark.parametrize(("is_cordoned", "busy"), [(True, [2, 0]), (False, [2])])
async def test_a_cordoned_worker_that_becomes_idle_says_so_at_once(
    monkeypatch: pytest.MonkeyPatch, *, is_cordoned: bool, busy: list[int]
) -> None:
    monkeypatch.setattr(reporting, "EVERY_SECONDS", 3600)
    scene = Scene()
    scene.is_cordoned = is_cordoned
    scene.slots.take(2)
    task = asyncio.create_task(scene.reporter.run())
    first = await scene.reports.get()

    scene.slots.give_back(2)
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})

    rest = [scene.reports.get_nowait() for _ in itertools.repeat(0, scene.reports.qsize())]
    assert [report.busy_slots for report in (first, *rest)] == busy
