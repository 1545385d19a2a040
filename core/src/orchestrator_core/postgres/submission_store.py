"""Submissions in Postgres: tasks kept together with the keys that clients gave them.

A key and the tasks it stands for are kept by one statement, so there is never
one without the other, and submitting again can't make a second task whatever
died in between.

Before: the API collects ``Submission``s of many requests.
After: each has its ``Verdict``; ``postgres.task_store`` moves the tasks on.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.submissions import (
    IdempotencyKey,
    Kept,
    KeyClash,
    KeyInFlight,
    Replayed,
    Submission,
    Verdict,
)
from orchestrator_core.tasks import NewTask, TaskId

_SQL = load_statements("submissions")

_Keys = Mapping[int, IdempotencyKey]
"""By the place of their submission in the batch."""


class SubmissionStore:
    """The way of new tasks into their tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(
        self, submissions: Sequence[Submission], *, ring_after_seconds: float
    ) -> list[Verdict]:
        """Keep submissions in one transaction, all or none but for those whose key is known.

        Args:
            submissions: accepted and validated.
            ring_after_seconds: when the sweep rings if the caller's own ring was lost.

        Returns:
            A verdict for each, in order; what was kept exists from now on, whatever dies.

        Raises:
            StoreUnavailableError: nothing is known to be kept.
            RowRefusedError: at least one row can't be kept; none was.
        """
        keys, repeated = _split_keys(submissions)
        columns = _to_columns(submissions, leaving_out=repeated)
        named = _to_key_columns(keys)
        attempted = f"keep {len(submissions)} submissions"
        async with self._database.answering(attempted) as connection:
            rows = await connection.fetch(
                _SQL["keep_submissions"], *columns, ring_after_seconds, *named
            )
        kept = dict(_to_kept(rows))
        known = {place: key for place, key in keys.items() if place not in kept}
        verdicts: dict[int, Verdict] = dict.fromkeys(repeated, KeyInFlight())
        verdicts |= kept
        if known:
            verdicts |= await self._look_up(known)
        return [verdicts[place] for place in range(len(submissions))]

    async def retry(
        self, task_id: TaskId, *, trace_context: str, ring_after_seconds: float
    ) -> Kept | Replayed | None:
        """Keep a task that runs the failed task ``task_id`` again, once however often asked.

        Returns:
            Kept now or earlier; None when ``task_id`` has not failed.

        Raises:
            StoreUnavailableError: nothing is known to be kept.
        """
        async with self._database.answering(f"retry task {task_id}") as connection:
            kept = await connection.fetchval(
                _SQL["keep_retry"], task_id, trace_context, ring_after_seconds
            )
            if kept is not None:
                return Kept([kept], [kept])
            # A statement of its own sees what another request committed meanwhile.
            earlier = await connection.fetchval(_SQL["find_retry"], task_id)
        return None if earlier is None else Replayed([earlier])

    async def prune_keys(self, *, limit: int) -> int:
        """Forget at most ``limit`` keys older than 24 hours; return how many it were."""
        async with self._database.answering("prune idempotency keys") as connection:
            status: str = await connection.execute(_SQL["prune_keys"], limit)
        return int(status.removeprefix("DELETE "))

    async def _look_up(self, keys: _Keys) -> dict[int, Verdict]:
        """Say for keys that were known what they stand for."""
        # One that has gone since was pruned that moment: the next try finds it free.
        verdicts: dict[int, Verdict] = dict.fromkeys(keys, KeyInFlight())
        _, users, names, _ = _to_key_columns(keys)
        try:
            async with self._database.answering(f"look up {len(keys)} keys") as connection:
                rows = await connection.fetch(_SQL["find_keys"], list(keys), users, names)
        except StoreUnavailableError:
            # Others of the batch are committed by now and must hear of it.
            return verdicts
        for row in rows:
            is_same = row["fingerprint"] == keys[row["submission"]].fingerprint
            verdicts[row["submission"]] = Replayed(row["task_ids"]) if is_same else KeyClash()
        return verdicts


def _split_keys(submissions: Sequence[Submission]) -> tuple[dict[int, IdempotencyKey], list[int]]:
    """Return the keys, and the places of those that repeat a key of the same batch."""
    keys: dict[int, IdempotencyKey] = {}
    seen: set[tuple[int, str]] = set()
    repeated: list[int] = []
    for place, submission in enumerate(submissions):
        key = submission.key
        if key is None:
            continue
        if (key.user_id, key.key) in seen:
            repeated.append(place)
        else:
            seen.add((key.user_id, key.key))
            keys[place] = key
    return keys, repeated


def _to_columns(
    submissions: Sequence[Submission], *, leaving_out: Sequence[int]
) -> Sequence[Sequence[object]]:
    """Return the columns of the tasks as ``keep_submissions`` takes them."""
    rows = [
        _to_task_row(place, task)
        for place, submission in enumerate(submissions)
        if place not in leaving_out
        for task in submission.tasks
    ]
    return list(zip(*rows, strict=True))


def _to_task_row(place: int, task: NewTask) -> tuple[object, ...]:
    return (
        place,
        task.user_id,
        task.task_type,
        task.payload,
        task.max_attempts,
        task.timeout_seconds,
        task.trace_context,
        task.priority,
        task.run_at,
    )


def _to_key_columns(keys: _Keys) -> tuple[list[int], list[int], list[str], list[bytes]]:
    named = keys.values()
    return (
        list(keys),
        [each.user_id for each in named],
        [each.key for each in named],
        [each.fingerprint for each in named],
    )


def _to_kept(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Kept]]:
    for place, kept in groupby(rows, key=lambda row: row["submission"]):
        tasks = list(kept)
        yield (
            place,
            Kept([row["id"] for row in tasks], [row["id"] for row in tasks if row["is_due"]]),
        )
