"""HTTP submissions: the services of ``make bench-api``, in turn.

Before: ``running`` has servers.
After: 201s per second of each round, by system.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

from tests.bench.contenders import Contender, running_api, running_textbook
from tests.bench.engine.saying import say
from tests.bench.rounds import run_round
from tests.bench.stores import Addresses, Servers

_SECONDS = 4
_WARM_UP_SECONDS = 2

Start = Callable[[Addresses, Path], AbstractAsyncContextManager[Contender]]
SERVICES: Mapping[str, Start] = {"ours": running_api, "textbook": running_textbook}


async def measure_http(
    servers: Servers, folder: Path, systems: Sequence[str], *, rounds: int
) -> dict[str, list[float]]:
    """Load every service that there is for ``systems``, one after the other, ``rounds`` times."""
    rates: dict[str, list[float]] = {name: [] for name in systems if name in SERVICES}
    async with AsyncExitStack() as stack:
        contenders = {
            name: await stack.enter_async_context(
                SERVICES[name](
                    Addresses(servers=servers, name=f"http_{name}", redis_database=number), folder
                )
            )
            for number, name in enumerate(rates)
        }
        for contender in contenders.values():
            await run_round(contender, seconds=_WARM_UP_SECONDS)
        for number in range(rounds):
            for name, contender in contenders.items():
                measured = await run_round(contender, seconds=_SECONDS)
                rates[name].append(measured.created_per_second)
                say(f"http {number + 1} of {rounds}: {name} {rates[name][-1]:.0f} 201/s")
    return rates
