"""Events as Server-Sent Events (WHATWG HTML, section 9.2).

Before: ``endpoints`` knows what is to be watched, and since when.
After: ``streams`` sends it, piece by piece.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from enum import Enum
from random import Random
from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field

from orchestrator_api.events.feed import EventFeed, UserWatch
from orchestrator_api.events.permits import Permit
from orchestrator_api.events.streams import Telling
from orchestrator_api.events.watchers import TaskWatcher, UserWatcher
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.events import EventPosition, TaskEvent, TaskProgress
from orchestrator_core.tasks import TaskId, TaskStatus, UserId

HEARTBEAT_SECONDS = 15.0
"""Proxies close what is silent for a minute (nginx: 60 s by default)."""
RETRY_MILLISECONDS = (1_000, 3_000)
"""When to come back: not all at once after a server has stopped."""

Pieces: TypeAlias = AsyncGenerator[bytes, None]

_chance = Random()  # noqa: S311 - spreads reconnects, guards nothing


class EventView(BaseModel):
    """One transition of a task: the data of an event named ``task``."""

    task_id: Annotated[int, Field(examples=[1])]
    seq: Annotated[int, Field(description="1, 2, 3 … for each task, without gaps", examples=[3])]
    at: datetime
    status: TaskStatus
    kind: Annotated[str, Field(description="what happened", examples=["COMPLETED"])]
    reason: Annotated[str | None, Field(description="why, if there is more to say")]


class ProgressView(BaseModel):
    """How far a task is that runs: the data of an event named ``progress``."""

    task_id: Annotated[int, Field(examples=[1])]
    progress: Annotated[float, Field(ge=0, le=1, examples=[0.4])]
    progress_message: Annotated[str | None, Field(examples=["page 4 of 10"])]


@asynccontextmanager
async def telling_task(
    feed: EventFeed, task_id: TaskId, *, after: int, permit: Permit
) -> AsyncIterator[Telling]:
    """Tell the events of a task after number ``after`` until the final one."""
    with feed.watching_task(task_id, after=after, wants_progress=True) as watcher:
        yield Telling(_tell_task(watcher, permit), watcher.await_end)


@asynccontextmanager
async def telling_user(
    feed: EventFeed, user_id: UserId, *, after: EventPosition | None, permit: Permit
) -> AsyncIterator[Telling]:
    """Tell the events of all tasks of a user after ``after``, or from now on, without end.

    Raises:
        InvalidRequestError: ``after`` lies ahead of everything that has been told.
        StoreUnavailableError: Postgres does not say where now is.
    """
    async with feed.watching_user(user_id, after=after) as watch:
        yield Telling(_tell_user(feed, user_id, watch, permit), watch.watcher.await_end)


async def _tell_task(watcher: TaskWatcher, permit: Permit) -> Pieces:
    yield _to_opening(None)
    async for news in _take_until_over(watcher, permit):
        match news:
            case None:
                yield _to_comment("still here")
            case Enum():
                yield _to_comment(news.value)
            case TaskProgress():
                yield _to_progress_piece(news)
            case TaskEvent():
                yield _to_piece(news, str(news.seq))
                if news.status.is_final:
                    return


async def _tell_user(feed: EventFeed, user_id: UserId, watch: UserWatch, permit: Permit) -> Pieces:
    yield _to_opening(to_id(watch.replay_from))
    watcher = watch.watcher
    try:
        async for piece in _replay(feed, user_id, watch, permit):
            yield piece
        async for news in _take_until_over(watcher, permit):
            match news:
                case None if watcher.is_behind:
                    async for piece in _replay(feed, user_id, await feed.catch_up(watcher), permit):
                        yield piece
                case None:
                    # Who comes back after hours of silence need not have them searched.
                    yield _to_mark(max(feed.read_to, watcher.after))
                case Enum():
                    yield _to_comment(news.value)
                case TaskProgress():
                    yield _to_progress_piece(news)
                case TaskEvent():
                    yield _to_piece(news, to_id(news.position))
    except StoreUnavailableError:
        yield _to_comment("the history can't be read now: come back")


async def _replay(feed: EventFeed, user_id: UserId, watch: UserWatch, permit: Permit) -> Pieces:
    async for page in feed.replay(user_id, watch):
        if permit.expiry is not None or watch.watcher.ending is not None:
            return
        for event in page.events:
            yield _to_piece(event, to_id(event.position))
        # Who comes back after this need not have it searched again.
        yield _to_mark(page.end)


async def _take_until_over(
    watcher: TaskWatcher | UserWatcher, permit: Permit
) -> AsyncGenerator[TaskEvent | TaskProgress | Enum | None, None]:
    """Return each event, what progress there is, None for each silence, and why it is over."""
    while True:
        within_seconds = min(HEARTBEAT_SECONDS, permit.left_seconds)
        news = await watcher.take(within_seconds=within_seconds)
        # Asked after the wait, so that nothing is told to whom has logged out meanwhile.
        over = permit.expiry or watcher.ending
        if over is not None:
            yield over
            return
        yield news


def to_id(position: EventPosition) -> str:
    """Return what clients call a position."""
    return f"{position.transaction}-{position.task_id}-{position.seq}"


def _to_piece(event: TaskEvent, name: str) -> bytes:
    view = EventView(
        task_id=event.task_id,
        seq=event.seq,
        at=event.at,
        status=event.status,
        kind=event.kind,
        reason=event.reason,
    )
    # JSON keeps line ends escaped, so the data is one line.
    return f"event: task\nid: {name}\ndata: {view.model_dump_json()}\n\n".encode()


def _to_progress_piece(progress: TaskProgress) -> bytes:
    view = ProgressView(
        task_id=progress.task_id,
        progress=progress.fraction,
        progress_message=progress.message,
    )
    # Without an id: there is nothing to come back to, and the last event's stays.
    return f"event: progress\ndata: {view.model_dump_json()}\n\n".encode()


def _to_opening(name: str | None) -> bytes:
    mark = "" if name is None else f"id: {name}\n"
    return f"retry: {_chance.randint(*RETRY_MILLISECONDS)}\n{mark}\n".encode()


def _to_mark(position: EventPosition) -> bytes:
    """Return an event without data: clients take its id and show nothing."""
    return f"id: {to_id(position)}\n\n".encode()


def _to_comment(text: str) -> bytes:
    return f": {text}\n\n".encode()
