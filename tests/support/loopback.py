"""Servers of a test's own on the loopback, and certificates for them.

Before: a test knows how its server answers, or misbehaves.
After: what is under test connects; the server and all it serves end with the context.
"""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

LOOPBACK = "127.0.0.1"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve each connection on a port of the loopback; it is closed when ``serve`` returns."""
    serving: set[asyncio.Task[None]] = set()

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve_and_close(reader, writer)))

    server = await asyncio.start_server(start, LOOPBACK, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in serving:
            each.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def make_certificate(folder: Path, alternative_name: str) -> tuple[Path, Path]:
    """Make a certificate that nobody vouches for, such as of ``DNS:localhost``, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "1",
         "-subj", "/CN=test", "-addext", f"subjectAltName={alternative_name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def serving_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a server needs to be one over TLS."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    return tls
