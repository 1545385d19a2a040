"""HTTP submissions: our API, the textbook service, and peers behind the textbook's endpoint.

Before: ``running`` has servers.
After: 201s per second of each round, by system.
"""

import functools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import services
from tests.bench.contenders import (
    USERS,
    Contender,
    build_textbook_command,
    build_textbook_environment,
    running_api,
    running_textbook,
    serving,
    sign_tokens,
)
from tests.bench.engine.saying import say
from tests.bench.engine.systems import PEER_PYTHON, SYSTEMS, System
from tests.bench.rounds import run_round
from tests.bench.stores import Addresses, Servers, make_database, make_vhost

_SECONDS = 4
_WARM_UP_SECONDS = 2
_OWN_SERVICES = {"ours": running_api, "textbook": running_textbook}


async def measure_http(
    servers: Servers, folder: Path, systems: Sequence[str], *, rounds: int
) -> dict[str, list[float]]:
    """Load the service of each system in turn, ``rounds`` times; all of them run all the time."""
    rates: dict[str, list[float]] = {name: [] for name in systems}
    async with AsyncExitStack() as stack:
        contenders = {
            name: await stack.enter_async_context(_running(servers, folder, name, number))
            for number, name in enumerate(systems)
        }
        for contender in contenders.values():
            await run_round(contender, seconds=_WARM_UP_SECONDS)
        for number in range(rounds):
            for name, contender in contenders.items():
                measured = await run_round(contender, seconds=_SECONDS)
                rates[name].append(measured.created_per_second)
                say(f"http {number + 1} of {rounds}: {name} {rates[name][-1]:.0f} 201/s")
    return rates


@asynccontextmanager
async def _running(
    servers: Servers, folder: Path, name: str, number: int
) -> AsyncIterator[Contender]:
    own = _OWN_SERVICES.get(name)
    addresses = Addresses(
        servers=servers,
        name=f"http_{name}",
        redis_database=number,
        **({} if own else {"queue": SYSTEMS[name].queue}),
    )
    start = own or functools.partial(_running_peer, SYSTEMS[name])
    async with start(addresses, folder) as contender:
        yield contender


@asynccontextmanager
async def _running_peer(
    system: System, addresses: Addresses, folder: Path
) -> AsyncIterator[Contender]:
    await make_database(addresses, *system.schema)
    make_vhost(addresses, None)
    port = services.free_port()
    app = "tests.bench.engine.peers.http_service:app"
    command = build_textbook_command(PEER_PYTHON, app, port)
    environment = {**build_textbook_environment(addresses), "BENCH_SYSTEM": system.name}
    url, log = f"http://127.0.0.1:{port}", folder / f"http-{system.name}.log"
    with serving(command, environment, log, f"{url}/health") as pid:
        yield Contender(
            name=system.name,
            url=f"{url}/api/v1/tasks",
            pid=pid,
            tokens=sign_tokens(range(1, USERS + 1)),
            log=log,
            addresses=addresses,
        )
