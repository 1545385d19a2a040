"""A pool of workers in seconds instead of hours, to compare scaling rules.

One tick is one second: tasks arrive at random, workers take them, a rule looks
and changes the number of workers. The same seed gives the same arrivals and
service times to every rule. It is a model: a pod always starts in as many
seconds, a claim takes no time, and nothing else in the cluster moves.

Before: nothing; the load comes from a ``Scenario``.
After: the regression test of the law prints the outcomes side by side.
"""

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from orchestrator_core.load import Load, WorkerPresence
from orchestrator_operator.autoscaling import LawState, Reading, ScalingTarget, decide
from orchestrator_operator.worker_pods import (
    ObservedWorkers,
    Occupancy,
    WorkerPod,
    count_pods,
    pick_drained,
    plan_cordons,
    plan_move,
)

SLOTS_PER_POD: Final = 4
BOOT_SECONDS: Final = 8
"""What a law assumes until it has measured; ``simulate`` takes what was measured."""
GRACE_SECONDS: Final = 30
"""After it a terminating pod is killed, Kubernetes' default."""
MAX_REPLICAS: Final = 40
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A load: how many tasks a second arrive and how long each takes."""

    name: str
    seconds: int
    arrivals_per_second: Callable[[int], float]
    service_seconds: Callable[[random.Random, int], float]


@dataclass(slots=True)
class Task:
    """A task on its way."""

    arrived_at: int
    service_seconds: float
    ends_at: float = 0.0


@dataclass(slots=True)
class Worker:
    """A pod with slots."""

    number: int
    ready_at: int
    created_at: int
    tasks: list[Task] = field(default_factory=list)
    terminating_since: int | None = None
    is_cordoned: bool = False

    def is_ready(self, now: int) -> bool:
        """Whether it has started and is not on its way out."""
        return self.terminating_since is None and now >= self.ready_at

    def takes_tasks(self, now: int) -> bool:
        """Whether it may claim; a cordon is heard at once."""
        return self.is_ready(now) and not self.is_cordoned


@dataclass(slots=True)
class Pool:
    """The state of the model; a rule reads it and answers with a ``Step``."""

    boot_seconds: int = BOOT_SECONDS
    now: int = 0
    queue: deque[Task] = field(default_factory=deque)
    workers: list[Worker] = field(default_factory=list)
    arrivals_total: int = 0
    completions_total: int = 0
    busy_seconds_total: float = 0.0

    @property
    def living(self) -> list[Worker]:
        """Workers that are not terminating."""
        return [worker for worker in self.workers if worker.terminating_since is None]

    @property
    def in_flight(self) -> int:
        """Tasks being worked on, by terminating workers too."""
        return sum(len(worker.tasks) for worker in self.workers)

    def load(self) -> Load:
        """Read it as the operator would; a task's time counts when it has ended."""
        return Load(
            ready_tasks=len(self.queue),
            in_flight_tasks=self.in_flight,
            scheduled_tasks=0,
            oldest_ready_age_seconds=self.now - self.queue[0].arrived_at if self.queue else 0.0,
            arrivals_total=self.arrivals_total,
            completions_total=self.completions_total,
            busy_seconds_total=self.busy_seconds_total,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What a rule wants: a number, and who goes first when it is lower; nobody means chance."""

    replicas: int
    victims: tuple[int, ...] | None = None


class Rule(Protocol):
    """Looks once a second; None leaves the pool as it is."""

    def __call__(self, pool: Pool) -> Step | None:
        """Look at the pool."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run came to."""

    wait_p50_seconds: float
    wait_p99_seconds: float
    pod_hours: float
    killed_tasks: int
    changes: int
    peak_replicas: int
    unfinished_tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The pool at one second."""

    workers: int
    """All that are there, those that start and those that go."""
    waiting_tasks: int


def simulate(
    scenario: Scenario,
    rule: Rule,
    *,
    seed: int,
    boot_seconds: int = BOOT_SECONDS,
    looks: list[Look] | None = None,
) -> Result:
    """Run a scenario under a rule, from zero workers.

    Args:
        scenario: what comes.
        rule: how many workers there are.
        seed: of all chance.
        boot_seconds: from a pod's creation to readiness.
        looks: gets one look a second.
    """
    arrivals, chance = random.Random(seed), random.Random(seed + 1)
    pool = Pool(boot_seconds=boot_seconds)
    waits: list[int] = []
    pod_seconds = changes = peak = killed = 0
    for now in range(scenario.seconds):
        pool.now = now
        _arrive(pool, scenario, arrivals)
        _finish(pool)
        _claim(pool, waits)
        killed += _bury(pool)
        pod_seconds += len(pool.workers)
        peak = max(peak, len(pool.workers))
        if looks is not None:
            looks.append(Look(workers=len(pool.workers), waiting_tasks=len(pool.queue)))
        step = rule(pool)
        if step is not None and step.replicas != len(pool.living):
            changes += 1
            _resize(pool, step, chance)
    waits.sort()
    return Result(
        wait_p50_seconds=_quantile(waits, 0.5),
        wait_p99_seconds=_quantile(waits, 0.99),
        pod_hours=pod_seconds / 3600,
        killed_tasks=killed,
        changes=changes,
        peak_replicas=peak,
        unfinished_tasks=len(pool.queue),
    )


class LawRule:
    """This project's law, with its own choice of victims, every two seconds."""

    def __init__(self, target: ScalingTarget | None = None) -> None:
        self._target = target or ScalingTarget(
            max_replicas=MAX_REPLICAS, slots_per_pod=SLOTS_PER_POD
        )
        self._law = LawState()
        self._next_look = 0

    def __call__(self, pool: Pool) -> Step | None:
        """Decide as the scaling loop does."""
        if pool.now < self._next_look:
            return None
        workers, occupancy = _observe(pool)
        in_flight = pool.in_flight
        reading = Reading(
            now_seconds=float(pool.now),
            load=pool.load(),
            current_replicas=workers.replicas,
            pods=count_pods(workers, occupancy, in_flight_tasks=in_flight),
        )
        self._law, decision = decide(self._law, reading, self._target)
        cordons = plan_cordons(workers, occupancy, decision.goal_replicas)
        for worker in pool.living:
            worker.is_cordoned = UUID(int=worker.number) in cordons.cordon
        ranked = pick_drained(workers, occupancy, in_flight_tasks=in_flight)
        move = plan_move(workers, decision.replicas, ranked)
        self._next_look = pool.now + (2 if move.replicas else 1)
        return Step(move.replicas, tuple(int(name) for name in ranked))


def _observe(pool: Pool) -> tuple[ObservedWorkers, Occupancy]:
    pods = tuple(
        WorkerPod(
            name=str(worker.number),
            created_at=EPOCH + timedelta(seconds=worker.created_at),
            ready_at=EPOCH if worker.is_ready(pool.now) else None,
        )
        for worker in pool.living
    )
    presences = [
        WorkerPresence(
            worker_id=UUID(int=worker.number),
            pod_name=str(worker.number),
            slots=SLOTS_PER_POD,
            busy_slots=len(worker.tasks),
            is_cordoned=worker.is_cordoned,
            is_resting=worker.is_cordoned,
            started_at=EPOCH,
        )
        for worker in pool.living
        if worker.is_ready(pool.now)
    ]
    observed = ObservedWorkers(replicas=len(pods), is_rolling_out=False, pods=pods)
    return observed, Occupancy.from_presences(presences)


def _arrive(pool: Pool, scenario: Scenario, chance: random.Random) -> None:
    """Poisson arrivals of this second, by Knuth's method in pieces that do not underflow."""
    expected, arrived = scenario.arrivals_per_second(pool.now), 0
    while expected > 0:
        piece = min(expected, 100.0)
        expected -= piece
        limit, product = math.exp(-piece), chance.random()
        while product > limit:
            arrived += 1
            product *= chance.random()
    for _ in range(arrived):
        pool.queue.append(Task(pool.now, scenario.service_seconds(chance, pool.now)))
    pool.arrivals_total += arrived


def _finish(pool: Pool) -> None:
    for worker in pool.workers:
        ended = [task for task in worker.tasks if task.ends_at <= pool.now]
        if ended:
            worker.tasks = [task for task in worker.tasks if task.ends_at > pool.now]
            pool.completions_total += len(ended)
            pool.busy_seconds_total += sum(task.service_seconds for task in ended)


def _claim(pool: Pool, waits: list[int]) -> None:
    for worker in pool.workers:
        if not worker.takes_tasks(pool.now):
            continue
        while pool.queue and len(worker.tasks) < SLOTS_PER_POD:
            task = pool.queue.popleft()
            task.ends_at = pool.now + task.service_seconds
            waits.append(pool.now - task.arrived_at)
            worker.tasks.append(task)


def _bury(pool: Pool) -> int:
    """End terminating workers that are empty or out of grace; their tasks start over."""
    killed = 0
    staying: list[Worker] = []
    for worker in pool.workers:
        since = worker.terminating_since
        if since is None or (worker.tasks and pool.now < since + GRACE_SECONDS):
            staying.append(worker)
            continue
        killed += len(worker.tasks)
        pool.queue.extendleft(worker.tasks)
    pool.workers = staying
    return killed


def _resize(pool: Pool, step: Step, chance: random.Random) -> None:
    living = pool.living
    first = max((worker.number for worker in pool.workers), default=0) + 1
    for number in range(first, first + step.replicas - len(living)):
        ready_at = pool.now + pool.boot_seconds
        pool.workers.append(Worker(number=number, ready_at=ready_at, created_at=pool.now))
    surplus = len(living) - step.replicas
    if surplus <= 0:
        return
    if step.victims is None:
        chosen = chance.sample(living, surplus)
    else:
        by_number = {worker.number: worker for worker in living}
        chosen = [by_number[number] for number in step.victims[:surplus]]
    for worker in chosen:
        worker.terminating_since = pool.now


def _quantile(ordered: list[int], share: float) -> float:
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else 0.0
