"""Workers come when there is work, from zero, and go when there is none, by themselves."""

import itertools
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pytest

from platform_under_test import Api, Platform, frozen, wait_until

TASKS = 300
LONG_TASKS, LONG_SECONDS = 3, 40
"""They run on when all others have ended (F-42)."""
MOST_TURNS = 2
"""Up, and down again."""
IDLE_SECONDS = 10
OUT_SECONDS = 10.0
"""Promised from the first task to as many workers wanted as may be."""
FIRST_SECONDS, FULL_SECONDS = 16.0, 24.0
"""From the first task, with the images there, to the first worker ready and to all: twice what is
promised, for most of it is how fast this machine starts pods while others are at work on it."""
IN_SECONDS = 120.0
"""Idle time, a look every two seconds, and pods that have nothing to drain."""


class WorkerLog:
    """Watches how many workers are wanted and ready, and when, beside the test.

    By one watch: to ask again and again takes a sixth of a machine of two cores.
    """

    def __init__(self, platform: Platform) -> None:
        columns = 'jsonpath={.spec.replicas} {.status.readyReplicas}{"\\n"}'
        name = f"{platform.name}-worker"
        self._command = ["kubectl", "-n", platform.namespace, "get", "deployment", name]
        self._command += ["--watch", "-o", columns]
        self.seen: list[tuple[float, int, int]] = []
        """Monotonic seconds, wanted, ready; one entry per change."""

    def __enter__(self) -> Self:
        self._kubectl = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        was_watching = self._kubectl.poll() is None
        self._kubectl.terminate()
        self._thread.join(timeout=10)
        self._kubectl.communicate(timeout=10)
        assert error is not None or was_watching, "what came later was not seen"

    def first_seconds(self, *, wanted: int, since: float) -> float:
        """Return how long after ``since`` so many workers were first wanted."""
        return next((at - since for at, many, _ in self.seen if many >= wanted), float("inf"))

    def first_ready_seconds(self, *, ready: int, since: float) -> float:
        """Return how long after ``since`` so many workers were first ready."""
        return next((at - since for at, _, many in self.seen if many >= ready), float("inf"))

    def turns(self) -> int:
        """Return how often the number of workers wanted began to rise or to fall."""
        steps = [
            after > before
            for (_, before, _), (_, after, _) in itertools.pairwise(self.seen)
            if after != before
        ]
        return len(list(itertools.groupby(steps)))

    def _read(self) -> None:
        assert self._kubectl.stdout is not None
        for line in self._kubectl.stdout:
            now = time.monotonic()
            # None is ready: the field is missing.
            wanted, ready = (int(word) for word in (*line.split(), "0")[:2])
            if not self.seen or self.seen[-1][1:] != (wanted, ready):
                self.seen.append((now, wanted, ready))


@pytest.fixture
def sleeping(platform: Platform) -> Iterator[Platform]:
    """The platform with no worker at all, and quick to get there again."""
    before = platform.resource()["spec"]["worker"]["scaling"]
    platform.scale_by(mode="Automatic", min=0, idleAfter=f"{IDLE_SECONDS}s")
    _await_no_worker(platform)
    yield platform
    platform.scale_by(**before)


@pytest.mark.alone
def test_many_tasks_wake_many_workers_and_all_end(sleeping: Platform, api: Api) -> None:
    with WorkerLog(sleeping) as log:
        started = time.monotonic()
        ids = [api.submit("demo_sleep", seconds=LONG_SECONDS) for _ in range(LONG_TASKS)]
        ids += [api.submit("demo_sleep", seconds=1) for _ in range(TASKS - LONG_TASKS)]
        api.await_all_completed(ids, seconds=180)
        _await_no_worker(sleeping)

    assert log.first_seconds(wanted=1, since=started) <= OUT_SECONDS, log.seen
    most = sleeping.resource()["spec"]["worker"]["scaling"]["max"]
    assert log.first_seconds(wanted=most, since=started) <= OUT_SECONDS, log.seen
    assert max(wanted for _, wanted, _ in log.seen) == most
    assert log.first_ready_seconds(ready=1, since=started) <= FIRST_SECONDS, log.seen
    assert log.first_ready_seconds(ready=most, since=started) <= FULL_SECONDS, log.seen
    # What kept tasks waiting longer than they should is named.
    assert f"more than max, {most} workers" in sleeping.messages_of("TooManyReplicas")
    assert log.turns() <= MOST_TURNS, log.seen
    # Scale-in took nobody at work: no task had to begin again, also of those that ran on alone.
    assert {api.task(task_id)["attempts"] for task_id in ids} == {1}


def test_one_task_wakes_workers_and_says_why(sleeping: Platform, api: Api) -> None:
    task_id = api.submit("demo_sleep", seconds=0.1)

    task = api.await_final(task_id, seconds=OUT_SECONDS + 20)

    assert task["status"] == "COMPLETED"
    # Two, where the rate of a burst lately is remembered.
    assert re.search(r"^0→[12]: 1 ready, ", sleeping.messages_of("ScaledOut"), re.MULTILINE)
    assert sleeping.condition("ScalingActive")["status"] == "True"


def test_workers_that_somebody_else_scaled_are_put_back(sleeping: Platform) -> None:
    sleeping.kubectl("scale", "deployment", f"{sleeping.name}-worker", "--replicas=2")

    wait_until(
        lambda: sleeping.worker_replicas() == 0, seconds=10, what="the number to be restored"
    )

    assert "2→0: somebody else" in wait_until(
        lambda: sleeping.messages_of("ReplicasRestored"), seconds=10, what="an event"
    )


def test_workers_stay_while_nobody_can_say_what_there_is_to_do(
    sleeping: Platform, api: Api
) -> None:
    api.await_final(api.submit("demo_sleep", seconds=0.1), seconds=OUT_SECONDS + 20)
    [postgres] = sleeping.list("pods", component="postgres")
    before = sleeping.messages_of("LoadUnavailable").splitlines()

    with WorkerLog(sleeping) as log, frozen(sleeping, postgres, "postgres"):
        wait_until(
            lambda: sleeping.condition("ScalingActive").get("reason") == "LoadUnavailable",
            seconds=30,
            what="the operator to say that it can't read the load",
        )
        # Long enough for the last worker to go, if silence were taken for idleness.
        time.sleep(2 * IDLE_SECONDS)

    assert {wanted for _, wanted, _ in log.seen} <= {1, 2}
    assert len({wanted for _, wanted, _ in log.seen}) == 1
    told = sleeping.messages_of("LoadUnavailable").splitlines()
    # One for the whole outage. Others may have frozen it before.
    assert len(told) == len(before) + 1
    _await_no_worker(sleeping)
    assert sleeping.condition("ScalingActive")["status"] == "True"


def test_scale_sets_the_workers_in_mode_fixed(sleeping: Platform) -> None:
    sleeping.scale_by(mode="Fixed")

    sleeping.kubectl("scale", "orchestrator", sleeping.name, "--replicas=2")

    wait_until(lambda: sleeping.worker_replicas() == 2, seconds=10, what="two workers")


def _await_no_worker(platform: Platform) -> None:
    def is_empty() -> bool:
        return platform.worker_replicas() == 0 and platform.list("pods", component="worker") == []

    wait_until(is_empty, seconds=IN_SECONDS, what="the last worker to go")
