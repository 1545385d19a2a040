"""Whatever happens in a lane stays in it. Real child processes, the demo tasks."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest

from orchestrator_core.attempts import Ending, ProgressReport, RetryAfter, Returned
from orchestrator_core.handlers import TaskContext, Workplace
from orchestrator_core.tasks import ErrorCode, TaskId
from orchestrator_worker.children import ChildRequest
from orchestrator_worker.processes import Lanes
from orchestrator_worker.progress import Progress

PATIENCE_SECONDS = 30.0

CLEANING_TASKS = """
import gc
import os
import signal
import time
from pathlib import Path

from pebble.pool.channel import WorkerChannel

from orchestrator_core.handlers import AttemptCancelled, HandlerGroup, Payload

handlers = HandlerGroup()


class Where(Payload):
    folder: str


def leave_word(payload, word):
    Path(payload.folder, word).touch()


@handlers.register("clean_up", payload=Where)
def clean_up(payload, context):
    leave_word(payload, "begun")
    try:
        time.sleep(3600)
    finally:
        leave_word(payload, "cancelled" if context.is_cancelled else "ended")


@handlers.register("swallow", payload=Where)
def swallow(payload, context):
    leave_word(payload, "begun")
    try:
        time.sleep(3600)
    except AttemptCancelled:
        return context.result("a.txt", "text/plain").finish()


@handlers.register("insist", payload=Where)
def insist(payload, context):
    leave_word(payload, "begun")
    while True:
        try:
            time.sleep(3600)
        except AttemptCancelled:
            leave_word(payload, "insisted")


@handlers.register("die_locked", payload=Where)
def die_locked(payload, context):
    # As if killed in the middle of its answer.
    [channel] = [each for each in gc.get_objects() if isinstance(each, WorkerChannel)]
    channel.mutex.acquire()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    async with Lanes.open(2, chance=Random(1)) as opened:
        yield opened


async def run(
    lanes: Lanes,
    task_type: str,
    timeout_seconds: float = PATIENCE_SECONDS,
    progress: Progress | None = None,
    work_in: Path | None = None,
    **payload: object,
) -> Ending:
    workplace = None if work_in is None else Workplace(folder=work_in)
    request = ChildRequest(
        task_type=task_type,
        payload=json.dumps(payload),
        context=TaskContext(
            task_id=TaskId(17), attempt=1, max_result_bytes=1 << 20, workplace=workplace
        ),
        log_context={"task_id": 17},
    )
    return await lanes.run(
        request, timeout_seconds=timeout_seconds, progress=progress or Progress()
    )


