"""Answers that nobody takes: they keep no memory, and who only takes them slowly gets them whole.

On uvloop, whose buffers this is about; with less patience than the process has.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from uvicorn import Config
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.server import ServerState

from loopback import LOOPBACK
from orchestrator_api import http_protocol
from orchestrator_api.http_protocol import BoundedHttpProtocol
from raw_http import head, missing_bytes
from worker_bench import until

ANSWER_BYTES = 6 << 20
"""The kernel takes at most 4 MiB of it."""
PIECE_BYTES = 1 << 20
TAKE_SECONDS = 1.5
SLOW_READ_BYTES, SLOW_PAUSE_SECONDS = 40_000, 0.05
"""So slow that the kernel takes nothing from us for longer than ``TAKE_SECONDS``."""


@dataclass
class Served:
    """What a test sees of the server."""

    port: int
    state: ServerState
    faults: list[str] = field(default_factory=list)

    def connections(self) -> list[BoundedHttpProtocol]:
        return [each for each in self.state.connections if isinstance(each, BoundedHttpProtocol)]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "TAKE_SECONDS", TAKE_SECONDS)
    monkeypatch.setattr(http_protocol, "LOOK_SECONDS", 0.1)


async def answer_largely(
    scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Send ``ANSWER_BYTES``, in one piece or in many, as the path says."""
    del receive
    assert scope["type"] == "http"
    length = str(ANSWER_BYTES).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", length)],
            "trailers": False,
        }
    )
    piece_bytes = PIECE_BYTES if scope["path"] == "/pieces" else ANSWER_BYTES
    for sent_bytes in range(0, ANSWER_BYTES, piece_bytes):
        is_last = sent_bytes + piece_bytes == ANSWER_BYTES
        await send(
            {"type": "http.response.body", "body": bytes(piece_bytes), "more_body": not is_last}
        )


@asynccontextmanager
async def serving_largely() -> AsyncIterator[Served]:
    config = Config(answer_largely, lifespan="off", log_config=None, access_log=False)
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: BoundedHttpProtocol(config, state, app_state={}), LOOPBACK, 0
    )
    served = Served(server.sockets[0].getsockname()[1], state)
    loop.set_exception_handler(lambda _, context: served.faults.append(str(context)))
    try:
        yield served
    finally:
        server.close()
        for each in served.connections():
            each.transport.abort()


def kept_bytes(connection: BoundedHttpProtocol) -> int:
    return connection.transport.get_write_buffer_size()


def ask(served: Served, path: str, *lines: str) -> socket.socket:
    connection = socket.create_connection((LOOPBACK, served.port), timeout=30)
    connection.sendall(head("GET", path, *lines))
    return connection


def read_to_end(connection: socket.socket) -> None:
    while connection.recv(PIECE_BYTES):
        pass


async def ask_and_read_nothing(path: str, *lines: str) -> None:
    async with serving_largely() as served:

        async def find_kept() -> BoundedHttpProtocol | None:
            return next((each for each in served.connections() if kept_bytes(each)), None)

        with ask(served, path, *lines) as asked:
            connection = await until(find_kept)

            async def is_over() -> bool:
                return not (
                    kept_bytes(connection) or served.state.connections or served.state.tasks
                )

            await until(is_over, within=4 * TAKE_SECONDS)

            # Not an end after megabytes: the kernel keeps nothing either.
            with pytest.raises(ConnectionResetError):
                read_to_end(asked)

    assert served.faults == []


async def ask_and_read_slowly(path: str, *lines: str) -> None:
    def read() -> tuple[bytes, float]:
        began, answer = time.monotonic(), b""
        with ask(served, path, *lines) as connection:
            while not answer or missing_bytes(answer):
                answer += (more := connection.recv(SLOW_READ_BYTES))
                assert more, f"{missing_bytes(answer)} bytes are missing"
                time.sleep(SLOW_PAUSE_SECONDS)
        return answer, time.monotonic() - began

    async with serving_largely() as served:
        answer, took_seconds = await asyncio.to_thread(read)

    assert answer.endswith(bytes(ANSWER_BYTES))
    assert took_seconds > 3 * TAKE_SECONDS
    assert served.faults == []


@pytest.mark.parametrize(
    "asked",
    [("/",), ("/", "Connection: close"), ("/pieces",)],
    ids=["kept alive", "closing", "in pieces"],
)
@pytest.mark.parametrize("behave", [ask_and_read_nothing, ask_and_read_slowly])
def test_who_takes_nothing_is_cut_and_who_takes_slowly_gets_it_all(
    behave: Callable[..., Coroutine[Any, Any, None]], asked: tuple[str, ...]
) -> None:
    uvloop.run(behave(*asked))
