"""Answer the kubelet: is this process alive, and is it of use right now?

Liveness never tests a dependency: an outage of RabbitMQ would restart every
worker at the worst moment. That it answers at all proves that the event loop
turns; a loop that is blocked for long is first of all the matter of ``watching``,
which says where it stands.

Before: the kubelet asks on the health port.
After: 200 or 503 with one sentence.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

READ_SECONDS = 2.0
MAX_REQUEST_BYTES = 4096

Check = Callable[[], str | None]
"""Returns None for healthy, else a sentence."""


@asynccontextmanager
async def serving_health(port: int, checks: Mapping[str, Check]) -> AsyncIterator[None]:
    """Answer GET for each path of ``checks`` while the context is open.

    Raises:
        OSError: the port is in use.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(READ_SECONDS):
                request = await _read_request(reader)
                writer.write(answer_to(request, checks))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, port=port, limit=MAX_REQUEST_BYTES)
    async with server:
        yield


def answer_to(request: bytes, checks: Mapping[str, Check]) -> bytes:
    """Return the whole HTTP answer to a request's head."""
    match request.split(b"\r\n", 1)[0].split():
        case [b"GET" | b"HEAD", path, _] if (name := path.decode("latin-1")) in checks:
            problem = checks[name]()
            status = "200 OK" if problem is None else "503 Service Unavailable"
            body = problem or "ok"
        case _:
            status, body = "404 Not Found", f"expected GET {' or '.join(checks)}"
    content = f"{body}\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return b""
