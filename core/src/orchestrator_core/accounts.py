"""Accounts and logins, and the rules by which refresh tokens rotate.

A login is a family of refresh tokens (``token_families``): each is redeemed once for
its successor, and all end together. Clients never see the word family; to them it is
a session, and its id stands in every access token as ``sid``.

Before: the API's ``accounts`` checks passwords and makes tokens.
After: ``postgres.account_store`` keeps what these nouns say.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import NewType
from uuid import UUID

from orchestrator_core.tasks import UserId

SessionId = NewType("SessionId", UUID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is shown of an account; it never changes."""

    id: UserId
    username: str
    """As registered; compared without case."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Profile):
    """One row of ``users``."""

    password_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who speaks: a user, in one of his logins."""

    user_id: UserId
    username: str
    """In lower case: what is looked up by it, is looked up without case."""
    session_id: SessionId


class AuthEvent(StrEnum):
    """What ``auth_events`` tells about; each row is written in the transaction of its act."""

    REGISTERED = "REGISTERED"
    LOGGED_IN = "LOGGED_IN"
    REFRESHED = "REFRESHED"
    REUSE_FOUND = "REUSE_FOUND"
    """A refresh token came back after its time; its login was ended."""
    LOGGED_OUT = "LOGGED_OUT"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 - the name of an event


class RefreshVerdict(Enum):
    """What a presented refresh token means."""

    CURRENT = auto()
    """The latest of its family: redeem it."""
    PREDECESSOR = auto()
    """Its successor was issued seconds ago: two tabs raced, both may go on."""
    REUSED = auto()
    """It was redeemed long ago: somebody has a copy, so the whole login ends."""
    ENDED = auto()
    """Expired, revoked or never issued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedToken:
    """What is known of a presented refresh token and its family."""

    current_generation: int
    presented_generation: int
    seconds_since_rotation: float
    is_revoked: bool
    is_expired: bool


@dataclass(frozen=True, slots=True)
class Redemption:
    """How it went with a presented refresh token."""

    verdict: RefreshVerdict
    identity: Identity | None
    """Whose it is; None when it was never issued."""


def judge_refresh(token: PresentedToken, *, grace_seconds: float) -> RefreshVerdict:
    """Decide about a refresh token; the rules of rotation, without a database."""
    if token.is_revoked or token.is_expired:
        return RefreshVerdict.ENDED
    age = token.current_generation - token.presented_generation
    if age == 0:
        return RefreshVerdict.CURRENT
    if age == 1 and token.seconds_since_rotation <= grace_seconds:
        return RefreshVerdict.PREDECESSOR
    return RefreshVerdict.REUSED
