"""The same done to the database and to the model: what the rules of a state machine stand on.

Before: a test makes a subclass with a database, and with rules.
After: ``task_model`` has said what each answer has to be and what the tables must hold after it.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
)

import observed_tasks
from orchestrator_core.attempts import (
    Claim,
    Failed,
    HandedBack,
    Outcome,
    ResultFile,
    RetryAfter,
    Settlement,
    Succeeded,
)
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.ring_store import RingStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.tasks import ErrorCode, NewTask, TaskId, TaskPriority, UserId
from orchestrator_core.tracing import to_trace_context
from task_model import TaskModel

FAR_SECONDS = 3600.0
"""No example takes so long: what is so far away happens only when a rule lets time pass."""
FEW = 2
MANY = 1_000
NO_SUCH_TASK = TaskId(2**40)
WORKERS = [uuid.UUID(int=number) for number in range(1, 4)]

OUTCOMES: list[Outcome] = [
    Succeeded(ResultFile(content=b"x", content_type="text/plain", file_name="x.txt")),
    Failed(ErrorCode.HANDLER_ERROR, "no"),
    RetryAfter(ErrorCode.TIMEOUT, "slow", 0.0),
    RetryAfter(None, "not now", FAR_SECONDS),
    HandedBack(),
]

LET_A_LEASE_RUN_OUT = """
UPDATE live_tasks SET lease_until = now() - interval '1 s', ring_at = now() - interval '1 s'
WHERE task_id = $1
"""
LET_A_RING_GROW_OLD = "UPDATE live_tasks SET ring_at = now() - interval '1 s' WHERE task_id = $1"
LET_A_TASK_BECOME_DUE = "UPDATE live_tasks SET due_at = now(), ring_at = now() WHERE task_id = $1"
LET_HANDBACKS_BE_USED_UP = "UPDATE live_tasks SET handbacks = $2 WHERE task_id = $1"

places = st.integers(min_value=0, max_value=999)
"""Points at one of what there is at that moment, whatever their number."""
sizes = st.integers(min_value=1, max_value=4)
T = TypeVar("T")


def choose(options: Sequence[T], place: int, size: int = 1) -> list[T]:
    """Return some neighbours, each once."""
    start = place % len(options)
    return [*options[start:], *options[:start]][:size]


class TaskMachine(RuleBasedStateMachine):
    """Does the same to the database and to the model."""

    database: Database
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.store = TaskStore(self.database)
        self.rings = RingStore(self.database)
        self.model = TaskModel()
        self.claims: list[Claim] = []
        self.before: observed_tasks.Observed | None = None

    def run(self, answer: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(answer)

    def execute(self, statement: str, *arguments: object) -> None:
        async def run() -> None:
            async with self.database.answering("let something happen") as connection:
                await connection.execute(statement, *arguments)

        self.run(run())

    def empty_the_tables(self) -> None:
        self.execute("TRUNCATE users CASCADE")
        self.user_id: UserId = self.run(AccountStore(self.database).insert("ada", "hash"))

    @property
    def held(self) -> list[Claim]:
        return [claim for claim in self.claims if self.model.holds(claim)]

    @property
    def leased(self) -> list[Claim]:
        return [each for each in self.held if self.model.tasks[each.task_id].has_live_lease]

    @property
    def lost(self) -> list[Claim]:
        return [claim for claim in self.claims if not self.model.holds(claim)]

    @property
    def not_due(self) -> list[TaskId]:
        return [id_ for id_ in self.model.unfinished() if self.model.tasks[id_].due is None]

    @property
    def rung(self) -> list[TaskId]:
        tasks = self.model.tasks.items()
        return [id_ for id_, task in tasks if task.is_waiting and task.rings > 0]

    def a_task(self, priority: TaskPriority, max_attempts: int, run_at: datetime | None) -> NewTask:
        return NewTask(
            user_id=self.user_id,
            task_type="IMAGE_RESIZE",
            payload="{}",
            max_attempts=max_attempts,
            timeout_seconds=60,
            trace_context=to_trace_context(None),
            priority=priority,
            run_at=run_at,
        )

    def claim(self, hints: Sequence[TaskId], worker: uuid.UUID) -> list[Claim]:
        return self.run(self.store.claim(hints, worker_id=worker, lease_seconds=FAR_SECONDS))

    def begin_attempts(self, claims: Sequence[Claim]) -> None:
        self.claims += claims
        for claim in claims:
            self.model.claim(claim)
            task = self.model.tasks[claim.task_id]
            assert (claim.epoch, claim.attempt) == (task.epoch, task.attempts)

    def take(self, hints: Sequence[TaskId], worker: uuid.UUID = WORKERS[0]) -> None:
        expected = self.model.ranks_to_claim(hints)

        claims = self.claim(hints, worker)

        assert Counter(self.model.rank(each.task_id, hints) for each in claims) == expected
        assert claims == sorted(
            claims, key=lambda each: (-self.model.tasks[each.task_id].priority, each.task_id)
        )
        self.begin_attempts(claims)
        self.check_order(claims)

    def check_order(self, claims: Sequence[Claim]) -> None:
        """What waits still has no higher priority than anything that was taken."""
        taken = [self.model.tasks[each.task_id].priority for each in claims]
        left = [task.priority for task in self.model.tasks.values() if task.is_waiting]
        assert not taken or not left or max(left) <= min(taken)

    def choose_claims(self, claims: Sequence[Claim], place: int, size: int) -> list[Claim]:
        """Return some claims, one a task: a worker never has two of one task under way."""
        return list({each.task_id: each for each in choose(claims, place, size)}.values())

    def settle(self, claims: Sequence[Claim], outcome: Outcome) -> list[bool]:
        expected = self.model.settle(claims, outcome)

        answers = self.run(
            self.store.settle([Settlement(claim=each, outcome=outcome) for each in claims])
        )

        assert answers == expected
        return answers

    def let_a_lease_run_out(self, claim: Claim) -> None:
        self.execute(LET_A_LEASE_RUN_OUT, claim.task_id)
        self.model.expire(claim.task_id)

    @invariant()
    def the_tables_hold_what_the_model_says(self) -> None:
        now = self.run(observed_tasks.observe(self.database))
        observed_tasks.check(now, self.before)
        self.before = now

        assert now.facts == self.model.to_facts()
