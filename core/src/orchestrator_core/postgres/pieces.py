"""Bytes of a range, one short statement at a time.

No connection is held between two pieces, however slowly they are taken; so a
thousand slow downloads need no more connections than one.

Before: ``file_store`` and ``result_store`` know which range is wanted.
After: whoever reads takes piece by piece.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import PIECE_BYTES
from orchestrator_core.postgres.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Which bytes are read."""

    name: str
    """For messages: ``file 7``."""
    key: int
    statement: str
    """Returns at most ``$3`` bytes of ``$1``, the key, from offset ``$2`` on."""


async def read_pieces(
    database: Database, content: Content, *, start: int, stop: int
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes from ``start`` up to and without ``stop``.

    Raises:
        StoreUnavailableError: not all of them could be read. Too few are never passed off as all.
    """
    while start < stop:
        attempted = f"read {content.name} from byte {start} on"
        wanted = min(PIECE_BYTES, stop - start)
        async with database.answering(attempted) as connection:
            piece: bytes | None = await connection.fetchval(
                content.statement, content.key, start, wanted
            )
        if not piece:
            raise StoreUnavailableError("postgres", f"{attempted}: there is nothing")
        start += len(piece)
        yield piece
