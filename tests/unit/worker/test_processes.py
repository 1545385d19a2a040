"""Whatever happens in a lane stays in it. Real child processes, the demo tasks."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest

from orchestrator_core.attempts import Outcome, RetryAfter, Succeeded
from orchestrator_core.handlers import TaskContext
from orchestrator_core.tasks import ErrorCode, TaskId
from orchestrator_worker.children import ChildRequest
from orchestrator_worker.processes import Lanes

PATIENCE_SECONDS = 30.0


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    async with Lanes.open(2, chance=Random(1)) as opened:
        yield opened


async def run(
    lanes: Lanes, task_type: str, timeout_seconds: float = PATIENCE_SECONDS, **payload: object
) -> Outcome:
    request = ChildRequest(
        task_type=task_type,
        payload=json.dumps(payload),
        context=TaskContext(task_id=TaskId(17), attempt=1),
        max_result_bytes=1 << 20,
        log_context={"task_id": 17},
    )
    return await lanes.run(request, timeout_seconds=timeout_seconds)


def code_of(outcome: Outcome) -> ErrorCode | None:
    return outcome.code if isinstance(outcome, RetryAfter) else None


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(each) for each in text.split()]


def grandchildren() -> set[int]:
    """Return the processes that the fork server has started for us."""
    return {leaf for child in children_of(os.getpid()) for leaf in children_of(child)}


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - the kernel sends no event for this
            await asyncio.sleep(0.02)


async def test_an_attempt_in_a_child_returns_its_file(lanes: Lanes) -> None:
    outcome = await run(lanes, "IMAGE_RESIZE", width=32, format="PNG")

    assert isinstance(outcome, Succeeded)
    assert outcome.result.file_name == "image.png"


async def test_a_child_that_kills_itself_ends_only_its_own_attempt(lanes: Lanes) -> None:
    crashed, neighbour = await asyncio.gather(
        run(lanes, "demo_crash"), run(lanes, "demo_spin", seconds=0.5)
    )

    assert code_of(crashed) is ErrorCode.WORKER_LOST
    assert isinstance(neighbour, Succeeded)


async def test_a_hung_attempt_is_killed_at_its_limit(lanes: Lanes) -> None:
    hung, neighbour = await asyncio.gather(
        run(lanes, "demo_spin", timeout_seconds=0.3, seconds=3600),
        run(lanes, "demo_spin", seconds=0.5),
    )

    assert code_of(hung) is ErrorCode.TIMEOUT
    assert isinstance(neighbour, Succeeded)


async def test_a_memory_bomb_ends_at_its_limit_and_its_child_lives_on(lanes: Lanes) -> None:
    bomb = await run(lanes, "demo_allocate", bytes=1 << 34)
    after = await asyncio.gather(*(run(lanes, "demo_allocate", bytes=1 << 20) for _ in range(2)))

    assert code_of(bomb) is ErrorCode.OUT_OF_MEMORY
    assert all(isinstance(outcome, Succeeded) for outcome in after)


async def test_a_cancelled_attempt_kills_its_child(lanes: Lanes) -> None:
    await lanes.warm()
    before = {child: cpu_seconds(child) for child in grandchildren()}
    attempt = asyncio.create_task(run(lanes, "demo_spin", seconds=3600))
    # More than a child needs to come to rest after its start: it is the attempt that computes.
    await until(lambda: any(cpu_seconds(each) > idle + 0.3 for each, idle in before.items()))

    attempt.cancel()

    with pytest.raises(asyncio.CancelledError):
        await attempt
    await until(lambda: not before.keys() <= grandchildren())


async def test_an_idle_childs_death_costs_no_attempt(lanes: Lanes) -> None:
    others = grandchildren()
    await lanes.warm()
    for child in grandchildren() - others:
        os.kill(child, signal.SIGKILL)

    outcomes = await asyncio.gather(*(run(lanes, "demo_spin", seconds=0) for _ in range(2)))

    assert all(isinstance(outcome, Succeeded) for outcome in outcomes)


async def test_closing_ends_every_child() -> None:
    others = grandchildren()
    async with Lanes.open(2, chance=Random(1)) as lanes:
        await lanes.warm()
        started = grandchildren() - others

    assert len(started) == 2
    assert started.isdisjoint(grandchildren())
