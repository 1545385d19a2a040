"""A cache in Redis whose entries nobody can forge, move or replace by others.

Redis may be shared, so what comes from it is believed only under a seal: a keyed
hash over the name and the value of the entry. Whoever can write to Redis but does
not have the secret can make entries vanish and nothing else.

Before: a composition root derives the cache from a secret that all replicas share.
After: readers get exactly what one of them put, or a miss.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import cast

from redis.asyncio import Redis

from orchestrator_core.redis.connections import RedisConnection

_SEAL_BYTES = 16
"""2^128 guesses, each a round trip."""
_PURPOSE = b"orchestrator: seals of the cache"
"""Keeps the seals' key apart from whatever else the secret is used for."""


class Cache:
    """Bytes by name, for a while."""

    def __init__(self, redis: RedisConnection, *, secret: bytes) -> None:
        self._redis = redis
        self._key = hmac.digest(secret, _PURPOSE, "sha256")

    async def get(self, name: str) -> bytes | None:
        """Return what was put under ``name``, in one round trip; None if nothing good is there.

        Raises:
            StoreUnavailableError: Redis did not answer in time, or is known to be away.
        """
        answer = await self._redis.run("read the cache", lambda client: client.get(_to_redis(name)))
        if answer is None:
            return None
        # The driver's types also know clients that decode.
        entry = cast("bytes", answer)
        seal, value = entry[:_SEAL_BYTES], entry[_SEAL_BYTES:]
        return value if hmac.compare_digest(seal, self._seal(name, value)) else None

    async def put_many(self, values: Mapping[str, bytes], *, ttl_seconds: int) -> None:
        """Keep ``values`` by their names for ``ttl_seconds``, in one round trip.

        Raises:
            StoreUnavailableError: Redis did not answer in time, or is known to be away.
        """
        entries = {
            _to_redis(name): self._seal(name, value) + value for name, value in values.items()
        }

        async def write(client: Redis) -> None:
            pipeline = client.pipeline(transaction=False)
            for key, entry in entries.items():
                pipeline.set(key, entry, ex=ttl_seconds)
            await pipeline.execute()

        await self._redis.run(f"write {len(values)} entries of the cache", write)

    def _seal(self, name: str, value: bytes) -> bytes:
        # The name's length first: its end can't be taken for the value's beginning.
        named = name.encode()
        seal = hashlib.blake2b(len(named).to_bytes(4), key=self._key, digest_size=_SEAL_BYTES)
        seal.update(named)
        seal.update(value)
        return seal.digest()


def _to_redis(name: str) -> str:
    return f"cache:{name}"