@pytest.fixture
def cleaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package whose handlers leave word of how they ended."""
    facts = tmp_path / "cleaning-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Name: cleaning\nVersion: 1.0\n", encoding="utf-8")
    (facts / "entry_points.txt").write_text(
        "[orchestrator.handlers]\ncleaning = cleaning_tasks:handlers\n", encoding="utf-8"
    )
    (tmp_path / "cleaning_tasks.py").write_text(CLEANING_TASKS, encoding="utf-8")
    # A child looks where its worker looks.
    monkeypatch.syspath_prepend(tmp_path)


def code_of(ending: Ending) -> ErrorCode | None:
    return ending.code if isinstance(ending, RetryAfter) else None


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


async def test_an_attempt_in_a_child_returns_its_file(lanes: Lanes, tmp_path: Path) -> None:
    ending = await run(lanes, "IMAGE_RESIZE", work_in=tmp_path, width=32, format="PNG")

    assert isinstance(ending, Returned)
    assert ending.result.file_name == "image.png"


async def test_a_child_that_kills_itself_ends_only_its_own_attempt(lanes: Lanes) -> None:
    crashed, neighbour = await asyncio.gather(
        run(lanes, "demo_crash"), run(lanes, "demo_spin", seconds=0.5)
    )

    assert code_of(crashed) is ErrorCode.WORKER_LOST
    assert isinstance(neighbour, Returned)


@pytest.mark.usefixtures("cleaning")
async def test_a_child_that_dies_with_a_lock_costs_only_its_own_attempt(tmp_path: Path) -> None:
    async with Lanes.open(1, chance=Random(1)) as lanes:
        lost = await run(lanes, "die_locked", folder=str(tmp_path))
        after = await run(lanes, "demo_spin", timeout_seconds=5, seconds=0)

    assert code_of(lost) is ErrorCode.WORKER_LOST
    assert isinstance(after, Returned)


async def test_a_hung_attempt_is_killed_at_its_limit(lanes: Lanes) -> None:
    hung, neighbour = await asyncio.gather(
        run(lanes, "demo_spin", timeout_seconds=0.3, seconds=3600),
        run(lanes, "demo_spin", seconds=0.5),
    )

    assert code_of(hung) is ErrorCode.TIMEOUT
    assert isinstance(neighbour, Returned)


async def test_a_memory_bomb_ends_at_its_limit_and_its_child_lives_on(lanes: Lanes) -> None:
    bomb = await run(lanes, "demo_allocate", bytes=1 << 34)
    after = await asyncio.gather(*(run(lanes, "demo_allocate", bytes=1 << 20) for _ in range(2)))

    assert code_of(bomb) is ErrorCode.OUT_OF_MEMORY
    assert all(isinstance(ending, Returned) for ending in after)


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


@pytest.mark.usefixtures("cleaning")
async def test_a_cancelled_handler_cleans_up_before_its_child_ends(
    lanes: Lanes, tmp_path: Path
) -> None:
    attempt = asyncio.create_task(run(lanes, "clean_up", folder=str(tmp_path)))
    await until((tmp_path / "begun").exists)

    attempt.cancel()

    await until((tmp_path / "cancelled").exists)


@pytest.mark.usefixtures("cleaning")
async def test_a_handler_cleans_up_when_its_time_is_over(lanes: Lanes, tmp_path: Path) -> None:
    ending = await run(lanes, "clean_up", timeout_seconds=0.5, folder=str(tmp_path))

    assert code_of(ending) is ErrorCode.TIMEOUT
    assert (tmp_path / "cancelled").exists()


@pytest.mark.usefixtures("cleaning")
@pytest.mark.parametrize("task_type", ["swallow", "insist"])
async def test_a_handler_that_ignores_its_end_ends_all_the_same(
    lanes: Lanes, tmp_path: Path, task_type: str
) -> None:
    ending = await run(lanes, task_type, timeout_seconds=0.5, folder=str(tmp_path))
    after = await run(lanes, "demo_spin", seconds=0)

    assert code_of(ending) is ErrorCode.TIMEOUT
    assert isinstance(after, Returned)


async def test_what_a_child_reports_is_known_while_it_runs(lanes: Lanes) -> None:
    progress = Progress()
    attempt = asyncio.create_task(run(lanes, "demo_spin", progress=progress, seconds=3600))
    heard: list[ProgressReport | None] = []

    def is_heard() -> bool:
        heard.append(progress.latest())
        return heard[-1] is not None

    await until(is_heard)

    attempt.cancel()
    assert heard[-1] is not None
    assert heard[-1].message.endswith(" s left")


async def test_attempts_in_one_lane_keep_their_reports_apart() -> None:
    first, second = Progress(), Progress()

    async with Lanes.open(1, chance=Random(1)) as lanes:
        await run(lanes, "demo_spin", timeout_seconds=0.3, progress=first, seconds=3600)
        await run(lanes, "demo_spin", progress=second, seconds=0.3)
    known = [progress.latest() for progress in (first, second)]

    assert [each and each.message.endswith("s left") for each in known] == [True, True]
    assert known[0] is not None
    assert known[0].fraction < 0.1
    assert known[1] is not None
    assert known[1].fraction > 0.3


async def test_an_idle_childs_death_costs_no_attempt(lanes: Lanes) -> None:
    others = grandchildren()
    await lanes.warm()
    for child in grandchildren() - others:
        os.kill(child, signal.SIGKILL)

    endings = await asyncio.gather(*(run(lanes, "demo_spin", seconds=0) for _ in range(2)))

    assert all(isinstance(ending, Returned) for ending in endings)


async def test_closing_ends_every_child() -> None:
    others = grandchildren()
    async with Lanes.open(2, chance=Random(1)) as lanes:
        await lanes.warm()
        started = grandchildren() - others

    assert len(started) == 2
    assert started.isdisjoint(grandchildren())
