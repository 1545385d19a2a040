"""An API that is killed in the middle of everything; another one goes on."""

from collections.abc import Iterator

import pytest

from evidence import until
from faulty_platform import FaultyPlatform, StartTrial, Stores, Trial, a_platform


@pytest.fixture(scope="module")
def platform(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyPlatform]:
    with a_platform(stores, tmp_path_factory.mktemp("apis"), apis=2) as running:
        yield running


def await_accepted(told: Trial, count: int) -> None:
    until(lambda: len(told.ledger.acknowledged()) >= count, what="submissions to be accepted")


def test_submissions_to_a_killed_api_are_sent_again_and_make_one_task_each(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    with trial("F-29 api killed", is_cut_allowed=True) as told:
        for number, api in enumerate(platform.apis, 1):
            await_accepted(told, 20 * number)
            api.kill()
            api.start()
            api.await_ready()

    assert told.ledger.unknown_keys()
    assert told.codes() <= {200, 201, None}
