"""Passwords: hashed slowly, off the event loop, and never more at once than the cores bear.

bcrypt reads at most 72 bytes and stops at a NUL in some versions, so it gets
base64(HMAC-SHA256(domain, NFC(password))): 44 characters whatever the password.
The HMAC's key is a fixed domain string and no secret: a pepper tied to
``JWT_SECRET`` would end every password when that secret is rotated.

Before: ``service`` has a password in clear.
After: a hash for the store, or a verdict.
"""

import asyncio
import base64
import hashlib
import hmac
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self, TypeVar

import bcrypt

from orchestrator_core.errors import OverloadedError

ResultT = TypeVar("ResultT")

_DOMAIN = b"orchestrator/password/v1"
_THREADS = 2
"""Each hash keeps a core busy for a quarter of a second; the event loop needs one as well."""
_MAX_WAITING = 16
"""At four hashes a second and thread, the last of 16 waits two seconds, within the deadline."""


class PasswordHasher:
    """Hashes and verifies in a small pool of threads with a bounded queue."""

    def __init__(self, pool: ThreadPoolExecutor, *, rounds: int) -> None:
        self._pool = pool
        self._rounds = rounds
        self._places = threading.BoundedSemaphore(_THREADS + _MAX_WAITING)
        # Verified when no account has the name, so that both cases take the same time.
        self._nobodys_hash = _hash("nobody's password", rounds)

    @classmethod
    @contextmanager
    def open(cls, *, rounds: int) -> Iterator[Self]:
        """Start the threads and stop them in the end; what waits then is dropped.

        Args:
            rounds: bcrypt's cost, the binary logarithm of its iterations.
        """
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        try:
            yield cls(pool, rounds=rounds)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return a salted hash to keep.

        Raises:
            OverloadedError: too many passwords wait already.
        """
        return await self._run(lambda: _hash(password, self._rounds))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Return whether ``password`` made ``password_hash``; None takes as long and is False.

        Raises:
            OverloadedError: too many passwords wait already.
        """
        compared = password_hash or self._nobodys_hash
        matches = await self._run(lambda: bcrypt.checkpw(_prehash(password), compared.encode()))
        return matches and password_hash is not None

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        if not self._places.acquire(blocking=False):
            raise OverloadedError("passwords to hash", _MAX_WAITING)
        future = self._pool.submit(work)
        # By the thread's end, not by the request's: a given-up hash still keeps a core busy.
        future.add_done_callback(self._free_place)
        return await asyncio.wrap_future(future)

    def _free_place(self, _: "Future[ResultT]") -> None:
        self._places.release()


def _hash(password: str, rounds: int) -> str:
    return bcrypt.hashpw(_prehash(password), bcrypt.gensalt(rounds)).decode("ascii")


def _prehash(password: str) -> bytes:
    # NFC: the same characters typed on another keyboard are the same password.
    normal = unicodedata.normalize("NFC", password).encode("utf-8")
    return base64.b64encode(hmac.digest(_DOMAIN, normal, hashlib.sha256))
