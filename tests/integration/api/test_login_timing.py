"""How long a refused login takes tells nothing about whether its name exists."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import httpx

from api_clients import PASSWORD, a_user, api_settings, serving
from orchestrator_api.settings import ProcessSettings

MAX_CPU_DIFFERENCE = 0.05
MAX_WALL_DIFFERENCE = 0.25
"""With other processes on all cores, medians of wall time of the very same call differ by a
tenth, and by a hundredth when this one goes first. A comparison left out takes off nine tenths."""
SAMPLES = 40
"""Of each kind; more only when these differ, which on a busy machine chance alone can do."""


@dataclass(frozen=True)
class Taken:
    """What one login took."""

    cpu_seconds: float
    """Of this process, its threads included: other processes add nothing to it."""
    wall_seconds: float


async def time_login(client: httpx.AsyncClient, username: str) -> Taken:
    wall, cpu = time.perf_counter(), time.process_time()
    answer = await client.post(
        "/auth/login", json={"username": username, "password": "not-" + PASSWORD}
    )
    taken = Taken(time.process_time() - cpu, time.perf_counter() - wall)
    assert answer.status_code == 401
    return taken


def differences(taken: Mapping[str, Sequence[Taken]]) -> tuple[float, float]:
    """Return how much the medians differ, as parts of the larger: of CPU time, of wall time."""
    cpu = [median(each.cpu_seconds for each in some) for some in taken.values()]
    wall = [median(each.wall_seconds for each in some) for some in taken.values()]
    return 1 - min(cpu) / max(cpu), 1 - min(wall) / max(wall)


async def test_a_login_takes_as_long_for_an_unknown_name_as_for_a_known_one(
    process_settings: ProcessSettings,
) -> None:
    # 8 rounds take 15 ms: most of the call, as in production, but the test stays short.
    settings = replace(process_settings, api=api_settings(ORCHESTRATOR_API_BCRYPT_ROUNDS=8))
    async with serving(settings) as client:
        known = (await a_user(client, "known-name")).name
        taken: dict[str, list[Taken]] = {known: [], "other-name": []}
        for rounds in (SAMPLES, 4 * SAMPLES):
            for turn in range(rounds):
                # Interleaved, each first as often as the other: what changes with time
                # changes both alike.
                for name in sorted(taken, reverse=turn % 2 == 0):
                    taken[name].append(await time_login(client, name))
            cpu, wall = differences(taken)
            if cpu < MAX_CPU_DIFFERENCE and wall < MAX_WALL_DIFFERENCE:
                break

    assert cpu < MAX_CPU_DIFFERENCE
    assert wall < MAX_WALL_DIFFERENCE
