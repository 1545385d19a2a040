"""Forget what nobody needs any more, once an hour.

Before: ended logins, what happened to accounts, workers, their pods, submissions, uploads and
results leave rows behind.
After: the tables stay as small as what lives or is still asked about.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
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
FAMILIES_AT_ONCE = 100
"""Each takes its refresh tokens along, some hundreds of a login that lasted a week."""
_MAX_FAMILY_PAGES = 10_000
"""A million an hour; more logins than bcrypt lets in."""

AUTH_EVENTS_AT_ONCE = 5_000
_MAX_AUTH_EVENT_PAGES = 2_000
"""10 million an hour; far more than happens to accounts."""

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


Step = Callable[[], Awaitable[None]]
"""Deletes all that nobody needs of one kind."""

_log = structlog.get_logger(__name__)


class Pruning:
    """Deletes ended logins, old auth events, forgotten workers, old keys, files and results."""

    def __init__(self, steps: Mapping[str, Step], *, chance: Random) -> None:
        """Take the steps.

        Args:
            steps: from what each deletes, for the log; in their order.
            chance: keeps replicas apart.
        """
        self._steps = steps
        self._chance = chance

    async def run(self) -> None:
        """Prune about once an hour until cancelled."""
        while True:
            await asyncio.sleep(PRUNE_SECONDS * self._chance.uniform(0.5, 1.5))
            await self.prune()

    async def prune(self) -> None:
        """Delete once. What can't be deleted costs space only, and waits for the next hour."""
        for what, step in self._steps.items():
            try:
                await step()
            except StoreUnavailableError as error:
                _log.warning("pruning skipped", what=what, reason=str(error))
            except Exception:  # noqa: BLE001 - the edge of a service of its own
                # One fault, met every hour, must not let all the other tables grow.
                _log.exception("pruning failed", what=what)


def build_steps(  # noqa: PLR0913 - one store for each kind of rows
    accounts: AccountStore,
    workers: WorkerStore,
    submissions: SubmissionStore,
    files: UploadStore,
    results: ResultStore,
    *,
    pools: PoolStore,
) -> Mapping[str, Step]:
    """Return the steps over these stores."""
    return {
        "logins": in_pages(accounts.prune_families, FAMILIES_AT_ONCE, _MAX_FAMILY_PAGES),
        "auth events": in_pages(
            accounts.prune_auth_events, AUTH_EVENTS_AT_ONCE, _MAX_AUTH_EVENT_PAGES
        ),
        "workers": workers.prune,
        "ends of pods": in_pages(pools.prune, ENDS_AT_ONCE, _MAX_END_PAGES),
        "idempotency keys": in_pages(submissions.prune_keys, KEYS_AT_ONCE, _MAX_KEY_PAGES),
        "files": in_pages(files.prune, FILES_AT_ONCE, _MAX_FILE_PAGES),
        "results": in_pages(results.prune, RESULTS_AT_ONCE, _MAX_RESULT_PAGES),
        # After the results whose objects they are.
        "objects": in_pages(results.prune_objects, OBJECTS_AT_ONCE, _MAX_OBJECT_PAGES),
    }


def in_pages(prune: Prune, limit: int, max_pages: int) -> Step:
    """Return the step that prunes page by page until one is not full, or there were enough."""

    async def step() -> None:
        for _ in range(max_pages):
            if await prune(limit=limit) < limit:
                return

    return step
