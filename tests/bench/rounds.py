"""One round: a clean start, load, and an account of everything that came of it.

Before: ``contenders`` answer.
After: ``comparing`` takes the ``Round``s.
"""

import asyncio
import resource

import httpx

from tests.bench.comparing import Round
from tests.bench.contenders import Contender
from tests.bench.cpu_times import read_cpu_seconds
from tests.bench.stores import Kept
from tests.bench.wrk import CONNECTIONS, BenchError, Load, run_wrk

_SETTLE_SECONDS = 20.0
"""How long what was accepted may take to be in RabbitMQ as well."""
_LOOK_SECONDS = 0.05


async def run_round(contender: Contender, *, seconds: int) -> Round:
    """Load ``contender`` and check that each 201 is a committed row.

    Raises:
        BenchError: some answer was no 201, or a row or a message is missing.
    """
    roots = {"api": contender.pid, **contender.addresses.servers.list_pids()}
    async with Kept.open(contender.addresses) as kept:
        await kept.clear()
        await _check_burst(contender, kept)
        await kept.clear()
        before, wrk_before = read_cpu_seconds(roots), _wrk_cpu_seconds()
        load = await asyncio.to_thread(run_wrk, contender.url, contender.tokens, seconds=seconds)
        messages = await kept.count_messages()
        rows = await _settle(kept, contender.name, load)
        after = read_cpu_seconds(roots)
        await kept.clear()
    cpu_seconds = {name: after[name] - before[name] for name in roots}
    return Round(
        load=load,
        cpu_seconds={**cpu_seconds, "wrk": _wrk_cpu_seconds() - wrk_before},
        rows=rows,
        unrung=max(0, rows - messages),
    )


async def _check_burst(contender: Contender, kept: Kept) -> None:
    """Submit as many tasks as wrk has connections and hold every answer against its row.

    wrk tells only errors from the rest, and hangs up on its last requests.
    """
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=CONNECTIONS)) as client:
        answers = await asyncio.gather(
            *(_submit(client, contender, number) for number in range(CONNECTIONS))
        )
    others = [each for each in answers if each.status_code != httpx.codes.CREATED]
    if others:
        raise BenchError(
            f"{contender.name}: expected 201, found {others[0].status_code} {others[0].text};"
            f" its log ends with:\n{contender.read_log_end()}"
        )
    answered, rows = sorted(each.json()["task_id"] for each in answers), await kept.list_ids()
    if answered != rows:
        raise BenchError(f"{contender.name}: answered tasks {answered}, but kept {rows}")


async def _submit(client: httpx.AsyncClient, contender: Contender, number: int) -> httpx.Response:
    token = contender.tokens[number % len(contender.tokens)]
    return await client.post(
        contender.url,
        json={"task_type": "IMAGE_RESIZE"},
        headers={"Authorization": f"Bearer {token}"},
    )


async def _settle(kept: Kept, name: str, load: Load) -> int:
    """Wait until all that was accepted is rung; return the number of rows."""
    rows = messages = 0
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            while True:
                previous, rows = rows, await kept.count_rows()
                messages = await kept.count_messages()
                if rows == previous == messages:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise BenchError(f"{name}: {rows} rows, but {messages} messages") from None
    # wrk hangs up on the last request of each connection; it may or may not have a row.
    if not load.answers <= rows <= load.answers + CONNECTIONS:
        raise BenchError(f"{name}: {load.answers} times 201, but {rows} rows")
    return rows


def _wrk_cpu_seconds() -> float:
    """Return the CPU time of ended children; during a round that is wrk alone."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
