"""What the task tables should hold, in plain Python: the engine's rules said a second time.

The model knows no clock. What became due first has the lower number, and what
happened in one transaction has the same one; time passes when a test says so.

Before: a test does something to the stores and to the model.
After: the model says what the answer had to be, and what ``observed_tasks`` must find.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from orchestrator_core.attempts import (
    Claim,
    Failed,
    HandedBack,
    Outcome,
    ProgressReport,
    RetryAfter,
    Succeeded,
)
from orchestrator_core.postgres.task_store import MAX_FREE_HANDBACKS
from orchestrator_core.tasks import ErrorCode, NewTask, TaskId, TaskPriority, TaskStatus


@dataclass(frozen=True, slots=True)
class EventFacts:
    """An event, without its time."""

    seq: int
    epoch: int
    status: TaskStatus
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFacts:
    """A live row, without its times."""

    priority: TaskPriority
    is_due: bool
    lease_token: UUID | None
    has_live_lease: bool
    handbacks: int
    rings: int
    is_to_ring: bool
    """Its ``ring_at`` has come."""
    progress: ProgressReport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """All that the tables say of one task, without its times."""

    status: TaskStatus
    attempts: int
    max_attempts: int
    epoch: int
    last_event: int
    error_code: str | None
    live: LiveFacts | None
    result_epoch: int | None
    events: tuple[EventFacts, ...]


@dataclass(slots=True, kw_only=True)
class ModelTask:
    """One task as it should be."""

    priority: TaskPriority
    max_attempts: int
    due: int | None
    """Its place in the order of becoming due; None: its time has not come."""
    rings: int
    is_to_ring: bool
    status: TaskStatus = TaskStatus.PENDING
    attempts: int = 0
    epoch: int = 0
    handbacks: int = 0
    error_code: str | None = None
    lease_token: UUID | None = None
    has_live_lease: bool = False
    progress: ProgressReport | None = None
    result_epoch: int | None = None
    events: list[EventFacts] = field(default_factory=list)

    @property
    def is_waiting(self) -> bool:
        """Whether any message brings it."""
        return not self.status.is_final and self.due is not None and self.lease_token is None

    @property
    def is_claimable(self) -> bool:
        """Whether a message that names it brings it."""
        return (
            not self.status.is_final
            and self.due is not None
            and not self.has_live_lease
            and self.attempts < self.max_attempts
        )

    def tell(self, kind: str) -> None:
        """Append an event."""
        self.events.append(EventFacts(len(self.events) + 1, self.epoch, self.status, kind))

    def end(self, status: TaskStatus, kind: str, *, code: str | None) -> None:
        """Give it its verdict."""
        self.status, self.error_code = status, code
        self.lease_token, self.has_live_lease = None, False
        self.tell(kind)

    def to_facts(self) -> TaskFacts:
        """Return what the tables should say."""
        live = LiveFacts(
            priority=self.priority,
            is_due=self.due is not None,
            lease_token=self.lease_token,
            has_live_lease=self.has_live_lease,
            handbacks=self.handbacks,
            rings=self.rings,
            is_to_ring=self.is_to_ring,
            progress=self.progress,
        )
        return TaskFacts(
            status=self.status,
            attempts=self.attempts,
            max_attempts=self.max_attempts,
            epoch=self.epoch,
            last_event=len(self.events),
            error_code=self.error_code,
            live=None if self.status.is_final else live,
            result_epoch=self.result_epoch,
            events=tuple(self.events),
        )


@dataclass(frozen=True, slots=True)
class Rank:
    """Where a task stands among those that a claim may take; equal ones are as good."""

    is_hinted: bool
    priority: TaskPriority
    due: int | None


class TaskModel:
    """Every task of a database as it should be."""

    def __init__(self) -> None:
        self.tasks: dict[TaskId, ModelTask] = {}
        self._moments: Iterator[int] = itertools.count()

    def to_facts(self) -> dict[TaskId, TaskFacts]:
        """Return what the tables should say."""
        return {task_id: task.to_facts() for task_id, task in self.tasks.items()}

    def holds(self, claim: Claim) -> bool:
        """Whether the claim's fence holds still."""
        task = self.tasks[claim.task_id]
        return task.lease_token == claim.lease_token

    def unfinished(self) -> list[TaskId]:
        """Return the tasks without a verdict."""
        return [task_id for task_id, task in self.tasks.items() if not task.status.is_final]

    def keep(self, task_ids: Sequence[TaskId], tasks: Sequence[NewTask], *, is_due: bool) -> None:
        """Submit tasks in one transaction, all of them due or none."""
        moment = next(self._moments)
        for task_id, new in zip(task_ids, tasks, strict=True):
            task = ModelTask(
                priority=new.priority,
                max_attempts=new.max_attempts,
                due=moment if is_due else None,
                rings=int(is_due),
                is_to_ring=False,
            )
            task.tell("ACCEPTED")
            self.tasks[task_id] = task

    def ranks_to_claim(self, hints: Sequence[TaskId]) -> "Counter[Rank]":
        """Return what the best claim for these messages takes.

        Each message brings its own task, if that can be had; the others bring what has waited
        longest. Then whatever waits with a higher priority than one of those takes its place.
        """
        named = set(hints)
        hinted = self._in_order(id_ for id_ in named if self._is_claimable(id_))
        waiting = self._in_order(
            id_ for id_, task in self.tasks.items() if task.is_waiting and id_ not in named
        )
        taken, rest = hinted, waiting
        while rest and len(taken) < len(hints):
            taken, rest = [*taken, rest[0]], rest[1:]
        taken = self._with_better(taken, rest, named)
        return Counter(self.rank(id_, hints) for id_ in taken)

    def _with_better(
        self, taken: list[TaskId], rest: Sequence[TaskId], named: set[TaskId]
    ) -> list[TaskId]:
        for better in rest:
            # Only named ones may give way: of those that wait the best are in already.
            worst = max((id_ for id_ in taken if id_ in named), key=self._turn, default=None)
            if worst is None or self.tasks[worst].priority >= self.tasks[better].priority:
                break
            taken = [*(id_ for id_ in taken if id_ != worst), better]
        return taken

    def rank(self, task_id: TaskId, hints: Sequence[TaskId]) -> Rank:
        """Return where a task stands for a claim with these messages."""
        task = self.tasks[task_id]
        return Rank(task_id in hints, task.priority, task.due)

    def _is_claimable(self, task_id: TaskId) -> bool:
        return task_id in self.tasks and self.tasks[task_id].is_claimable

    def _in_order(self, task_ids: Iterable[TaskId]) -> list[TaskId]:
        return sorted(task_ids, key=self._turn)

    def _turn(self, task_id: TaskId) -> tuple[int, int]:
        task = self.tasks[task_id]
        assert task.due is not None, f"task {task_id} is not due"
        return -task.priority, task.due

    def claim(self, claim: Claim) -> None:
        """Begin an attempt, as ``claim`` says."""
        task = self.tasks[claim.task_id]
        task.status = TaskStatus.PROCESSING
        task.epoch += 1
        task.attempts += 1
        task.lease_token, task.has_live_lease = claim.lease_token, True
        task.rings, task.is_to_ring = 0, False
        task.progress = None
        task.tell("CLAIMED")

    def extend(self, claims: Sequence[Claim]) -> frozenset[TaskId]:
        """Extend leases; return those that are lost."""
        for claim in filter(self.holds, claims):
            task = self.tasks[claim.task_id]
            task.has_live_lease, task.is_to_ring = True, False
        return self._lost(claims)

    def tend(self, claims: Sequence[Claim], progress: ProgressReport | None) -> frozenset[TaskId]:
        """Report the same progress of some attempts; return the tasks whose lease is lost."""
        if progress is not None:
            for claim in filter(self.holds, claims):
                self.tasks[claim.task_id].progress = progress
        return self._lost(claims)

    def _lost(self, claims: Sequence[Claim]) -> frozenset[TaskId]:
        return frozenset(claim.task_id for claim in claims if not self.holds(claim))

    def settle(self, claims: Sequence[Claim], outcome: Outcome) -> list[bool]:
        """Settle some claims in one transaction; return which were believed."""
        moment = next(self._moments)
        answers = [self.holds(claim) for claim in claims]
        for claim in filter(self.holds, claims):
            _settle(self.tasks[claim.task_id], outcome, moment)
        return answers

    def cancel(self, task_id: TaskId) -> bool:
        """Cancel a task; return whether there was something to cancel."""
        task = self.tasks[task_id]
        if task.status.is_final:
            return False
        task.end(TaskStatus.CANCELLED, "CANCELLED", code=ErrorCode.CANCELLED)
        return True

    def expire(self, task_id: TaskId) -> None:
        """Let time pass until the task's lease has run out."""
        self.tasks[task_id].has_live_lease = False
        self.tasks[task_id].is_to_ring = True

    def make_due(self, task_id: TaskId) -> None:
        """Let time pass until the task is due."""
        self.tasks[task_id].due = next(self._moments)
        self.tasks[task_id].is_to_ring = True

    def fail_exhausted(self) -> set[TaskId]:
        """End what lost the lease of its last attempt."""
        lost = {
            task_id
            for task_id, task in self.tasks.items()
            if task.lease_token is not None
            and not task.has_live_lease
            and task.attempts >= task.max_attempts
        }
        for task_id in lost:
            self.tasks[task_id].end(TaskStatus.FAILED, "WORKER_LOST", code=ErrorCode.WORKER_LOST)
        return lost

    def make_old(self, task_id: TaskId) -> None:
        """Let time pass until a task that rang, and still waits, might ring again."""
        self.tasks[task_id].is_to_ring = True

    def take_first_rings(self) -> set[TaskId]:
        """Ring for what became due or lost its lease; such a lease ends here."""
        taken = {
            task_id
            for task_id, task in self.tasks.items()
            if not task.status.is_final
            and task.rings == 0
            and task.is_to_ring
            and (task.lease_token is None or task.attempts < task.max_attempts)
        }
        for task_id in taken:
            task = self.tasks[task_id]
            task.lease_token, task.progress = None, None
        self.ring_again(taken)
        return taken

    def due_repeats(self) -> set[TaskId]:
        """Return what waits and rang long ago."""
        return {
            task_id
            for task_id, task in self.tasks.items()
            if task.is_waiting and task.rings > 0 and task.is_to_ring
        }

    def latest_running(self, priority: TaskPriority) -> int:
        """Return when the latest of this priority became due that runs; -1: none does."""
        running = (
            task.due
            for task in self.tasks.values()
            if task.has_live_lease and task.priority == priority and task.due is not None
        )
        return max(running, default=-1)

    def ring_again(self, task_ids: Iterable[TaskId]) -> None:
        """Ring for these."""
        for task_id in task_ids:
            self.tasks[task_id].rings += 1
            self.tasks[task_id].is_to_ring = False


