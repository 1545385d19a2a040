"""Workers that die, freeze, are asked to go, or run what harms them."""

import time
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import pytest

from evidence import until
from faulty_platform import (
    DRAIN_SECONDS,
    LEASE_SECONDS,
    FaultyPlatform,
    Part,
    StartTrial,
    Stores,
    Trial,
    a_platform,
)
from invariants import TaskRow
from task_load import a_mixed_task, a_submission


@pytest.fixture(scope="module")
def platform(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyPlatform]:
    with a_platform(stores, tmp_path_factory.mktemp("workers")) as running:
        yield running


def a_sleep(chance: Random) -> Mapping[str, Any]:
    return a_submission("demo_sleep", seconds=round(chance.uniform(0.0, 0.2), 3))


def tasks_of_load(told: Trial) -> list[TaskRow]:
    """Return those that the test itself has not submitted."""
    of_guest = {entry.task_id for entry in told.ledger if entry.user_id == told.guest.id}
    return [task for task in told.evidence.tasks.values() if task.id not in of_guest]


def kinds(told: Trial, task_id: int) -> list[str]:
    return [event.kind for event in told.evidence.events[task_id]]


def test_tasks_of_a_killed_worker_are_finished_by_others(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    with trial("F-01 worker killed") as told:
        task_id = told.submit(a_submission("demo_sleep", seconds=1))
        platform.await_claim(task_id).kill()

    assert kinds(told, task_id) == ["ACCEPTED", "CLAIMED", "CLAIMED", "COMPLETED"]


def test_a_worker_that_wakes_up_late_changes_nothing(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    with trial("F-02 worker frozen") as told:
        task_id = told.submit(a_submission("demo_sleep", seconds=1))
        zombie = platform.await_claim(task_id)
        zombie.freeze()
        time.sleep(2 * LEASE_SECONDS)
        zombie.thaw()

    assert kinds(told, task_id) == ["ACCEPTED", "CLAIMED", "CLAIMED", "COMPLETED"]


def test_a_rollout_during_long_tasks_spends_no_attempt(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    def a_long_task_of(worker: Part) -> int:
        while True:
            task_id = told.submit(a_submission("demo_sleep", seconds=3 * DRAIN_SECONDS))
            if platform.await_claim(task_id) is worker:
                return task_id

    codes, cut_short = [], []
    with trial("F-04 rollout", make_task=a_sleep) as told:
        for old in list(platform.workers):
            platform.add_worker().await_ready()
            cut_short.append(a_long_task_of(old))
            codes.append(old.terminate())
            platform.workers.remove(old)

    assert codes == [0, 0]
    for task_id in cut_short:
        assert "HANDED_BACK" in kinds(told, task_id)
    assert {(task.status, task.attempts) for task in told.evidence.tasks.values()} == {
        ("COMPLETED", 1)
    }


def test_a_task_that_kills_its_child_fails_alone(trial: StartTrial) -> None:
    poison = {**a_submission("demo_crash", signal=9), "max_attempts": 2}

    with trial("F-05 child poisoned", make_task=a_sleep) as told:
        poisoned = [told.submit(poison) for _ in range(5)]

    for task_id in poisoned:
        task = told.evidence.tasks[task_id]
        assert (task.status, task.attempts) == ("FAILED", 2), task
    assert {(task.status, task.attempts) for task in tasks_of_load(told)} == {("COMPLETED", 1)}


def test_a_task_that_kills_its_worker_each_time_runs_out_of_attempts_alone(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    poison = {**a_submission("demo_sleep", seconds=60), "max_attempts": 2}

    with trial("F-05 worker poisoned", make_task=a_sleep) as told:
        task_id = told.submit(poison)
        for attempt in (1, 2):
            victim = platform.await_claim(task_id, attempt=attempt)
            victim.kill()
            victim.start()

    task = told.evidence.tasks[task_id]
    assert (task.status, task.error_code, task.attempts) == ("FAILED", "WORKER_LOST", 2)
    assert {task.status for task in tasks_of_load(told)} == {"COMPLETED"}


def test_tasks_that_hang_are_ended_in_time_alone(trial: StartTrial) -> None:
    bounds = {"timeout_seconds": 1, "max_attempts": 1}

    with trial("F-07 tasks hang", make_task=a_sleep) as told:
        hanging = [
            told.submit({**submission, **bounds})
            for submission in (
                a_submission("demo_sleep", seconds=3600),
                a_submission("demo_spin", seconds=3600),
                a_submission("demo_hang"),
            )
        ]

    for task_id in hanging:
        task = told.evidence.tasks[task_id]
        assert (task.status, task.error_code) == ("FAILED", "TIMEOUT"), task
    assert {(task.status, task.attempts) for task in tasks_of_load(told)} == {("COMPLETED", 1)}


def test_a_mixture_without_any_fault_is_no_fault_either(trial: StartTrial) -> None:
    with trial("F-00 nothing", make_task=a_mixed_task) as told:
        until(lambda: len(told.ledger.acknowledged()) > 100, what="some load")

    assert told.codes() == {200, 201}
    assert (told.totals.attempted, told.totals.recovered) == (told.totals.ok, 0)
