"""Tells Postgres what only the operator sees: how large the pool may be, and how pods ended.

It is told for people: who waits for a worker learns why there is none, and whose attempt was lost
learns what became of its pod. So scaling never waits for it: it has a task and a connection of its
own, and where nothing can be told, as with a schema of an older version, it tries again later and
says so once.

Before: ``scaled_pool`` starts it beside the autoscaler; ``scaling_kubernetes`` shows it the pods.
After: ``PoolStore`` keeps what is new; the API explains tasks with it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from orchestrator_core.errors import RowRefusedError
from orchestrator_core.pools import PodEnd, PoolReport
from orchestrator_operator.autoscaling import ScalingMode, ScalingTarget
from orchestrator_operator.clock import Clock, SystemClock
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.pod_ends import find_absence, find_ends
from orchestrator_operator.scaling import ScalingState

LOOK_SECONDS: Final = 2.0
"""As often as the pods are listed."""
REFRESH_SECONDS: Final = 60.0
"""Nobody believes a report for more than three minutes."""
RETRY_SECONDS: Final = 30.0
"""After a failure: it may last until somebody upgrades a schema."""
DEADLINE_SECONDS: Final = 2.0
MAX_PENDING: Final = 1_000
"""Ends that could not be kept yet; the oldest go first."""

_Key = tuple[str, str, datetime]
_log = structlog.get_logger(__name__)


class PoolSink(Protocol):
    """Where it is told; ``PoolStore`` is one."""

    async def tell(self, report: PoolReport) -> None:
        """Keep a report; may raise anything."""
        ...

    async def record_ends(self, ends: Sequence[PodEnd]) -> None:
        """Keep ends of pods; may raise anything."""
        ...


def to_report(
    state: ScalingState, target: ScalingTarget, *, pod_start_seconds: float
) -> PoolReport | None:
    """Return what is to be told of an autoscaler; None before it has decided anything."""
    if state.desired_replicas is None:
        return None
    rules = target.mode is ScalingMode.AUTOMATIC
    return PoolReport(
        mode=target.mode.value,
        min_replicas=target.min_replicas if rules else target.fixed_replicas,
        max_replicas=target.ceiling_replicas if rules else target.fixed_replicas,
        desired_replicas=state.desired_replicas,
        slots_per_pod=target.slots_per_pod,
        pod_start_seconds=pod_start_seconds,
        limited_message=state.limited.message if state.limited.is_true else None,
        held_message=state.active.message if state.is_faulty else None,
    )


class Recorder:
    """Tells of one pool until cancelled."""

    def __init__(
        self,
        sink: PoolSink,
        report: Callable[[], PoolReport | None],
        *,
        clock: Clock | None = None,
    ) -> None:
        """Take where to tell, and what says how the pool is; None: nothing to tell yet."""
        self._sink = sink
        self._report = report
        self._clock = clock or SystemClock()
        self._seen: dict[str, Manifest] = {}
        """By uid, as last shown: those that have not been looked into yet."""
        self._present: dict[str, Manifest] = {}
        """By uid: those of the last list."""
        self._pending: dict[_Key, PodEnd] = {}
        self._known: set[_Key] = set()
        """Kept already, of pods that are there."""
        self._told: PoolReport | None = None
        self._told_at_seconds = float("-inf")
        self._quiet_until_seconds = float("-inf")
        self._is_failing = False

    def show(self, pods: Sequence[Manifest]) -> None:
        """Take a list of all worker pods; nothing is looked at before the next step."""
        listed = {pod["metadata"]["uid"]: pod for pod in pods}
        self._seen |= self._present | listed
        self._present = listed

    async def run(self) -> None:
        """Step until cancelled; no failure ends it."""
        never = asyncio.Event()
        while True:
            await self.step()
            await self._clock.wait(never, LOOK_SECONDS)

    async def step(self) -> None:
        """Tell once what is new."""
        if self._clock.now_seconds() < self._quiet_until_seconds:
            return
        try:
            self._collect()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._tell()
                await self._record()
        except Exception as error:  # noqa: BLE001 - the edge of a service of its own
            self._quiet_until_seconds = self._clock.now_seconds() + RETRY_SECONDS
            if not self._is_failing:
                _log.warning("pool_not_told", error=repr(error))
            self._is_failing = True
        else:
            self._is_failing = False

    def _collect(self) -> None:
        """Look into what was shown for ends that nobody has been told of."""
        seen, self._seen = self._seen, {}
        now = self._clock.utc_now()
        for uid, pod in seen.items():
            ends = find_ends(pod, seen_at=now)
            if uid not in self._present and not any(end.container == "" for end in ends):
                ends = (*ends, find_absence(pod, seen_at=now))
            for end in ends:
                if _key_of(end) not in self._known:
                    self._pending.setdefault(_key_of(end), end)
        for key in list(self._pending)[: max(0, len(self._pending) - MAX_PENDING)]:
            del self._pending[key]

    async def _tell(self) -> None:
        report = self._report()
        now_seconds = self._clock.now_seconds()
        is_old = now_seconds - self._told_at_seconds >= REFRESH_SECONDS
        if report is not None and (report != self._told or is_old):
            await self._sink.tell(report)
            self._told, self._told_at_seconds = report, now_seconds

    async def _record(self) -> None:
        ends = list(self._pending.values())
        if ends:
            try:
                await self._sink.record_ends(ends)
            except RowRefusedError as error:
                # Which one it was can't be told from here; kept for another try they would stand
                # in the way of all that follow.
                _log.warning("pod_ends_refused", ends=len(ends), error=str(error))
            self._known |= self._pending.keys()
            self._pending.clear()
        self._known = {key for key in self._known if key[0] in self._present}


def _key_of(end: PodEnd) -> _Key:
    return end.pod_uid, end.container, end.began_at
