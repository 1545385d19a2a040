"""Postgres killed, frozen, unreachable, cut off in the middle of an answer: 503 and no lie."""

import time
from collections.abc import Iterator

import httpx
import pytest

import services
from evidence import until
from faulty_platform import FaultyPlatform, Part, StartTrial, Stores, Trial, a_platform


@pytest.fixture(scope="module")
def platform(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyPlatform]:
    with a_platform(stores, tmp_path_factory.mktemp("postgres")) as running:
        yield running


def pids(platform: FaultyPlatform) -> list[int]:
    """Return the processes of the platform, to see that none was started again."""
    parts = [*platform.apis, *platform.workers]
    return [part.process.pid for part in parts if part.process is not None and part.is_running]


def probe(api: Part, path: str) -> int:
    return httpx.get(api.ready_url.replace("/readyz", path), timeout=10).status_code


def await_refusals(told: Trial, count: int) -> None:
    until(lambda: len(told.ledger.unknown_keys()) >= count, what="submissions to be refused")


def test_while_postgres_is_dead_whoever_asks_is_told_when_to_come_back(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    before = pids(platform)

    with trial("F-19 postgres killed") as told, services.killed(platform.stores.postgres):
        await_refusals(told, 10)
        probes = [probe(platform.apis[0], path) for path in ("/livez", "/readyz")]

    assert probes == [200, 503]
    assert told.codes() == {200, 201, 503}
    assert pids(platform) == before


def test_while_postgres_hangs_every_call_ends_in_time(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    before = pids(platform)

    with trial("F-20 postgres frozen") as told, services.paused(platform.stores.postgres):
        await_refusals(told, 5)

    assert told.codes() == {200, 201, 503}
    assert pids(platform) == before


def test_connections_that_went_silent_are_given_up(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    before = pids(platform)

    with trial("F-21 postgres silent") as told:
        platform.postgres_proxy.swallow()
        await_refusals(told, 5)
        platform.postgres_proxy.heal()

    assert told.codes() == {200, 201, 503}
    assert pids(platform) == before


def test_a_commit_whose_answer_was_cut_off_makes_one_task(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    def kept_unheard() -> int:
        return platform.witness.count_keys(told.ledger.unknown_keys())

    with trial("F-22 answer cut off") as told:
        while kept_unheard() < 3:
            platform.postgres_proxy.cut_next_answers()
            time.sleep(0.2)

    assert told.totals.recovered >= 3
    assert told.codes() == {200, 201, 503}
