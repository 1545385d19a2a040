"""The loop that keeps the number of workers where the law wants it.

Every two seconds (every second while nothing runs, so that the first task waits
for a pod and not for us) it looks at the workers, reads the load, decides and
acts. It alone writes ``spec.replicas`` of the worker Deployment, so it also puts
back what somebody else wrote there. Nothing that fails ends it: without a
believable load the number is held, and the reason stands in ``state``.

In the modes Fixed and External the number is ``spec.worker.replicas``, written by
a person or through ``/scale`` by an HPA or KEDA. The law runs dry then: what it
would have done is in ``state`` all the same.

A worker that is to go is cordoned first; the number of replicas falls when it has
finished what it runs. When the load comes back before, it is let in again.

Before: the reconciler starts one ``Scaler`` for each resource and retargets it.
After: ``LoadSource`` takes the cordons, ``WorkerActuator`` writes the cluster; the reconciler
copies ``state`` into status.
"""

import asyncio
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import structlog

from orchestrator_core.load import Load, WorkerPresence
from orchestrator_operator.autoscaling import (
    ACTIVE,
    LOAD_UNAVAILABLE,
    WITHIN_BOUNDS,
    Decision,
    Finding,
    LawState,
    Reading,
    ScalingMode,
    ScalingTarget,
    decide,
    hold,
)
from orchestrator_operator.clock import Clock, SystemClock
from orchestrator_operator.worker_pods import (
    Cordons,
    ObservedWorkers,
    Occupancy,
    PodStarts,
    count_pods,
    pick_any,
    pick_drained,
    plan_cordons,
    plan_move,
)

__all__ = [
    "LoadSource",
    "Scaler",
    "ScalingMode",
    "ScalingState",
    "ScalingTarget",
    "WorkerActuator",
]

POLL_SECONDS: Final = 2.0
POLL_AT_ZERO_SECONDS: Final = 1.0
"""With an image present a pod is ready 3 to 5 s after its creation, which leaves
5 s of the promised 10 s from the first task to the first worker."""
READ_DEADLINE_SECONDS: Final = 2.0
"""A reading takes milliseconds; a later answer is about another load."""
STEP_DEADLINE_SECONDS: Final = 20.0
"""A handful of requests with deadlines of their own; this one only bounds their sum."""
MISSED_READINGS: Final = 3
"""A reading or two may get lost in a restart of Postgres; from the third on, status says so."""

NO_WORKERS: Final = Finding("NoWorkers", "the resource has no worker Deployment yet", is_true=False)
QUEUED_SECONDS: Final = 10.0
"""Each new number is a write of status, which every watcher of the resource receives."""
_NOT_OURS: Final = {
    ScalingMode.FIXED: Finding(
        "Fixed", "spec.worker.replicas says how many workers run", is_true=False
    ),
    ScalingMode.EXTERNAL: Finding(
        "External", "another autoscaler writes spec.worker.replicas", is_true=False
    ),
}

_log = structlog.get_logger(__name__)


class LoadSource(Protocol):
    """Where the load is read and workers are cordoned; ``LoadStore`` is one."""

    async def read(self) -> Load:
        """Read the load of the pool; may raise anything, then the number is held."""
        ...

    async def workers(self) -> tuple[WorkerPresence, ...]:
        """Read which worker processes have reported lately, or hold a lease."""
        ...

    async def cordon(self, worker_ids: Collection[UUID]) -> None:
        """Ask processes to take nothing new for half a minute from now."""
        ...

    async def uncordon(self, worker_ids: Collection[UUID]) -> None:
        """Let processes take tasks again."""
        ...


class WorkerActuator(Protocol):
    """What the loop does to the cluster. Every call has a deadline of its own."""

    async def observe_workers(self) -> ObservedWorkers | None:
        """Look at the worker Deployment and its pods; None when the resource has none."""
        ...

    async def set_replicas(self, replicas: int) -> None:
        """Write ``spec.replicas`` and nothing else."""
        ...

    async def set_deletion_costs(self, costs: dict[str, int]) -> None:
        """Write the deletion costs of pods by name; 0 removes one. A missing pod is no error."""
        ...

    async def emit_event(self, reason: str, message: str, *, is_warning: bool = False) -> None:
        """Tell the resource's readers what happened; what can't be told stops nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingState:
    """What the resource's status says about scaling; changes only when something does."""

    active: Finding
    """Condition ScalingActive: whether the law rules the number of workers."""
    limited: Finding
    """Condition ScalingLimited: whether the pool is smaller than the load asks for."""
    is_faulty: bool
    """Whether scaling is not active although it should be."""
    queued_tasks: int | None
    """Tasks that wait for a worker, in two significant digits, at most ten seconds old."""
    desired_replicas: int | None
    """What is wanted now; None when unknown."""
    law_replicas: int | None
    """What the law would have, in every mode; moves fast, so it is for metrics."""
    reason: str
    """The last change in one sentence, or why the number is held."""
    last_scale_time: datetime | None
    last_decision: Decision | None
    load: Load | None
    """As last read; None while it can't be. Moves all the time, so it is for metrics."""
    workers: ObservedWorkers | None = None
    target: ScalingTarget | None = None


