"""Tasks in Postgres: claimed, settled, cancelled and read.

Every move is one statement, so it is one transaction; a crash between any two
lines leaves a state from which the sweep goes on.

Before: ``submission_store`` has kept them; the worker claims and settles.
After: the API reads ``Task`` rows; ``ring_store`` knows when to ring again.
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from uuid import UUID

from orchestrator_core.attempts import (
    Claim,
    Failed,
    HandedBack,
    KeptResult,
    ResultFile,
    ResultObject,
    RetryAfter,
    Settlement,
    Succeeded,
    Tending,
)
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.fractions import to_fraction
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import (
    ErrorCode,
    Task,
    TaskId,
    TaskPriority,
    TaskStatus,
    TaskSummary,
    UserId,
)

MAX_FREE_HANDBACKS = 20
"""A task longer than every grace period must end some day: later hand-backs spend attempts."""

MAX_SCAN = 5_000
"""Of a list with a filter; some 10 ms, however few of the tasks are wanted."""
_MAX_ID = 2**63 - 1

_SQL = {**load_statements("tasks"), **load_statements("attempts")}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks of a list are wanted; None means any."""

    status: TaskStatus | None = None
    task_type: str | None = None


EVERYTHING = TaskFilter()


@dataclass(frozen=True, slots=True)
class Found:
    """Some tasks of a list, in id order."""

    tasks: list[TaskSummary]
    scan_end: TaskId | None
    """Where looking ended for this time, wanted or not; None: there was nothing more."""


class TaskStore:
    """The only way to the task tables."""

    def __init__(self, database: Database, *, keep_results_seconds: float | None = None) -> None:
        """Use ``database``; results are kept so long, None means for good."""
        self._database = database
        self._keep_results_seconds = keep_results_seconds

    async def find(self, task_id: TaskId) -> Task | None:
        """Return the task of this id, or None."""
        async with self._database.answering(f"find task {task_id}") as connection:
            row = await connection.fetchrow(_SQL["find_task"], task_id)
        return None if row is None else Task(**_to_fields(row))

    async def list_for_user(
        self, user_id: UserId, wanted: TaskFilter, *, after: TaskId, limit: int
    ) -> Found:
        """Return up to ``limit`` of the user's tasks with ids above ``after``, in id order.

        With a filter at most ``MAX_SCAN`` tasks are looked at, so that it takes bounded time
        however few of them are wanted.
        """
        async with self._database.answering(f"list tasks of user {user_id}") as connection:
            # Found first, so that a task which commits in between is not passed over.
            scan_end = (
                await connection.fetchval(_SQL["find_scan_end"], user_id, after, MAX_SCAN)
                if wanted != EVERYTHING
                else None
            )
            rows = await connection.fetch(
                _SQL["list_tasks"],
                user_id,
                after,
                scan_end or _MAX_ID,
                wanted.status,
                wanted.task_type,
                limit,
            )
        return Found([TaskSummary(**_to_fields(row)) for row in rows], scan_end)

    async def claim(
        self, task_ids: Iterable[TaskId], *, worker_id: UUID, lease_seconds: float
    ) -> list[Claim]:
        """Lease at most as many tasks as there are ids: those of the highest priority that are due.

        Args:
            task_ids: what the messages say, one for each. A message whose task can't be had, or
                stands behind others, brings one that waits.
            worker_id: of this process.
            lease_seconds: how long the leases last.

        Returns:
            The claims won, the highest priority first. Fewer than ids: nothing more waits, or
            other workers were just taking it.
        """
        ids = list(task_ids)
        async with self._database.answering(f"claim tasks {ids}") as connection:
            rows = await connection.fetch(_SQL["claim_tasks"], ids, worker_id, lease_seconds)
        return [Claim(**row) for row in rows]

    async def extend_leases(
        self, claims: Sequence[Claim], *, lease_seconds: float
    ) -> frozenset[TaskId]:
        """Push the end of the leases back; return the tasks whose lease is lost for good."""
        ids = [claim.task_id for claim in claims]
        tokens = [claim.lease_token for claim in claims]
        async with self._database.answering(f"extend leases of {ids}") as connection:
            rows = await connection.fetch(_SQL["extend_leases"], ids, tokens, lease_seconds)
        return frozenset(ids) - {row["task_id"] for row in rows}

    async def tend(self, tendings: Sequence[Tending]) -> frozenset[TaskId]:
        """Write what is new of running attempts; return the tasks whose lease is gone for good."""
        ids = [each.claim.task_id for each in tendings]
        tokens = [each.claim.lease_token for each in tendings]
        fractions = [each.progress and each.progress.fraction for each in tendings]
        messages = [each.progress and _storable(each.progress.message) for each in tendings]
        async with self._database.answering(f"tend leases of {ids}") as connection:
            rows = await connection.fetch(_SQL["tend_leases"], ids, tokens, fractions, messages)
        return frozenset(ids) - {row["task_id"] for row in rows}

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        """Record outcomes, each behind its fence, with results and events in one transaction.

        Returns:
            For each settlement whether it was recorded; False means that the lease
            was lost and another attempt has, or will have, the verdict.
        """
        columns = zip(*(_to_settlement_row(each) for each in settlements), strict=True)
        ids = [each.claim.task_id for each in settlements]
        async with self._database.answering(f"settle tasks {ids}") as connection:
            rows = await connection.fetch(
                _SQL["settle_attempts"], *columns, MAX_FREE_HANDBACKS, self._keep_results_seconds
            )
        held = {row["task_id"] for row in rows}
        return [task_id in held for task_id in ids]

    async def cancel(self, task_id: TaskId) -> bool:
        """End the task if it is not final; return whether it was this call that ended it."""
        async with self._database.answering(f"cancel task {task_id}") as connection:
            return await connection.fetchval(_SQL["cancel_task"], task_id) is not None


