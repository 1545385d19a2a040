"""One loop for each resource: waits at its door, makes a pass, rests.

Whatever may concern a resource rings its door: an event of the resource or of a
child, the lister's round, the autoscaler. Rings add up to one pass, and passes
of one resource never overlap. A failing pass is repeated at a growing distance;
a ring shortens the wait, but never to less than ``SHORTEST_RETRY_SECONDS``, so a
storm of events can't turn a fault into a hot loop.

Before: ``handlers`` and ``app`` ring.
After: ``attempt`` makes the pass (``reconciling``).
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

import structlog

from orchestrator_core.ending import end
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.logs import speak_of
from orchestrator_operator.problems import FORMER_LEAVING, NAME_CONFLICT, REFUSED, Problem

DEBOUNCE_SECONDS: Final = 0.2
"""A change comes as several events within milliseconds; one pass answers them all."""
PASS_DEADLINE_SECONDS: Final = 120.0
"""A pass makes some forty calls of milliseconds; each has a deadline, this bounds their sum."""
SHORTEST_RETRY_SECONDS: Final = 1.0
SOON_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class Verdict(Enum):
    """How a pass ended."""

    DONE = "done"
    RETRY = "retry"
    """Something is in the way that may send no event when it goes."""
    SOON = "soon"
    """Something is about to go that sends no event: look again in a moment."""
    GONE = "gone"
    """There is no such resource any more."""


def verdict_of(problems: Iterable[Problem]) -> Verdict:
    """Say when to look again: what is in the way may go without an event."""
    reasons = {problem.reason for problem in problems}
    if FORMER_LEAVING in reasons:
        return Verdict.SOON
    return Verdict.RETRY if reasons & {NAME_CONFLICT, REFUSED} else Verdict.DONE


class ResourceKey(NamedTuple):
    """Which resource."""

    namespace: str
    name: str


Attempt = Callable[[ResourceKey], Awaitable[Verdict]]
Farewell = Callable[[ResourceKey], Awaitable[None]]
OnPass = Callable[[str, float], None]
"""Told how a pass ended, a verdict's value or ``FAILED``, and how many seconds it took."""
FAILED: Final = "failed"


@dataclass(slots=True)
class _Loop:
    door: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    pass_began: float | None = None
    """Monotonic; None while it waits."""


class Loops:
    """All loops of the process."""

    def __init__(
        self,
        attempt: Attempt,
        *,
        farewell: Farewell,
        on_pass: OnPass = lambda *_: None,
        debounce_seconds: float = DEBOUNCE_SECONDS,
    ) -> None:
        self._attempt = attempt
        self._farewell = farewell
        self._on_pass = on_pass
        self._debounce_seconds = debounce_seconds
        self._loops: dict[ResourceKey, _Loop] = {}

    def ring(self, key: ResourceKey) -> None:
        """Ask for a pass; opens a loop for a resource that has none."""
        loop = self._loops.get(key)
        if loop is None:
            loop = self._loops[key] = _Loop()
            loop.task = asyncio.create_task(self._live(key, loop), name=f"reconcile {key}")
        loop.door.set()

    @property
    def keys(self) -> tuple[ResourceKey, ...]:
        """Return which resources have a loop."""
        return tuple(self._loops)

    def longest_pass_seconds(self) -> float:
        """Return how long the oldest running pass has been running; 0 when none runs."""
        now = time.monotonic()
        began = (loop.pass_began for loop in self._loops.values())
        return max((now - since for since in began if since is not None), default=0.0)

    async def close(self) -> None:
        """End every loop; children stay as they are."""
        tasks = [loop.task for loop in self._loops.values() if loop.task is not None]
        await end(tasks)
        for key in tuple(self._loops):
            await self._farewell(key)
        self._loops.clear()

    async def _live(self, key: ResourceKey, loop: _Loop) -> None:
        # On every line from here on, and on those of what is started in a pass, as its autoscaler.
        speak_of({"namespace": key.namespace, "resource": key.name})
        failures = 0
        while True:
            await loop.door.wait()
            await asyncio.sleep(self._debounce_seconds)
            # Before the pass looks: what happens from here on rings again.
            loop.door.clear()
            verdict = await self._pass(key, loop)
            if verdict is Verdict.GONE and not loop.door.is_set():
                # No await between this look and the removal: a ring finds one or the other.
                del self._loops[key]
                await self._farewell(key)
                return
            failures = failures + 1 if verdict is Verdict.RETRY else 0
            if verdict is Verdict.SOON:
                await asyncio.sleep(SOON_SECONDS)
                loop.door.set()
            elif failures:
                await _rest(loop.door, retry_seconds(failures, random.random()))  # noqa: S311 - jitter

    async def _pass(self, key: ResourceKey, loop: _Loop) -> Verdict:
        began = loop.pass_began = time.monotonic()
        told = FAILED
        try:
            async with asyncio.timeout(PASS_DEADLINE_SECONDS):
                verdict = await self._attempt(key)
        except TimeoutError:
            _log.error("pass_too_slow", deadline_seconds=PASS_DEADLINE_SECONDS)
        except OrchestratorError as error:
            _log.warning("pass_failed", code=error.code, error=str(error))
        except Exception:  # noqa: BLE001 - the loop's edge: the next pass starts over
            _log.exception("pass_broke")
        else:
            told = verdict.value
            return verdict
        finally:
            loop.pass_began = None
            self._on_pass(told, time.monotonic() - began)
        return Verdict.RETRY


def retry_seconds(failures: int, chance: float) -> float:
    """Return how long to wait after so many failures in a row.

    Args:
        failures: at least 1.
        chance: between 0 and 1; spreads the retries of many resources over half the wait.
    """
    doubled: float = SHORTEST_RETRY_SECONDS * 2 ** min(failures - 1, 10)
    longest = min(LONGEST_RETRY_SECONDS, doubled)
    return max(SHORTEST_RETRY_SECONDS, longest * (0.5 + chance / 2))


async def _rest(door: asyncio.Event, seconds: float) -> None:
    """Wait so long, then see to it that a pass follows; a ring ends it after the shortest wait."""
    await asyncio.sleep(min(seconds, SHORTEST_RETRY_SECONDS))
    try:
        async with asyncio.timeout(max(0.0, seconds - SHORTEST_RETRY_SECONDS)):
            await door.wait()
    except TimeoutError:
        door.set()
