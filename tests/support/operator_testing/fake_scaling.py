"""A clock that jumps, a load from a script, and a Deployment in memory.

The Deployment behaves like the real one where it matters to scaling: new pods
take a while to become ready, and a lower number takes pods that are not ready
first, then those of the lowest deletion cost.

Before: tests of the scaling loop set the scene.
After: they read what was written, and when.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from orchestrator_core.load import Load, WorkerPresence
from orchestrator_operator.scaling import Scaler, ScalingTarget
from orchestrator_operator.worker_pods import ObservedWorkers, WorkerPod

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Time passes only while the loop waits; ``finished`` is set when it is up."""

    def __init__(self, *, until_seconds: float = float("inf")) -> None:
        self._until_seconds = until_seconds
        self.seconds = 0.0
        self.finished = asyncio.Event()

    def now_seconds(self) -> float:
        """Tell monotonic time."""
        return self.seconds

    def utc_now(self) -> datetime:
        """Tell the time of day."""
        return EPOCH + timedelta(seconds=self.seconds)

    async def wait(self, door: asyncio.Event, timeout_seconds: float) -> None:
        """Jump to the end of the wait, or stop for good when time is up."""
        if self.seconds >= self._until_seconds:
            self.finished.set()
            await door.wait()
            return
        self.seconds += timeout_seconds
        await asyncio.sleep(0)


@dataclass(slots=True)
class FakeLoadSource:
    """Answers with what the test set, or raises it."""

    load: Load
    clock: FakeClock
    busy_slots: dict[str, int] = field(default_factory=dict)
    """Of the pods that report; the others have not reported yet."""
    error: Exception | None = None
    script: Callable[[float], Load] | None = None
    """The load by time, instead of ``load``."""
    cordoned: set[str] = field(default_factory=set)
    """Pods that were asked to take nothing new; they rest from then on."""
    deaf: set[str] = field(default_factory=set)
    """Pods that have not heard of their cordon yet."""
    cordon_error: Exception | None = None

    async def read(self) -> Load:
        """Return the load of now."""
        if self.error is not None:
            raise self.error
        return self.script(self.clock.seconds) if self.script else self.load

    async def workers(self) -> tuple[WorkerPresence, ...]:
        """Return a process for each pod that reports."""
        return tuple(
            WorkerPresence(
                worker_id=_worker_id(name),
                pod_name=name,
                slots=4,
                busy_slots=busy,
                is_cordoned=name in self.cordoned,
                is_resting=name in self.cordoned - self.deaf,
                started_at=EPOCH,
            )
            for name, busy in self.busy_slots.items()
        )

    async def cordon(self, worker_ids: Collection[UUID]) -> None:
        """Let pods rest."""
        if worker_ids and self.cordon_error is not None:
            raise self.cordon_error
        self.cordoned |= {name for name in self.busy_slots if _worker_id(name) in worker_ids}

    async def uncordon(self, worker_ids: Collection[UUID]) -> None:
        """Let pods work."""
        self.cordoned -= {name for name in self.busy_slots if _worker_id(name) in worker_ids}


def _worker_id(pod_name: str) -> UUID:
    return uuid5(NAMESPACE_OID, pod_name)


