"""Rounds of a background service: each may fail, and the next one comes all the same.

Before: a service repeats its work in ``run``.
After: an outage is told once, when it begins and when it is over; a fault of ours with its
stack trace, each time.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from orchestrator_core.errors import StoreUnavailableError


class Log(Protocol):
    """What is needed of the service's logger."""

    def info(self, event: str, **fields: object) -> None:
        """Write a line."""

    def warning(self, event: str, **fields: object) -> None:
        """Write a line."""

    def exception(self, event: str) -> None:
        """Write a line with the error under way."""


class Rounds:
    """Goes round after round, whatever happens in one."""

    def __init__(self, log: Log, *, absent: str, failed: str, back: str | None = None) -> None:
        """Take the words for the log.

        Args:
            log: the service's own.
            absent: a store is away, or now another one.
            failed: something else went wrong.
            back: the store has answered again; None says nothing.
        """
        self._log = log
        self._absent = absent
        self._failed = failed
        self._back = back
        self._missing: str | None = None

    async def go(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` once. Raises nothing but a cancellation."""
        try:
            await work()
        except StoreUnavailableError as error:
            # Once per outage; every second would only repeat it.
            if self._missing != error.store:
                self._log.warning(self._absent, store=error.store, reason=str(error))
                self._missing = error.store
        except Exception:  # noqa: BLE001 - the edge of a service of its own
            # One fault must not end for ever what the service is there for.
            self._log.exception(self._failed)
        else:
            if self._missing is not None and self._back is not None:
                self._log.info(self._back, store=self._missing)
            self._missing = None
