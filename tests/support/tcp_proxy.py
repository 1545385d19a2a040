"""A TCP proxy that can be told to fail, between a process under test and one store.

Before: a test knows where the store listens, and gives the process our port instead.
After: the test makes the store seem stopped, or cuts its connections, and heals it.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import services

ResultT = TypeVar("ResultT")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_ORDER_SECONDS = 10.0


@dataclass(eq=False)
class _Passage:
    """One client's way to the server and back."""

    writers: list[asyncio.StreamWriter]
    is_swallowed: bool = False
    is_cut_at_answer: bool = False

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self.is_swallowed:
                    continue
                if self.is_cut_at_answer and writer is self.writers[0]:
                    self.cut()
                    return
                writer.write(data)
                await writer.drain()
        if not self.is_swallowed:
            writer.close()

    def cut(self) -> None:
        for writer in self.writers:
            _reset(writer)


class TcpProxy:
    """Passes bytes on, until told otherwise. Its methods are for the test's thread."""

    def __init__(self, target_port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.port = services.free_port()
        self._target_port = target_port
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._open: set[_Passage] = set()
        self._resets = False
        self._swallows = False

    def stop(self) -> None:
        """Refuse new connections and end those there are, as when the server has ended."""
        self._order(self._stop())

    def drop(self) -> None:
        """Reset each connection, now and as soon as it is made."""
        self._order(self._drop())

    def swallow(self) -> None:
        """Take all that is sent and say nothing, as a broken network does.

        Connections that there are or that begin meanwhile stay so: to heal lets new ones pass.
        """
        self._order(self._swallow())

    def cut_next_answers(self) -> None:
        """Reset each connection there is when the server next answers on it, which nobody hears."""
        self._order(self._cut_next_answers())

    def heal(self) -> None:
        """Pass everything on again."""
        self._order(self._start())

    def _order(self, order: Coroutine[Any, Any, ResultT]) -> ResultT:
        return asyncio.run_coroutine_threadsafe(order, self._loop).result(_ORDER_SECONDS)

    async def _start(self) -> None:
        self._resets = self._swallows = False
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()

    async def _drop(self) -> None:
        self._resets = True
        self._cut()

    async def _swallow(self) -> None:
        self._swallows = True
        for passage in self._open:
            passage.is_swallowed = True

    async def _cut_next_answers(self) -> None:
        for passage in self._open:
            passage.is_cut_at_answer = True

    def _cut(self) -> None:
        for passage in self._open:
            passage.cut()
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._resets:
            _reset(writer)
            return
        try:
            opposite = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            _reset(writer)
            return
        passage = _Passage([writer, opposite[1]], is_swallowed=self._swallows)
        self._open.add(passage)
        try:
            await asyncio.gather(
                passage.pass_on(reader, opposite[1]), passage.pass_on(opposite[0], writer)
            )
        finally:
            self._open.discard(passage)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


async def _end_all() -> None:
    """End what waits for a connection that nobody will hear of any more."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def proxies(*target_ports: int) -> Iterator[list[TcpProxy]]:
    """Run a proxy before each port, all in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies")
    thread.start()
    made = [TcpProxy(port, loop) for port in target_ports]
    try:
        for each in made:
            each.heal()
        yield made
    finally:
        for each in made:
            each.stop()
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result(_ORDER_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