@dataclass(slots=True)
class FakeWorkers:
    """The worker Deployment."""

    clock: FakeClock
    replicas: int = 0
    pods: list[WorkerPod] = field(default_factory=list)
    boot_seconds: float = 4.0
    exists: bool = True
    is_rolling_out: bool = False
    error: Exception | None = None
    write_error: Exception | None = None
    events: list[tuple[str, str]] = field(default_factory=list)
    written: list[tuple[float, int]] = field(default_factory=list)
    """When ``spec.replicas`` was written, and what."""
    removed: list[str] = field(default_factory=list)
    _born: int = 0

    def __post_init__(self) -> None:
        """Begin with ready pods, the first one the oldest."""
        self.converge()
        self.pods = [
            replace(pod, created_at=born, ready_at=born)
            for pod, age_seconds in zip(self.pods, range(self.replicas, 0, -1), strict=True)
            if (born := EPOCH - timedelta(seconds=age_seconds))
        ]

    async def observe_workers(self) -> ObservedWorkers | None:
        """Look, as the cluster is at this moment."""
        if self.error is not None:
            raise self.error
        if not self.exists:
            return None
        self._become_ready()
        return ObservedWorkers(
            replicas=self.replicas, is_rolling_out=self.is_rolling_out, pods=tuple(self.pods)
        )

    async def set_replicas(self, replicas: int) -> None:
        """Write the number; the ReplicaSet follows at once."""
        if self.write_error is not None:
            raise self.write_error
        self.written.append((self.clock.seconds, replicas))
        self.replicas = replicas
        self.converge()

    async def set_deletion_costs(self, costs: dict[str, int]) -> None:
        """Mark pods."""
        self.pods = [
            replace(pod, deletion_cost=costs.get(pod.name, pod.deletion_cost)) for pod in self.pods
        ]

    async def emit_event(self, reason: str, message: str, *, is_warning: bool = False) -> None:
        """Keep it; a warning's reason bears an exclamation mark."""
        self.events.append((f"{reason}!" if is_warning else reason, message))

    def converge(self) -> None:
        """Make or take pods as a ReplicaSet does."""
        while len(self.pods) < self.replicas:
            self._born += 1
            name = f"worker-{self._born}"
            self.pods.append(WorkerPod(name=name, created_at=self.clock.utc_now(), ready_at=None))
        doomed = sorted(self.pods, key=lambda pod: (pod.is_ready, pod.deletion_cost))
        for pod in doomed[: len(self.pods) - self.replicas]:
            self.removed.append(pod.name)
            self.pods.remove(pod)

    def _become_ready(self) -> None:
        boot, now = timedelta(seconds=self.boot_seconds), self.clock.utc_now()
        self.pods = [
            replace(pod, ready_at=pod.created_at + boot)
            if pod.ready_at is None and not pod.is_failing and now >= pod.created_at + boot
            else pod
            for pod in self.pods
        ]


def a_load(ready: int = 0, in_flight: int = 0, arrivals: int = 0, scheduled: int = 0) -> Load:
    """Return a load with nothing finished yet."""
    return Load(
        ready_tasks=ready,
        in_flight_tasks=in_flight,
        scheduled_tasks=scheduled,
        oldest_ready_age_seconds=0.0,
        arrivals_total=arrivals,
        completions_total=0,
        busy_seconds_total=0.0,
    )


class ScalingScene:
    """A scaler with everything around it in memory."""

    def __init__(
        self,
        *,
        replicas: int = 0,
        load: Load | None = None,
        until_seconds: float = float("inf"),
        **target: Any,
    ) -> None:
        self.clock = FakeClock(until_seconds=until_seconds)
        self.source = FakeLoadSource(load=load or a_load(), clock=self.clock)
        self.workers = FakeWorkers(clock=self.clock, replicas=replicas)
        self.target = replace(ScalingTarget(), **target)
        self.scaler = Scaler(
            target=self.target, source=self.source, actuator=self.workers, clock=self.clock
        )
        self.all_report(busy=0)

    def all_report(self, *, busy: int) -> None:
        """Let every pod of now say that it has this many busy slots."""
        self.source.busy_slots = {pod.name: busy for pod in self.workers.pods}

    async def step(self, *, times: int = 1) -> None:
        """Step and let the pause pass."""
        for _ in range(times):
            await self.scaler.step()
            self.clock.seconds += self.scaler.pause_seconds

    async def run(self) -> None:
        """Run the loop until the time is up."""
        running = asyncio.create_task(self.scaler.run())
        await self.clock.finished.wait()
        running.cancel()
        await asyncio.wait([running])

    @property
    def reasons(self) -> list[str]:
        """Return the reasons of the events so far."""
        return [reason for reason, _ in self.workers.events]
