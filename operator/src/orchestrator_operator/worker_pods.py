"""Which worker pods there are, how they fare, and which of them may go.

The autoscaler's advantage is that it sees tasks and pods at once. A pod goes in
two steps. First its processes are cordoned: they finish what they run and claim
nothing new. When they have said that they rest and run nothing, the pod has
drained, and only then the number of replicas falls. A ReplicaSet that shrinks
takes pods that are not ready first, then those of the lowest
``pod-deletion-cost``; so the victims are chosen here in the same order, and the
number falls by exactly as many.

Who is cordoned stands in Postgres alone: an operator that restarts reads it, and
lifts what it does not need.

Before: ``scaling_kubernetes`` reads the pods, ``LoadStore`` says what they run.
After: ``scaling`` writes the cordons, marks the drained and lowers the replicas.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

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
    def is_shrinking(self) -> bool:
        """Whether pods that an earlier scale-in took are still in the list."""
        return not self.is_rolling_out and len(self.pods) > self.replicas

    @property
    def is_settled(self) -> bool:
        """Whether the pods are those that the Deployment is to have, but for missing ones."""
        return not self.is_rolling_out and not self.is_shrinking

    @property
    def missing(self) -> int:
        """Pods that the ReplicaSet has yet to make: lowering the replicas takes these first."""
        return max(0, self.replicas - len(self.pods))


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What the worker processes of each pod do; a pod that is silent and idle is missing."""

    processes: dict[str, tuple[WorkerPresence, ...]]
    """By name of pod. A restarted container is a second process, the first ages away."""

    @classmethod
    def from_presences(cls, presences: Sequence[WorkerPresence]) -> "Occupancy":
        """Sort processes by pod."""
        processes: dict[str, tuple[WorkerPresence, ...]] = {}
        for presence in presences:
            processes[presence.pod_name] = (*processes.get(presence.pod_name, ()), presence)
        return cls(processes)

    def of(self, pod: WorkerPod) -> tuple[WorkerPresence, ...]:
        """Return the processes of a pod; none of one that is silent and holds no lease."""
        return self.processes.get(pod.name, ())

    def busy_slots(self, pod: WorkerPod) -> int:
        """Return how many tasks a pod is known to run."""
        return sum(process.busy_slots for process in self.of(pod))

    def is_cordoned(self, pod: WorkerPod) -> bool:
        """Whether it was asked to take nothing new."""
        return any(process.is_cordoned for process in self.of(pod))

    def has_drained(self, pod: WorkerPod, *, in_flight_tasks: int) -> bool:
        """Whether it runs nothing and will run nothing.

        One that says nothing has nothing only if it is not ready, or nobody has.
        """
        processes = self.of(pod)
        if not processes:
            return not pod.is_ready or in_flight_tasks == 0
        return all(process.is_resting and process.busy_slots == 0 for process in processes)


def count_pods(
    workers: ObservedWorkers, occupancy: Occupancy, *, in_flight_tasks: int
) -> PodCounts:
    """Count the pods as the law wants them."""
    drained = pick_drained(workers, occupancy, in_flight_tasks=in_flight_tasks)
    return PodCounts(
        living=len(workers.pods),
        failing=sum(pod.is_failing for pod in workers.pods),
        removable=workers.missing + len(drained),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cordons:
    """Who is to take nothing new, and who may again."""

    cordon: tuple[UUID, ...] = ()
    """Processes to cordon, or whose cordon to renew."""
    uncordon: tuple[UUID, ...] = ()
    """Processes whose cordon to lift."""
    new_busy_pods: tuple[str, ...] = ()
    """Pods that are cordoned for the first time while they work: they take a while."""


def plan_cordons(workers: ObservedWorkers, occupancy: Occupancy, goal_replicas: int) -> Cordons:
    """Choose who drains so that ``goal_replicas`` are left.

    First those that a ReplicaSet would take first, then those that drain already, then those
    with the fewest tasks, the youngest first. During a rollout nobody new is chosen: its pods
    go anyway. While an earlier scale-in takes its pods, those who drain go on with it.
    """

    def reluctance(pod: WorkerPod) -> tuple[bool, bool, int]:
        return pod.is_ready, not occupancy.is_cordoned(pod), occupancy.busy_slots(pod)

    draining = [pod for pod in workers.pods if occupancy.is_cordoned(pod)]
    candidates = workers.pods if workers.is_settled else draining
    surplus = max(0, workers.replicas - goal_replicas - workers.missing)
    count = len(draining) if workers.is_shrinking else surplus
    victims = sorted(_youngest_first(candidates), key=reluctance)[:count]
    others = [pod for pod in workers.pods if pod not in victims]
    return Cordons(
        cordon=tuple(process.worker_id for pod in victims for process in occupancy.of(pod)),
        uncordon=tuple(
            process.worker_id
            for pod in others
            for process in occupancy.of(pod)
            if process.is_cordoned
        ),
        new_busy_pods=tuple(
            pod.name
            for pod in victims
            if occupancy.busy_slots(pod) > 0 and not occupancy.is_cordoned(pod)
        ),
    )


def pick_drained(
    workers: ObservedWorkers, occupancy: Occupancy, *, in_flight_tasks: int
) -> tuple[str, ...]:
    """Rank the pods that can go without harm: not ready first, then youngest first.

    Empty when a pod that is not ready may still work: it would go first, whatever
    its cost. Empty as well while an earlier scale-in or a rollout is under way, for
    then costs do not decide, unless nothing at all is in flight: then all can go.
    """
    ranked = sorted(_youngest_first(workers.pods), key=lambda pod: pod.is_ready)
    if not workers.is_settled:
        is_quiet = in_flight_tasks == 0 and not any(map(occupancy.busy_slots, ranked))
        return tuple(pod.name for pod in ranked) if is_quiet else ()
    drained = [pod for pod in ranked if occupancy.has_drained(pod, in_flight_tasks=in_flight_tasks)]
    if any(not pod.is_ready and pod not in drained for pod in ranked):
        return ()
    return tuple(pod.name for pod in drained)


def pick_any(workers: ObservedWorkers, occupancy: Occupancy) -> tuple[str, ...]:
    """Rank the pods where the number is not ours to argue with: least busy, youngest first."""

    def reluctance(pod: WorkerPod) -> tuple[bool, int]:
        return pod.is_ready, occupancy.busy_slots(pod)

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
