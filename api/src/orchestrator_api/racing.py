"""Work that one side or the other ends: an answer that goes on, and a client that may leave.

Before: an answer streams or waits.
After: whichever came first has its say, and nothing of the rest runs on.
"""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from starlette.types import Receive

from orchestrator_core.ending import end

ResultT = TypeVar("ResultT")


async def await_disconnect(receive: Receive) -> None:
    """Return when the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def race(
    work: Coroutine[object, object, ResultT], *ends: Coroutine[object, object, None]
) -> "asyncio.Task[ResultT]":
    """Run ``work`` until it or one of ``ends`` is over, then cancel the others.

    Returns:
        ``work``'s task, which is done; cancelled if an end came first. What the ends
        raised is dropped: by then nobody can be told.
    """
    working = asyncio.create_task(work)
    tasks = (working, *(asyncio.create_task(each) for each in ends))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks)
    return working
