"""Tasks that end, also those that miss their first cancellation."""

import asyncio
import gc
from typing import Any

from orchestrator_core.ending import end


async def test_all_are_done_when_it_returns() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(3)]
    await asyncio.sleep(0)

    await end(tasks)

    assert all(task.cancelled() for task in tasks)


async def test_none_and_one_that_is_done_are_fine() -> None:
    done = asyncio.create_task(asyncio.sleep(0))
    await done

    await end([])
    await end([done])

    assert not done.cancelled()


async def test_a_cancellation_that_a_library_forgets_is_repeated() -> None:
    missed = 0

    async def work_on() -> None:
        nonlocal missed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if missed == 2:
                    raise
                missed += 1

    task = asyncio.create_task(work_on())
    await asyncio.sleep(0)

    await end([task], again_seconds=0.01)

    assert task.cancelled()
    assert missed == 2


async def test_what_takes_its_time_to_close_is_let_close() -> None:
    closed: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            closed.append("closed")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)

    await end([task])

    assert closed == ["closed"]


async def test_what_breaks_on_its_way_out_is_dropped() -> None:
    async def break_down() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("no goodbye")

    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    task = asyncio.create_task(break_down())
    await asyncio.sleep(0)

    await end([task])

    assert isinstance(task.exception(), OSError)
    del task
    gc.collect()
    assert told == []
