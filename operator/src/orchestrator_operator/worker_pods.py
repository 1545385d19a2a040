"""Which worker pods there are, how they fare, and which of them may go.

The autoscaler's advantage is that it sees tasks and pods at once. A ReplicaSet
that shrinks takes pods that are not ready first, then those of the lowest
``pod-deletion-cost``; so the victims are chosen here, in the same order, and the
number of replicas falls by exactly as many.

Before: ``scaling_kubernetes`` reads the pods, ``LoadStore`` says which are busy.
After: ``scaling`` marks the victims and lowers the replicas; the law counts the rest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from orchestrator_core.load import WorkerPresence
from orchestrator_operator.load_memory import PodCounts

VICTIM_COST: Final = -1000
"""Ours alone: other costs on a worker pod were set by somebody else and are left alone."""
REMEMBERED_STARTS: Final = 20
LONGEST_START_SECONDS: Final = 60.0
"""A pod that waited an hour for a node must not stretch the promised latency to an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPod:
    """A worker pod that is not terminating."""

    name: str
    created_at: datetime
    ready_at: datetime | None
    """When it last became ready; None while it is not."""
    is_failing: bool = False
    """Crash-looping, or unable to start."""
    deletion_cost: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether it is ready now."""
        return self.ready_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedWorkers:
    """The worker Deployment and its pods at one instant."""

    replicas: int
    """``spec.replicas`` as it stands, whoever wrote it."""
    is_rolling_out: bool
    """Two ReplicaSets share the replicas, and the choice of victims is not ours."""
    pods: tuple[WorkerPod, ...]

    @property
    def is_settled(self) -> bool:
        """Whether the pods that an earlier scale-in took are gone from the list."""
        return not self.is_rolling_out and len(self.pods) <= self.replicas

    @property
    def missing(self) -> int:
        """Pods that the ReplicaSet has yet to make: lowering the replicas takes these first."""
        return max(0, self.replicas - len(self.pods))


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Busy slots of each worker pod that has reported; zero means idle."""

    busy_slots: dict[str, int]

    @classmethod
    def from_presences(cls, presences: Sequence[WorkerPresence]) -> "Occupancy":
        """Add up the processes of one pod: a restarted container is a second process."""
        busy: dict[str, int] = {}
        for presence in presences:
            busy[presence.pod_name] = busy.get(presence.pod_name, 0) + presence.busy_slots
        return cls(busy)

    def is_busy(self, pod: WorkerPod) -> bool:
        """Whether it is known to work."""
        return self.busy_slots.get(pod.name, 0) > 0

    def may_be_busy(self, pod: WorkerPod, *, in_flight_tasks: int) -> bool:
        """Whether it works, or is ready and has not yet said that it does not."""
        if pod.name in self.busy_slots:
            return self.busy_slots[pod.name] > 0
        return pod.is_ready and in_flight_tasks > 0


def count_pods(
    workers: ObservedWorkers, occupancy: Occupancy, *, in_flight_tasks: int
) -> PodCounts:
    """Count the pods as the law wants them."""
    free = pick_idle(workers, occupancy, in_flight_tasks=in_flight_tasks)
    return PodCounts(
        living=len(workers.pods),
        failing=sum(pod.is_failing for pod in workers.pods),
        removable=workers.missing + len(free),
    )


def pick_idle(
    workers: ObservedWorkers, occupancy: Occupancy, *, in_flight_tasks: int
) -> tuple[str, ...]:
    """Rank the pods that can go without harm: not ready first, then idle, youngest first.

    Empty when a pod that is not ready works: it would go first, whatever its
    cost. Empty as well while an earlier scale-in or a rollout is under way, for
    then costs do not decide, unless nothing at all is in flight.
    """
    working = [pod for pod in workers.pods if occupancy.is_busy(pod)]
    is_quiet = in_flight_tasks == 0 and not working
    if not is_quiet and (not workers.is_settled or any(not pod.is_ready for pod in working)):
        return ()
    free = [
        pod
        for pod in _youngest_first(workers.pods)
        if not occupancy.may_be_busy(pod, in_flight_tasks=in_flight_tasks)
    ]
    return tuple(pod.name for pod in sorted(free, key=lambda pod: pod.is_ready))


def pick_any(workers: ObservedWorkers, occupancy: Occupancy) -> tuple[str, ...]:
    """Rank the pods where the number is not ours to argue with: least busy, youngest first."""

    def reluctance(pod: WorkerPod) -> tuple[bool, int]:
        return pod.is_ready, occupancy.busy_slots.get(pod.name, 0)

    ranked = sorted(_youngest_first(workers.pods), key=reluctance)
    return tuple(pod.name for pod in ranked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What to write to get from one number of workers to another."""

    replicas: int
    """May stop short of what was wanted when fewer pods can go."""
    costs: dict[str, int]
    """Deletion costs to write first: the victims' marks, and marks that took nobody."""


def plan_move(workers: ObservedWorkers, replicas: int, ranked: Sequence[str]) -> Move:
    """Plan the way to ``replicas``, giving up only pods of ``ranked``, the first of it first."""
    surplus = max(0, workers.replicas - replicas)
    victims = ranked[: max(0, surplus - workers.missing)]
    reached = workers.replicas - min(surplus, workers.missing + len(victims))
    costs: dict[str, int] = {}
    # Where all go there is nothing to choose; where pods are still going, their
    # marks are still at work.
    if reached > 0 and len(workers.pods) <= workers.replicas:
        for pod in workers.pods:
            wanted = VICTIM_COST if pod.name in victims else 0
            if pod.deletion_cost != wanted and VICTIM_COST in {pod.deletion_cost, wanted}:
                costs[pod.name] = wanted
    return Move(replicas=max(replicas, reached), costs=costs)


def _youngest_first(pods: Sequence[WorkerPod]) -> list[WorkerPod]:
    return sorted(pods, key=lambda pod: pod.created_at, reverse=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStarts:
    """How long worker pods take from creation to readiness, as measured.

    Only pods created on our watch count: a pod's time of readiness moves when it
    recovers from a failed probe, and would tell an hour for a start of seconds.
    """

    watched_since: datetime
    seconds: tuple[float, ...] = ()
    seen: frozenset[str] = frozenset()

    def with_pods(self, pods: Sequence[WorkerPod]) -> "PodStarts":
        """Add the pods that have become ready since the last look."""
        new = [
            (pod.name, (pod.ready_at - pod.created_at).total_seconds())
            for pod in pods
            if pod.ready_at is not None
            and pod.name not in self.seen
            and pod.created_at >= self.watched_since
        ]
        known = frozenset(pod.name for pod in pods)
        return replace(
            self,
            seconds=(*self.seconds, *(seconds for _, seconds in new))[-REMEMBERED_STARTS:],
            seen=(self.seen & known) | frozenset(name for name, _ in new),
        )

    def p90_seconds(self, default_seconds: float) -> float:
        """Tell the start that nine of ten pods beat; the default until one was seen."""
        if not self.seconds:
            return default_seconds
        rank = math.ceil(0.9 * len(self.seconds)) - 1
        return min(max(sorted(self.seconds)[rank], 1.0), LONGEST_START_SECONDS)
