"""A long poll holds a place while it waits, and nothing else that others need."""

import asyncio
from types import SimpleNamespace
from typing import Any, Self
from uuid import UUID

from starlette.requests import Request
from starlette.types import Message

from orchestrator_api.bounds import Allowance, BodyBudget, BodyCounter
from orchestrator_api.events.long_polls import await_change
from orchestrator_api.places import Places
from orchestrator_core.accounts import Identity, SessionId
from orchestrator_core.tasks import TaskStatus, UserId

ADA = Identity(user_id=UserId(1), username="ada", session_id=SessionId(UUID(int=1)))
BUDGET_BYTES = 100


class Watching:
    """A feed that tells its one watcher nothing until it is told to."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    def watching_task(self, _task_id: int, *, after: int) -> "Watching":
        del after
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    async def take(self, *, within_seconds: float) -> None:
        del within_seconds
        await self.over.wait()


async def test_the_body_of_one_who_waits_takes_no_room_from_others() -> None:
    feed, budget, is_all_sent = Watching(), BodyBudget(BUDGET_BYTES), asyncio.Event()
    chunks = [b"x" * 60, b"x" * 40]

    async def receive() -> Message:
        if chunks:
            return {"type": "http.request", "body": chunks.pop(0), "more_body": True}
        is_all_sent.set()
        await asyncio.Event().wait()
        raise AssertionError("the client never goes away")

    body = BodyCounter(receive, budget, limit_bytes=BUDGET_BYTES)
    async with asyncio.timeout(None) as deadline:
        state = {
            "allowance": Allowance(deadline, body),
            "feed": feed,
            "places": Places("long polls", total=1, per_user=1),
            "revocations": SimpleNamespace(is_revoked=lambda _: False),
            "access_until": 60.0,
        }
        request = Request({"type": "http", "state": state}, body)
        task: Any = SimpleNamespace(id=1, status=TaskStatus.PENDING, last_event=1)
        waiting = asyncio.create_task(
            await_change(request, ADA, task, seconds=60.0, until_final=False)
        )
        await is_all_sent.wait()

        budget.take(BUDGET_BYTES)

        feed.over.set()
        assert not await waiting
