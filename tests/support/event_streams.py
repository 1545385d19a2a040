"""Streams as clients read them: over a real socket, message by message.

``httpx`` collects a whole answer from an application that it calls itself, and a stream
has no end; so the server here listens on the loopback, within the test's own event loop.

Before: fixtures give the settings of real stores.
After: a test opens streams, reads what comes, and goes away.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from uvicorn import Config

from api_clients import User
from orchestrator_api.app import create_app
from orchestrator_api.events.feed import EventFeed
from orchestrator_api.places import Places
from orchestrator_api.serving import ApiServer
from orchestrator_api.settings import ProcessSettings
from worker_bench import until

PATIENCE_SECONDS = 20.0
"""Far above what anything here takes; a slow machine must not fail a test."""


@dataclass(frozen=True)
class Message:
    """One Server-Sent Event."""

    event: str | None = None
    id: str | None = None
    data: Any = None
    comment: str | None = None


class _Server(ApiServer):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # They are the test run's.
        yield


@dataclass(frozen=True)
class LiveApi:
    """A server of the test's own."""

    server: ApiServer
    client: httpx.AsyncClient

    @property
    def feed(self) -> EventFeed:
        feed: EventFeed = self.server.lifespan.state["feed"]
        return feed

    @property
    def places(self) -> Places:
        places: Places = self.server.lifespan.state["places"]
        return places

    @asynccontextmanager
    async def following(
        self, path: str, user: User, last_event_id: str | None = None
    ) -> AsyncIterator[AsyncIterator[Message]]:
        """Open a stream and read it; going out of the context is going away."""
        headers = dict(user.headers)
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        async with self.client.stream("GET", path, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
            answer.raise_for_status()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield read_messages(answer)


@asynccontextmanager
async def serving_live(settings: ProcessSettings) -> AsyncIterator[LiveApi]:
    """Serve on a port of the loopback until the context ends."""
    config = Config(
        create_app(settings),
        port=0,
        loop="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=round(settings.api.drain_seconds),
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: _has_started(server, serving), within=PATIENCE_SECONDS)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS
        ) as client:
            yield LiveApi(server, client)
    finally:
        server.should_exit = True
        await serving


async def _has_started(server: ApiServer, serving: "asyncio.Task[None]") -> bool:
    assert not serving.done(), serving.exception()
    return server.started


async def read_messages(answer: httpx.Response) -> AsyncIterator[Message]:
    """Return the messages of a stream, comments too, as they come."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name or "comment"] = value.removeprefix(" ")
        elif fields:
            data = json.loads(fields["data"]) if "data" in fields else None
            yield Message(fields.get("event"), fields.get("id"), data, fields.get("comment"))
            fields = {}


async def take_events(messages: AsyncIterator[Message], count: int) -> list[Message]:
    """Return the next ``count`` messages that are events."""
    events: list[Message] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(events) < count:
            message = await anext(messages)
            if message.event is not None:
                events.append(message)
    return events
