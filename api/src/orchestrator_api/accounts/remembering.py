"""Remember users in Redis: what is shown of them never changes, so a copy is as good as the row.

What is found is believed only if it has the caller's id, and it never holds a password's
hash. So the worst that a stale or poisoned cache can do is to be of no use.

Before: ``endpoints`` is asked who the caller is.
After: his profile, from Redis in one round trip or from Postgres.
"""

from collections.abc import Sequence

import structlog
from pydantic import TypeAdapter, ValidationError

from orchestrator_api.accounts.tokens import REFUSAL
from orchestrator_api.errors import UnauthenticatedError
from orchestrator_core.accounts import Profile
from orchestrator_core.batching import Batcher
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.redis.cache import Cache
from orchestrator_core.tasks import UserId

TTL_SECONDS = 300
"""A database that was put back to an earlier state is believed again soon."""
_MAX_WAITING = 256
"""What is not written now will be after the next read."""
_VERSION = 1
"""Raise it when the meaning of a field of ``Profile`` changes."""

_PROFILE = TypeAdapter(Profile)
_log = structlog.get_logger(__name__)


class RememberedUsers:
    """Finds users. ``run`` must be running for anything to be remembered."""

    def __init__(self, store: AccountStore, cache: Cache) -> None:
        self._store = store
        self._cache = cache
        self._writes: Batcher[Profile, None] = Batcher(
            "users to remember", self._write, max_batch=64, max_waiting=_MAX_WAITING
        )

    async def run(self) -> None:
        """Write what is to be remembered, until cancelled."""
        await self._writes.run()

    async def drain(self) -> None:
        """Wait until nothing is left to write. ``run`` must be running."""
        await self._writes.drain()

    async def read(self, user_id: UserId) -> Profile:
        """Return the caller's profile.

        Raises:
            UnauthenticatedError: the account is no more.
            StoreUnavailableError: it is not remembered and Postgres is away.
        """
        profile = await self._recall(user_id)
        if profile is None:
            profile = await self._store.find_profile(user_id)
            if profile is None:
                raise UnauthenticatedError(REFUSAL)
            # Nobody waits for it; a full queue drops it.
            self._writes.offer(profile)
        return profile

    async def _recall(self, user_id: UserId) -> Profile | None:
        try:
            text = await self._cache.get(_to_name(user_id))
            profile = None if text is None else _PROFILE.validate_json(text)
        except StoreUnavailableError:
            return None
        except ValidationError:
            # Another release's, whose profiles have other fields.
            return None
        return profile if profile is not None and profile.id == user_id else None

    async def _write(self, profiles: Sequence[Profile]) -> list[None]:
        texts = {_to_name(each.id): _PROFILE.dump_json(each) for each in profiles}
        try:
            await self._cache.put_many(texts, ttl_seconds=TTL_SECONDS)
        except StoreUnavailableError as error:
            _log.debug("users not remembered", count=len(profiles), reason=str(error))
        return [None] * len(profiles)


def _to_name(user_id: UserId) -> str:
    return f"user:{_VERSION}:{user_id}"
