"""What one user has in Postgres: tasks, uploads and results, for the tasks of that user.

Everything is asked for by the user's id, which no handler can name; and page by
page, so that neither memory nor a statement's time grows with what a user has.

Before: the worker binds a store to the owner of a claim.
After: a handler's ``gather``, or an async handler, reads and deletes through it.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any

from orchestrator_core.owners import (
    Activity,
    CleanUp,
    CleanUpPage,
    DayCount,
    HistoryFilter,
    HistoryPage,
    ItemKind,
    Latencies,
    Period,
    Removal,
    TaskRecord,
    TypeCount,
)
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import TaskPriority, TaskStatus, UserId

PAGE_TASKS = 2_000
"""Looked at by one statement; some 5 ms."""

DELETED_AT_ONCE = 10
"""With their content, of which 100 MiB take a tenth of a second."""

_SQL = load_statements("owners")


class PostgresOwnersData:
    """An ``OwnersData`` of one user."""

    def __init__(self, database: Database, user_id: UserId) -> None:
        self._database = database
        self._user_id = user_id

    async def history(self, wanted: HistoryFilter) -> AsyncGenerator[HistoryPage, None]:
        """Yield the owner's tasks in id order, as far as they existed at the first page."""
        async for after, end, fraction in self._pages():
            async with self._database.answering("read history") as connection:
                rows = await connection.fetch(
                    _SQL["read_history"],
                    self._user_id,
                    after,
                    end,
                    wanted.statuses,
                    wanted.task_types,
                    wanted.created_from,
                    wanted.created_before,
                )
            yield HistoryPage(records=[_to_record(row) for row in rows], fraction=fraction)

    async def activity(self, period: Period, *, listed: int) -> Activity:
        """Return what the tasks that were accepted in ``period`` came to."""
        span = (self._user_id, period.start, period.stop)
        async with (
            self._database.answering("read activity") as connection,
            # One snapshot, so that all numbers belong together.
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            by_type = await connection.fetch(_SQL["count_by_type"], *span)
            by_day = await connection.fetch(_SQL["count_by_day"], *span)
            latencies = await connection.fetch(_SQL["measure_latencies"], *span)
            slowest = await connection.fetch(_SQL["list_slowest"], *span, listed)
            failed = await connection.fetch(_SQL["list_failed"], *span, listed)
            read_at = await connection.fetchval("SELECT now()")
        return Activity(
            period=period,
            read_at=read_at,
            by_type=[TypeCount(**_with_status(row)) for row in by_type],
            by_day=[DayCount(**_with_status(row)) for row in by_day],
            latencies=[Latencies(**row) for row in latencies],
            slowest=[_to_record(row) for row in slowest],
            failed=[_to_record(row) for row in failed],
        )

    async def clean_up(self, what: CleanUp) -> AsyncGenerator[CleanUpPage, None]:
        """Delete what of the owner's is to go, and say so page by page."""
        if ItemKind.UPLOAD in what.kinds:
            async for removals in self._clean_uploads(what):
                yield CleanUpPage(removals=removals, fraction=0.0)
        if ItemKind.RESULT in what.kinds:
            async for page in self._clean_results(what):
                yield page

    async def _clean_uploads(self, what: CleanUp) -> AsyncGenerator[list[Removal], None]:
        after = 0
        while True:
            async with self._database.answering("find stale files") as connection:
                rows = await connection.fetch(
                    _SQL["find_stale_uploads"],
                    self._user_id,
                    what.older_than_seconds,
                    DELETED_AT_ONCE,
                    after,
                )
            if not rows:
                return
            after = rows[-1]["id"]
            gone = {row["id"] for row in rows}
            if not what.is_trial:
                gone = await self._delete("delete_uploads", self._user_id, list(gone))
            yield _to_removals(ItemKind.UPLOAD, rows, gone)

    async def _clean_results(self, what: CleanUp) -> AsyncGenerator[CleanUpPage, None]:
        async for after, end, fraction in self._pages():
            async with self._database.answering("find stale results") as connection:
                rows = await connection.fetch(
                    _SQL["find_stale_results"], self._user_id, what.older_than_seconds, after, end
                )
            gone = {row["id"] for row in rows}
            if not what.is_trial:
                gone = {
                    each
                    for ids in _some_at_once(sorted(gone))
                    for each in await self._delete("delete_results", ids)
                }
            yield CleanUpPage(removals=_to_removals(ItemKind.RESULT, rows, gone), fraction=fraction)

    async def _pages(self) -> AsyncGenerator[tuple[int, int, float], None]:
        """Yield spans of the owner's task ids: after which, up to which, and how far that is."""
        async with self._database.answering("find history") as connection:
            span = await connection.fetchrow(_SQL["find_history_span"], self._user_id)
        if span["last_id"] is None:
            return
        first, last = span["first_id"], span["last_id"]
        after = first - 1
        while after < last:
            async with self._database.answering("find a page of history") as connection:
                end = await connection.fetchval(
                    _SQL["find_page_end"], self._user_id, after, last, PAGE_TASKS
                )
            if end is None:
                return
            yield after, end, (end - first + 1) / (last - first + 1)
            after = end

    async def _delete(self, statement: str, *arguments: object) -> set[int]:
        async with self._database.answering("delete what is stale") as connection:
            rows = await connection.fetch(_SQL[statement], *arguments)
        return {row["id"] for row in rows}


def _some_at_once(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[i : i + DELETED_AT_ONCE] for i in range(0, len(ids), DELETED_AT_ONCE))


def _to_removals(
    kind: ItemKind, rows: Iterable[Mapping[str, Any]], gone: set[int]
) -> list[Removal]:
    return [Removal(kind=kind, **row) for row in rows if row["id"] in gone]


def _with_status(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "status": TaskStatus(row["status"])}


def _to_record(row: Mapping[str, Any]) -> TaskRecord:
    fields = {**_with_status(row), "priority": TaskPriority(row["priority"])}
    return TaskRecord(**fields)
