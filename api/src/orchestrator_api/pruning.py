"""Forget what nobody needs any more, once an hour.

Before: ended logins, what happened to accounts, workers, their pods, submissions, uploads and
results leave rows behind.
After: the tables stay as small as what lives or is still asked about.
"""

import asyncio
from random import Random
from typing import Protocol

import structlog

from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import ResultStore, UploadStore
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.pool_store import PoolStore
from orchestrator_core.postgres.submission_store import SubmissionStore
from orchestrator_core.postgres.worker_store import WorkerStore

PRUNE_SECONDS = 3_600.0
FAMILIES_AT_ONCE = 5_000
"""Bounds one statement's time; a day's logins of a busy service go in a few hours."""
KEYS_AT_ONCE = 5_000
_MAX_KEY_PAGES = 2_000
"""10 million an hour; more submissions than one database takes."""

ENDS_AT_ONCE = 5_000
_MAX_END_PAGES = 100
"""Half a million an hour; pods end a few times a minute at most."""

FILES_AT_ONCE = 10
"""With their content: 100 MiB each take a tenth of a second."""
_MAX_FILE_PAGES = 10_000
"""100,000 files an hour; what is more waits for the next."""

RESULTS_AT_ONCE = 100
"""Most are small; of 32 MiB each they take 0.3 s."""
_MAX_RESULT_PAGES = 100_000
"""10 million an hour; more tasks than one database completes."""

OBJECTS_AT_ONCE = 500
"""In one request to the object store, which takes a thousand."""
_MAX_OBJECT_PAGES = 20_000
"""10 million an hour, as of results."""


class Prune(Protocol):
    """Deletes a page of what nobody needs."""

    async def __call__(self, *, limit: int) -> int:
        """Delete up to ``limit``; return how many."""


_log = structlog.get_logger(__name__)


class Pruning:
    """Deletes ended logins, old auth events, forgotten workers, old keys, files and results."""

    def __init__(  # noqa: PLR0913 - one store for each kind of rows
        self,
        accounts: AccountStore,
        workers: WorkerStore,
        submissions: SubmissionStore,
        files: UploadStore,
        results: ResultStore,
        *,
        pools: PoolStore,
        chance: Random,
    ) -> None:
        self._accounts = accounts
        self._workers = workers
        self._submissions = submissions
        self._files = files
        self._results = results
        self._pools = pools
        self._chance = chance

    async def run(self) -> None:
        """Prune about once an hour until cancelled."""
        while True:
            await asyncio.sleep(PRUNE_SECONDS * self._chance.uniform(0.5, 1.5))
            try:
                await self.prune()
            except StoreUnavailableError as error:
                _log.warning("pruning skipped", reason=str(error))
            except Exception:  # noqa: BLE001 - the edge of a service of its own
                # Rows left behind cost space only; the next hour tries again.
                _log.exception("pruning failed")

    async def prune(self) -> None:
        """Delete once.

        Raises:
            StoreUnavailableError: Postgres, or the object store, is away.
        """
        await self._accounts.prune(limit=FAMILIES_AT_ONCE)
        await self._workers.prune()
        await _prune_all(self._pools.prune, ENDS_AT_ONCE, _MAX_END_PAGES)
        await _prune_all(self._submissions.prune_keys, KEYS_AT_ONCE, _MAX_KEY_PAGES)
        await _prune_all(self._files.prune, FILES_AT_ONCE, _MAX_FILE_PAGES)
        await _prune_all(self._results.prune, RESULTS_AT_ONCE, _MAX_RESULT_PAGES)
        # Last, so that an object store which is away stops nothing else.
        await _prune_all(self._results.prune_objects, OBJECTS_AT_ONCE, _MAX_OBJECT_PAGES)


async def _prune_all(prune: Prune, limit: int, max_pages: int) -> None:
    """Prune page by page until one is not full, or there were enough for this hour."""
    for _ in range(max_pages):
        if await prune(limit=limit) < limit:
            return
