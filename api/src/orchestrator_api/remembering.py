"""Remember in Redis what never changes, so that a copy is as good as the row.

What is found is believed only under the cache's seal and if it passes the check of
whoever asks. So the worst that a stale or poisoned cache can do is to be of no use.

Before: ``accounts`` and ``tasks`` say what is worth remembering, under which name.
After: their reads take one round trip to Redis, or go to Postgres as before.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from orchestrator_core.batching import Batcher
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.redis.cache import Cache

TTL_SECONDS = 300
"""Whoever polls a task reads its end within seconds; and a database that was put back to an
earlier state is believed again soon."""
_MAX_WAITING = 256
"""What is not written now will be after the next read. With the bound on what is worth it some
16 MB of tasks."""

ValueT = TypeVar("ValueT")

_log = structlog.get_logger(__name__)


class Memory(Generic[ValueT]):
    """Values of one kind by name. ``run`` must be running for anything to be remembered."""

    def __init__(self, cache: Cache, kind: type[ValueT], *, what: str) -> None:
        """Remember nothing yet.

        Args:
            cache: where.
            kind: a dataclass; what was written as another release's is a miss.
            what: in the plural, for the log.
        """
        self._cache = cache
        self._adapter = TypeAdapter(kind)
        self._what = what
        self._writes: Batcher[tuple[str, ValueT], None] = Batcher(
            f"{what} to remember", self._write, max_batch=64, max_waiting=_MAX_WAITING
        )

    async def run(self) -> None:
        """Write what is to be remembered, until cancelled."""
        await self._writes.run()

    async def drain(self) -> None:
        """Wait until nothing is left to write. ``run`` must be running."""
        await self._writes.drain()

    async def recall(self, name: str) -> ValueT | None:
        """Return what was remembered under ``name``; the caller checks that it is his."""
        try:
            text = await self._cache.get(name)
            return None if text is None else self._adapter.validate_json(text)
        except StoreUnavailableError:
            return None
        except ValidationError:
            # Another release's, whose values have other fields.
            return None

    def remember(self, name: str, value: ValueT) -> None:
        """Write soon. Nobody waits for it; a full queue drops it."""
        self._writes.offer((name, value))

    async def _write(self, named: Sequence[tuple[str, ValueT]]) -> list[None]:
        texts = {name: self._adapter.dump_json(value) for name, value in named}
        try:
            await self._cache.put_many(texts, ttl_seconds=TTL_SECONDS)
        except StoreUnavailableError as error:
            _log.debug("not remembered", what=self._what, count=len(named), reason=str(error))
        return [None] * len(named)