def _settle(task: ModelTask, outcome: Outcome, moment: int) -> None:
    match outcome:
        case Succeeded():
            task.result_epoch = task.epoch
            task.end(TaskStatus.COMPLETED, "COMPLETED", code=None)
        case RetryAfter(code, _, delay) if task.attempts < task.max_attempts:
            task.error_code = code
            _postpone(task, "RETRY", due=moment if delay <= 0 else None)
        case Failed(code, _) | RetryAfter(code, _, _):
            final = code or ErrorCode.ATTEMPTS_EXHAUSTED
            task.end(TaskStatus.FAILED, "FAILED", code=final)
        case HandedBack() if task.handbacks < MAX_FREE_HANDBACKS:
            task.attempts -= 1
            task.handbacks += 1
            _postpone(task, "HANDED_BACK", due=moment)
        case HandedBack() if task.attempts < task.max_attempts:
            task.handbacks += 1
            _postpone(task, "HANDED_BACK", due=moment)
        case HandedBack():
            task.end(TaskStatus.FAILED, "FAILED", code=ErrorCode.ATTEMPTS_EXHAUSTED)


def _postpone(task: ModelTask, kind: str, *, due: int | None) -> None:
    task.lease_token, task.has_live_lease = None, False
    task.due = due
    task.rings, task.is_to_ring = 0, due is not None
    task.progress = None
    task.tell(kind)
