"""Events as text: what clients see, and what ends it."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

import orchestrator_api.events.telling as tellings
from event_builders import a_position, a_progress, an_event
from orchestrator_api.events.feed import EventFeed
from orchestrator_api.events.permits import Permit
from orchestrator_api.events.telling import telling_task, telling_user
from orchestrator_api.metrics import EventMetrics
from orchestrator_core.accounts import SessionId
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.event_store import EventPage
from orchestrator_core.tasks import TaskId, TaskStatus, UserId


def a_permit(*, is_revoked: bool = False, clock: Callable[[], float] = lambda: 0.0) -> Permit:
    revocations: Any = SimpleNamespace(is_revoked=lambda _: is_revoked)
    return Permit(
        session_id=SessionId(UUID(int=1)), good_until=60.0, revocations=revocations, clock=clock
    )


class Silence:
    """A history in which nothing has happened, or that can't be read."""

    is_away = False

    async def read_of_tasks(self, *_: object, **__: object) -> list[Any]:
        return []

    async def read_page(self, *_: object, **__: object) -> EventPage:
        if self.is_away:
            raise StoreUnavailableError("postgres", "read")
        return EventPage([], a_position(7), is_more_coming=False)

    async def read_progress(self, *_: object) -> list[Any]:
        return []

    async def read_horizon(self):
        return a_position(7)


def a_feed(history: Any = None) -> EventFeed:
    return EventFeed(history or Silence(), EventMetrics(CollectorRegistry()))


async def test_an_event_is_three_lines_whatever_its_reason_holds() -> None:
    feed = a_feed()
    async with telling_task(feed, TaskId(1), after=0, permit=a_permit()) as telling:
        [watcher] = feed._by_task[TaskId(1)]  # noqa: SLF001 - offers what a reading would
        watcher.offer(
            an_event(1, status=TaskStatus.FAILED, kind="FAILED", reason="a\nb\r\n\ndata: c\u2028")
        )
        opening, piece = [each.decode() async for each in telling.pieces]

    event, name, data, *rest = piece.split("\n")
    assert opening.startswith("retry: ")
    assert (event, name, rest) == ("event: task", "id: 1", ["", ""])
    assert json.loads(data.removeprefix("data: "))["reason"] == "a\nb\r\n\ndata: c\u2028"
    assert "\r" not in piece


async def test_a_silence_moves_the_id_on_so_that_coming_back_is_cheap(monkeypatch) -> None:
    monkeypatch.setattr(tellings, "HEARTBEAT_SECONDS", 0.0)
    permit = a_permit()
    async with telling_user(a_feed(), UserId(1), after=a_position(3), permit=permit) as telling:
        pieces = [(await anext(telling.pieces)).decode() for _ in range(3)]
        await telling.pieces.aclose()

    opening, replayed, silent = pieces
    assert opening.endswith("\nid: 3-0-0\n\n")
    assert replayed == "id: 7-0-0\n\n"
    assert silent == "id: 7-0-0\n\n"


async def test_nothing_is_told_to_whom_has_logged_out_or_whose_token_has_ended() -> None:
    words = []
    for permit in (a_permit(is_revoked=True), a_permit(clock=lambda: 60.0)):
        feed = a_feed()
        async with telling_task(feed, TaskId(1), after=0, permit=permit) as telling:
            [watcher] = feed._by_task[TaskId(1)]  # noqa: SLF001 - offers what a reading would
            watcher.offer(an_event(1))
            words += [each.decode() async for each in telling.pieces][1:]

    assert words == [
        ": the login has ended\n\n",
        ": the access token has ended: connect again with a new one\n\n",
    ]


async def test_a_history_that_cannot_be_read_ends_the_stream_so_that_its_client_comes_back() -> (
    None
):
    history = Silence()
    permit = a_permit()
    async with telling_user(
        a_feed(history), UserId(1), after=a_position(3), permit=permit
    ) as telling:
        history.is_away = True
        *_, last = [each.decode() async for each in telling.pieces]

    assert last == ": the history can't be read now: come back\n\n"


async def test_progress_has_no_id_so_that_coming_back_is_about_events() -> None:
    feed = a_feed()
    async with telling_task(feed, TaskId(1), after=0, permit=a_permit()) as telling:
        [watcher] = feed._by_task[TaskId(1)]  # noqa: SLF001 - offers what a reading would
        watcher.offer_progress([a_progress(0.25, message="a\nb")])
        _, piece = [(await anext(telling.pieces)).decode() for _ in range(2)]
        await telling.pieces.aclose()

    event, data, *rest = piece.split("\n")
    assert (event, rest) == ("event: progress", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == {
        "task_id": 1,
        "progress": 0.25,
        "progress_message": "a\nb",
    }