NOTHING_SEEN: Final = ScalingState(
    active=Finding("Starting", "no reading yet", is_true=False),
    limited=WITHIN_BOUNDS,
    is_faulty=False,
    queued_tasks=None,
    desired_replicas=None,
    law_replicas=None,
    reason="",
    last_scale_time=None,
    last_decision=None,
    load=None,
)


class Scaler:
    """Scales the workers of one resource until cancelled."""

    def __init__(
        self,
        *,
        target: ScalingTarget,
        source: LoadSource,
        actuator: WorkerActuator,
        clock: Clock | None = None,
    ) -> None:
        self._target = target
        self._source = source
        self._actuator = actuator
        self._clock = clock or SystemClock()
        self._door = asyncio.Event()
        self._law = LawState()
        self._starts = PodStarts(watched_since=self._clock.utc_now())
        self._held_replicas: int | None = None
        """``spec.replicas`` as the last step wanted it: what differs now, somebody else wrote."""
        self._missed_readings = MISSED_READINGS - 1
        """At the start the first miss counts: nothing has been read at all."""
        self._last_change = ""
        self._queued_at_seconds = float("-inf")
        self.state = NOTHING_SEEN

    def retarget(self, target: ScalingTarget) -> None:
        """Take what the resource asks for now; effective at once."""
        if target != self._target:
            self._target = target
            self._door.set()

    async def run(self) -> None:
        """Step until cancelled; no failure of the load or the cluster ends it."""
        while True:
            self._door.clear()
            await self.step()
            await self._clock.wait(self._door, self.pause_seconds)

    @property
    def pause_seconds(self) -> float:
        """How long to wait until the next step."""
        return POLL_AT_ZERO_SECONDS if self._held_replicas == 0 else POLL_SECONDS

    @property
    def pod_start_seconds(self) -> float:
        """How long nine of ten worker pods take to become ready, as far as is known."""
        return self._starts.p90_seconds(self._target.pod_start_seconds)

    async def step(self) -> None:
        """Look, read, decide and act once."""
        before = self.state
        try:
            async with asyncio.timeout(STEP_DEADLINE_SECONDS):
                await self._step()
                await self._tell_findings(before)
        except Exception as error:  # noqa: BLE001 - the loop's edge: the next step tries again
            message = f"the cluster did not take a step of scaling: {error!r}"
            finding = Finding("ClusterUnavailable", message, is_true=False)
            self.state = replace(self.state, active=finding, is_faulty=True, reason=message)
            if before.active != finding:
                _log.warning("scaling_step_failed", error=repr(error))

    async def _step(self) -> None:
        workers = await self._actuator.observe_workers()
        if workers is None:
            self._held_replicas = None
            self.state = replace(self.state, active=NO_WORKERS, is_faulty=False)
            return
        self._starts = self._starts.with_pods(workers.pods)
        sight = await self._read()
        decision = self._decide(workers, sight)
        state = self._state_after(decision)
        self.state = replace(state, load=sight.load, workers=workers, target=self._target)
        self._show_queued(sight)
        if self._target.mode is ScalingMode.AUTOMATIC:
            await self._steer_cordons(workers, sight.occupancy, decision.goal_replicas)
            await self._move(workers, decision.replicas, sight.rank_drained(workers), decision.why)
        else:
            # The number is not ours to argue with, nor when to go there: nobody waits for drains.
            await self._steer_cordons(workers, sight.occupancy, workers.replicas)
            ranked = pick_any(workers, sight.occupancy)
            await self._move(workers, self._target.fixed_replicas, ranked, "spec.worker.replicas")

    async def _read(self) -> "_Sight":
        try:
            async with asyncio.timeout(READ_DEADLINE_SECONDS):
                load = await self._source.read()
                presences = await self._source.workers()
        except Exception as error:  # noqa: BLE001 - whatever a source raises, the number is held
            self._missed_readings += 1
            if self._missed_readings == MISSED_READINGS:
                _log.warning("load_unavailable", error=repr(error))
            return _Sight(load=None, occupancy=Occupancy({}), error=str(error) or repr(error))
        self._missed_readings = 0
        return _Sight(load=load, occupancy=Occupancy.from_presences(presences), error="")

    def _decide(self, workers: ObservedWorkers, sight: "_Sight") -> Decision:
        """Ask the law, in every mode: its wish is worth knowing where it does not rule."""
        current = workers.replicas if self._held_replicas is None else self._held_replicas
        target = replace(self._target, pod_start_seconds=self.pod_start_seconds)
        if sight.load is None:
            held = hold(current, target, LOAD_UNAVAILABLE, sight.error)
            is_lasting = self._missed_readings >= MISSED_READINGS
            return held if is_lasting else replace(held, active=ACTIVE)
        in_flight_tasks = sight.load.in_flight_tasks
        reading = Reading(
            now_seconds=self._clock.now_seconds(),
            load=sight.load,
            current_replicas=current,
            pods=count_pods(workers, sight.occupancy, in_flight_tasks=in_flight_tasks),
        )
        self._law, decision = decide(self._law, reading, target)
        return decision

    async def _steer_cordons(
        self, workers: ObservedWorkers, occupancy: Occupancy, goal_replicas: int
    ) -> None:
        """Cordon the workers beyond the goal and let the others in."""
        cordons = plan_cordons(workers, occupancy, goal_replicas)
        try:
            async with asyncio.timeout(READ_DEADLINE_SECONDS):
                await self._source.cordon(cordons.cordon)
                await self._source.uncordon(cordons.uncordon)
        except Exception as error:  # noqa: BLE001 - nobody goes undrained; the next step tries again
            _log.warning("cordons_not_written", error=repr(error))
            return
        await self._tell_cordons(cordons)

    async def _tell_cordons(self, cordons: Cordons) -> None:
        """Say who works towards the end, if that is news."""
        if cordons.uncordon:
            message = f"{len(cordons.uncordon)} workers take tasks again"
            await self._actuator.emit_event("WorkersResumed", message)
        if cordons.new_busy_pods:
            pods = ", ".join(cordons.new_busy_pods)
            message = f"{pods}: to go when what runs there has finished"
            await self._actuator.emit_event("WorkersDraining", message)

    async def _move(
        self, workers: ObservedWorkers, replicas: int, ranked: tuple[str, ...], why: str
    ) -> None:
        """Write what leads to ``replicas``, and tell why if anything changed."""
        move = plan_move(workers, replicas, ranked)
        if move.costs:
            await self._actuator.set_deletion_costs(move.costs)
        if move.replicas == workers.replicas:
            self._held_replicas = replicas
            return
        await self._actuator.set_replicas(move.replicas)
        is_restored = replicas == self._held_replicas
        self._held_replicas = replicas
        if is_restored:
            why = "somebody else wrote spec.replicas"
        await self._tell_move(workers.replicas, move.replicas, why, is_restored=is_restored)

    async def _tell_move(self, before: int, after: int, why: str, *, is_restored: bool) -> None:
        reason = "ScaledOut" if after > before else "ScaledIn"
        if is_restored:
            reason = "ReplicasRestored"
        self._last_change = f"{before}→{after}: {why}"
        self.state = replace(
            self.state, reason=self._last_change, last_scale_time=self._clock.utc_now()
        )
        decision = self.state.last_decision
        terms = asdict(decision.terms) if decision and decision.terms else {}
        _log.info("scaled", reason=reason, change=self._last_change, **terms)
        await self._actuator.emit_event(reason, self._last_change)

    def _state_after(self, decision: Decision) -> ScalingState:
        rules = self._target.mode is ScalingMode.AUTOMATIC
        active = decision.active if rules else _NOT_OURS[self._target.mode]
        is_faulty = rules and not active.is_true
        # A load that is not known says nothing new about its limits.
        limited = decision.limited if decision.terms else self.state.limited
        return replace(
            self.state,
            active=active,
            limited=limited if rules else WITHIN_BOUNDS,
            is_faulty=is_faulty,
            desired_replicas=decision.replicas if rules else self._target.fixed_replicas,
            law_replicas=decision.desired_replicas if decision.terms else None,
            reason=f"held: {decision.why}" if is_faulty else self._last_change,
            last_decision=decision,
        )

    def _show_queued(self, sight: "_Sight") -> None:
        """Refresh the number of waiting tasks now and then: status is no metric."""
        now_seconds = self._clock.now_seconds()
        if sight.load and now_seconds - self._queued_at_seconds >= QUEUED_SECONDS:
            self._queued_at_seconds = now_seconds
            self.state = replace(self.state, queued_tasks=to_rounded(sight.load.ready_tasks))

    async def _tell_findings(self, before: ScalingState) -> None:
        """Emit an event when scaling stops, resumes or meets a limit."""
        now = self.state
        if now.is_faulty and now.active.reason != before.active.reason:
            await self._actuator.emit_event(now.active.reason, now.reason, is_warning=True)
        if before.is_faulty and now.active.is_true:
            await self._actuator.emit_event("ScalingResumed", now.active.message)
        if now.limited.is_true and now.limited != before.limited:
            await self._actuator.emit_event(
                now.limited.reason, now.limited.message, is_warning=True
            )


def to_rounded(count: int) -> int:
    """Keep two significant digits, so that a number in status rests while it hardly moves."""
    return round(count, 2 - len(str(count)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """What one reading of the source brought."""

    load: Load | None
    occupancy: Occupancy
    error: str

    def rank_drained(self, workers: ObservedWorkers) -> tuple[str, ...]:
        """Rank the pods that may go; without a load nobody is known to have drained."""
        if self.load is None:
            return ()
        return pick_drained(workers, self.occupancy, in_flight_tasks=self.load.in_flight_tasks)
