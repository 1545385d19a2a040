"""How long somebody may be told: as long as his access token and his login live.

Other requests are over before either ends; a watching has to ask again and again.

Before: ``accounts.identity`` has identified the caller.
After: ``streams`` ask before each word, ``long_polls`` before the answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from fastapi import Request

from orchestrator_api.accounts.revocations import Revocations
from orchestrator_core.accounts import Identity, SessionId


class Expiry(Enum):
    """Why the permit is over; in words for whom it was given to."""

    TOKEN = "the access token has ended: connect again with a new one"  # noqa: S105 - no password
    LOGIN = "the login has ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What a caller has for as long as he may be told."""

    session_id: SessionId
    good_until: float
    """Seconds since the epoch."""
    revocations: Revocations
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, request: Request, identity: Identity) -> "Permit":
        """Return the permit of whoever sent ``request``."""
        return cls(
            session_id=identity.session_id,
            good_until=request.state.access_until,
            revocations=request.state.revocations,
        )

    @property
    def left_seconds(self) -> float:
        """How long it lasts from now, unless the login ends before."""
        return max(0.0, self.good_until - self.clock())

    @property
    def expiry(self) -> Expiry | None:
        """Why it is over; None: it is not."""
        if self.revocations.is_revoked(self.session_id):
            return Expiry.LOGIN
        return None if self.left_seconds > 0 else Expiry.TOKEN
