"""Remember users: what is shown of them never changes, and never holds a password's hash.

Before: ``endpoints`` is asked who the caller is.
After: his profile, from Redis in one round trip or from Postgres.
"""

from orchestrator_api.accounts.tokens import REFUSAL
from orchestrator_api.errors import UnauthenticatedError
from orchestrator_api.remembering import Memory
from orchestrator_core.accounts import Profile
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.redis.cache import Cache
from orchestrator_core.tasks import UserId

_VERSION = 1
"""Raise it when the meaning of a field of ``Profile`` changes."""


class RememberedUsers:
    """Finds users. Its memory must be running for anything to be remembered."""

    def __init__(self, store: AccountStore, cache: Cache) -> None:
        self._store = store
        self.memory = Memory(cache, Profile, what="users")

    async def read(self, user_id: UserId) -> Profile:
        """Return the caller's profile.

        Raises:
            UnauthenticatedError: the account is no more.
            StoreUnavailableError: it is not remembered and Postgres is away.
        """
        name = f"user:{_VERSION}:{user_id}"
        profile = await self.memory.recall(name)
        if profile is None or profile.id != user_id:
            profile = await self._store.find_profile(user_id)
            if profile is None:
                raise UnauthenticatedError(REFUSAL)
            self.memory.remember(name, profile)
        return profile
