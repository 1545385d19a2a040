"""Workers that die, freeze, are asked to go, or run what harms them."""

from collections.abc import Iterator

import pytest

from faulty_platform import FaultyPlatform, StartTrial, Stores, a_platform


@pytest.fixture(scope="module")
def platform(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyPlatform]:
    with a_platform(stores, tmp_path_factory.mktemp("workers")) as running:
        yield running


def test_tasks_of_a_killed_worker_are_finished_by_others(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    victim = platform.workers[0]

    with trial("F-01 killed worker") as told:
        platform.await_work(victim, at_least=2)
        victim.kill()

    twice = [task for task in told.evidence.tasks.values() if task.attempts == 2]
    assert any(task.status == "COMPLETED" for task in twice)
