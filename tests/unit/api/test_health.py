"""What is reported alive, ready and healthy."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from orchestrator_api.health import Health
from orchestrator_core.errors import StoreUnavailableError


async def answers() -> None:
    """A store that is there."""


async def is_away() -> None:
    raise StoreUnavailableError("any", "ping")


async def hangs() -> None:
    await asyncio.Event().wait()


def a_health(**pings: Callable[[], Awaitable[object]]) -> Health:
    given = {"postgres": answers, "rabbitmq": answers, "redis": answers, **pings}
    return Health(
        pings=given, needed=frozenset({"postgres"}), is_alive=lambda: True, ping_seconds=0.01
    )


async def test_what_was_found_is_told() -> None:
    told: dict[str, bool] = {}
    health = Health(
        pings={"postgres": answers, "redis": is_away},
        needed=frozenset({"postgres"}),
        is_alive=lambda: True,
        tell=told.__setitem__,
    )

    await health.observe()

    assert told == {"postgres": True, "redis": False}


async def test_all_that_answers_is_ok() -> None:
    view = await a_health().observe()

    assert view.status == "ok"
    assert view.dependencies == {"postgres": "ok", "rabbitmq": "ok", "redis": "ok"}


@pytest.mark.parametrize("failure", [is_away, hangs])
@pytest.mark.parametrize("store", ["rabbitmq", "redis"])
async def test_without_a_soft_store_it_is_degraded_and_says_which(
    store: str, failure: Callable[[], Awaitable[object]]
) -> None:
    view = await a_health(**{store: failure}).observe()

    assert view.status == "degraded"
    assert [name for name, state in view.dependencies.items() if state != "ok"] == [store]


@pytest.mark.parametrize("failure", [is_away, hangs])
async def test_without_postgres_it_is_unavailable(failure: Callable[[], Awaitable[object]]) -> None:
    view = await a_health(postgres=failure).observe()

    assert view.status == "unavailable"
    assert view.dependencies["postgres"] == "unavailable"
