"""Objects in an S3-compatible bucket.

Before: a composition root builds the store, if a bucket is named.
After: the worker puts results, the API reads ranges of them and deletes what is no result's.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError
from obstore.store import S3Store

from orchestrator_core.errors import SettingsError, StoreUnavailableError
from orchestrator_core.files import PIECE_BYTES
from orchestrator_core.settings import S3Settings

if TYPE_CHECKING:  # obstore has these for type checkers only
    from obstore.store import ClientConfig, S3Config

READ_BYTES = 4 * PIECE_BYTES
"""Of one request: against its 10 to 30 ms, still 50 MB/s; and a slow reader holds no connection."""

PART_BYTES = 16 * 1024 * 1024
"""A larger object is put in such parts, each tried again by itself. S3 takes 10,000 of them."""

PARTS_AT_ONCE = 2
CONNECT_SECONDS = 3.0

# A missing object is a FileNotFoundError, a key that is none a ValueError.
_ABSENCES = (BaseError, OSError, TimeoutError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one call may take, whatever it is tried again for."""

    request_seconds: float
    """Of one request, its body included."""
    call_seconds: float
    """Of all requests of one call."""


READER = Patience(request_seconds=2.0, call_seconds=3.0)
"""A client waits for the answer, and gets a 503 within 5 s."""

WRITER = Patience(request_seconds=60.0, call_seconds=180.0)
"""Finished work is worth some waiting: 16 MB at 0.3 MB/s, or a bucket away for minutes."""


PRUNER = Patience(request_seconds=30.0, call_seconds=60.0)
"""Nobody waits; a bucket may take many seconds to delete a page of objects."""


class S3ObjectStore:
    """An ``ObjectStore`` in one bucket. Building it connects to nothing."""

    def __init__(self, settings: S3Settings, patience: Patience) -> None:
        """Use ``settings.bucket``.

        Raises:
            SettingsError: the settings fit no bucket.
        """
        self._call_seconds = patience.call_seconds
        try:
            self._store = S3Store(
                settings.bucket,
                prefix=settings.prefix or None,
                config=_config(settings),
                client_options=_client_options(settings, patience),
                retry_config={
                    # Waits are random and may be short; what ends the tries is the time.
                    "max_retries": 10_000,
                    "backoff": {
                        "init_backoff": timedelta(seconds=0.1),
                        "max_backoff": timedelta(seconds=5),
                        "base": 2,
                    },
                    "retry_timeout": timedelta(seconds=patience.call_seconds),
                },
            )
        except (BaseError, ValueError) as error:
            raise SettingsError(f"RESULTS_S3_*: {error}") from None

    async def put(self, key: str, content: bytes | Path) -> None:
        """Keep bytes, or those of a file, whole or not at all; again if there were others.

        Raises:
            StoreUnavailableError: they are not known to be kept.
        """
        async with self._answering(f"put {key}"):
            await self._store.put_async(
                key, content, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )

    async def read(self, key: str, *, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from ``start`` up to and without ``stop``, in pieces.

        Raises:
            StoreUnavailableError: not all of them could be read.
        """
        while start < stop:
            attempted = f"read {key} from byte {start} on"
            end = min(start + READ_BYTES, stop)
            async with self._answering(attempted):
                read = memoryview(await self._store.get_range_async(key, start=start, end=end))
            if len(read) != end - start:
                raise StoreUnavailableError("s3", f"{attempted}: the object is too short")
            for offset in range(0, len(read), PIECE_BYTES):
                yield bytes(read[offset : offset + PIECE_BYTES])
            start = end

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; nothing happens where there is none.

        Raises:
            StoreUnavailableError: some may be left.
        """
        async with self._answering(f"delete {len(keys)} objects"):
            await self._store.delete_async(list(keys))

    @asynccontextmanager
    async def _answering(self, attempted: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._call_seconds):
                yield
        except _ABSENCES as error:
            reason = f"{type(error).__name__}: {_describe(error)}"
            raise StoreUnavailableError("s3", f"{attempted}: {reason}") from error


def _describe(error: Exception) -> str:
    """Return the first line, and what S3 calls it; the rest tells access keys and signatures."""
    text = str(error)
    code = re.search("<Code>([A-Za-z]+)</Code>", text)
    line = text.partition("\n")[0].partition("<?xml")[0][:300]
    return f"{line}{code[1]}" if code else line


def build_object_store(settings: S3Settings, patience: Patience) -> S3ObjectStore | None:
    """Return the store; None if no bucket is named.

    Raises:
        SettingsError: the settings fit no bucket.
    """
    return S3ObjectStore(settings, patience) if settings.bucket else None


def _config(settings: S3Settings) -> "S3Config":
    config: S3Config = {"region": settings.region}
    if settings.endpoint is not None:
        config["endpoint"] = settings.endpoint
    if settings.access_key_id is not None and settings.secret_access_key is not None:
        config["access_key_id"] = settings.access_key_id.get_secret_value()
        config["secret_access_key"] = settings.secret_access_key.get_secret_value()
    return config


def _client_options(settings: S3Settings, patience: Patience) -> "ClientConfig":
    options: ClientConfig = {
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "timeout": timedelta(seconds=patience.request_seconds),
        "allow_http": (settings.endpoint or "").startswith("http://"),
    }
    if settings.ca_file is not None:
        try:
            options["root_certificate"] = settings.ca_file.read_text()
        except OSError as error:
            raise SettingsError(
                f"RESULTS_S3_CA_FILE names {settings.ca_file}, which can't be read: {error}"
            ) from None
    return options
