"""What the task tables hold, and what must be true of it whatever has happened.

Before: a test has moved tasks.
After: ``observe`` reads all of them for a comparison with ``task_model``; ``check`` needs no model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from orchestrator_core.attempts import ProgressReport
from orchestrator_core.postgres.database import Database
from orchestrator_core.tasks import ALLOWED_MOVES, TaskId, TaskPriority, TaskStatus
from task_model import EventFacts, LiveFacts, TaskFacts

_TASKS = """
SELECT t.id, t.status, t.attempts, t.max_attempts, t.epoch, t.last_event, t.error_code,
       to_jsonb(t)::text AS whole, r.epoch AS result_epoch,
       l.task_id IS NOT NULL AS is_live, l.priority, l.due_at <= now() AS is_due, l.lease_token,
       coalesce(l.lease_until > now(), false) AS has_live_lease, l.handbacks, l.rings,
       l.ring_at <= now() AS is_to_ring, l.progress, l.progress_message
FROM tasks t
LEFT JOIN live_tasks l ON l.task_id = t.id
LEFT JOIN task_results r ON r.task_id = t.id
ORDER BY t.id
"""
_EVENTS = "SELECT task_id, seq, epoch, status, kind FROM task_events ORDER BY task_id, seq"


@dataclass(frozen=True, slots=True)
class Observed:
    """The tables at one moment."""

    facts: Mapping[TaskId, TaskFacts]
    rows: Mapping[TaskId, str]
    """The whole row of each task."""


async def observe(database: Database) -> Observed:
    """Read everything; for the few tasks of a test."""
    async with database.answering("observe tasks") as connection:
        tasks = await connection.fetch(_TASKS)
        events = await connection.fetch(_EVENTS)
    told: dict[int, list[EventFacts]] = {row["id"]: [] for row in tasks}
    for row in events:
        status = TaskStatus(row["status"])
        told[row["task_id"]].append(EventFacts(row["seq"], row["epoch"], status, row["kind"]))
    return Observed(
        {row["id"]: _to_facts(row, told[row["id"]]) for row in tasks},
        {row["id"]: row["whole"] for row in tasks},
    )


def _to_facts(row: Mapping[str, Any], events: Sequence[EventFacts]) -> TaskFacts:
    return TaskFacts(
        status=TaskStatus(row["status"]),
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        epoch=row["epoch"],
        last_event=row["last_event"],
        error_code=row["error_code"],
        live=_to_live(row) if row["is_live"] else None,
        result_epoch=row["result_epoch"],
        events=tuple(events),
    )


def _to_live(row: Mapping[str, Any]) -> LiveFacts:
    progress = row["progress"]
    return LiveFacts(
        priority=TaskPriority(row["priority"]),
        is_due=row["is_due"],
        lease_token=row["lease_token"],
        has_live_lease=row["has_live_lease"],
        handbacks=row["handbacks"],
        rings=row["rings"],
        is_to_ring=row["is_to_ring"],
        progress=None if progress is None else ProgressReport(progress, row["progress_message"]),
    )


def check(now: Observed, before: Observed | None = None) -> None:
    """Assert what holds always, of each task and of each step from ``before``."""
    for task_id, facts in now.facts.items():
        _check_one(facts)
        if before is not None and task_id in before.facts:
            earlier = before.facts[task_id]
            assert (earlier.status, facts.status) in ALLOWED_MOVES or earlier == facts
            assert facts.epoch >= earlier.epoch, "an epoch went back"
            assert facts.events[: len(earlier.events)] == earlier.events, "history was rewritten"
            if earlier.status.is_final:
                assert now.rows[task_id] == before.rows[task_id], "a verdict was changed"
    tokens = [facts.live.lease_token for facts in now.facts.values() if facts.live is not None]
    leases = [token for token in tokens if token is not None]
    assert len(set(leases)) == len(leases), "two tasks share a lease"


def _check_one(facts: TaskFacts) -> None:
    assert 0 <= facts.attempts <= facts.max_attempts, "attempts are over the budget"
    assert (facts.live is None) == facts.status.is_final, "a live row is for what is not final"
    if facts.live is not None and facts.live.lease_token is None:
        assert facts.attempts < facts.max_attempts, "it waits and has no attempt left"
    is_completed = facts.status is TaskStatus.COMPLETED
    assert facts.result_epoch == (facts.epoch if is_completed else None), "a result without verdict"
    _check_history(facts)


def _check_history(facts: TaskFacts) -> None:
    events = facts.events
    assert [event.seq for event in events] == list(range(1, facts.last_event + 1)), "gaps"
    assert (events[0].status, events[0].epoch) == (TaskStatus.PENDING, 0)
    assert (events[-1].status, events[-1].epoch) == (facts.status, facts.epoch)
    for one, next_one in pairwise(events):
        assert (one.status, next_one.status) in ALLOWED_MOVES, "an unlawful move was told"
        assert next_one.epoch - one.epoch == (next_one.kind == "CLAIMED"), "claims begin epochs"
