"""Announcements: only of what moved, and never in the way of anybody."""

import asyncio

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.announcing import Announcer


class Mouth:
    """Counts what is said; may be unable to."""

    def __init__(self) -> None:
        self.is_away = False
        self.said: asyncio.Queue[None] = asyncio.Queue()

    async def announce(self) -> None:
        self.said.put_nowait(None)
        if self.is_away:
            raise StoreUnavailableError("postgres", "announce")


async def test_only_a_move_that_moved_something_is_announced() -> None:
    mouth = Mouth()
    announcer = Announcer(mouth)
    running = asyncio.create_task(announcer.run())

    async def settle(verdicts: list[bool]) -> list[bool]:
        return verdicts

    settle_aloud = announcer.after(settle)
    quiet = [await settle_aloud([]), await settle_aloud([False, False])]
    await asyncio.sleep(0)
    was_quiet = mouth.said.empty()
    loud = await settle_aloud([False, True])
    await mouth.said.get()
    running.cancel()

    assert quiet == [[], [False, False]]
    assert was_quiet
    assert loud == [False, True]


async def test_what_could_not_be_said_is_forgotten_and_the_next_is_said() -> None:
    mouth = Mouth()
    announcer = Announcer(mouth)
    running = asyncio.create_task(announcer.run())

    mouth.is_away = True
    announcer.offer()
    await mouth.said.get()
    mouth.is_away = False
    announcer.offer()
    await mouth.said.get()
    running.cancel()

    assert mouth.said.empty()