def _to_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "status": TaskStatus(row["status"]),
        "priority": TaskPriority(row["priority"]),
        "progress": to_fraction(row["progress"]),
    }


def _to_settlement_row(settlement: Settlement) -> tuple[object, ...]:
    """Return one row of ``settle_attempts``' columns, in their order."""
    claim = settlement.claim
    fence = (claim.task_id, claim.epoch, claim.lease_token)
    no_result = (None,) * 6
    match settlement.outcome:
        case Succeeded(result):
            return (*fence, "COMPLETED", None, None, 0.0, *_to_result_columns(claim, result))
        case RetryAfter(code, message, delay) if not claim.is_last_attempt:
            return (*fence, "RETRY", code, _storable(message), delay, *no_result)
        case Failed(code, message) | RetryAfter(code, message, _):
            final = code or ErrorCode.ATTEMPTS_EXHAUSTED
            return (*fence, "FAILED", final, _storable(message), 0.0, *no_result)
        case HandedBack():
            return (*fence, "HANDED_BACK", None, None, 0.0, *no_result)


def _to_result_columns(claim: Claim, result: KeptResult) -> tuple[object, ...]:
    # "image.jpg" of task 123 becomes "image_123.jpg", as the original service named its files.
    stem, suffix = _split_name(result.file_name)
    facts = (f"{stem}_{claim.task_id}{suffix}", _storable(result.content_type))
    match result:
        case ResultFile(content=content):
            return (*facts, content, hashlib.sha256(content).digest(), None, None)
        case ResultObject():
            return (*facts, None, result.sha256, result.key, result.size_bytes)


@functools.lru_cache(maxsize=256)
def _split_name(file_name: str) -> tuple[str, str]:
    """Return a plain name's stem and suffix; a type's handler gives most of its files the same."""
    path = PurePath(PurePath(_storable(file_name)).name or "result")
    return path.stem, path.suffix


def _storable(text: str) -> str:
    """Drop what a text column can't hold: NUL and lone surrogates; bound its length."""
    bounded = text[:2000].replace("\x00", "")
    return bounded.encode("utf-8", "replace").decode("utf-8")
