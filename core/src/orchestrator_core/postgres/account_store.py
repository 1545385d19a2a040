"""Accounts and refresh tokens in Postgres.

Before: the API's ``accounts`` hashes passwords and makes tokens.
After: rows; only hashes of passwords and tokens are kept.
"""

from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from orchestrator_core.errors import NameTakenError
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import UserId

_SQL = load_statements("accounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One row of ``users``."""

    id: UserId
    username: str
    password_hash: str


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


class AccountStore:
    """The only way to the account tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, username: str, password_hash: str) -> UserId:
        """Keep a new account.

        Raises:
            NameTakenError: another account has the name, compared without case.
        """
        async with self._database.answering("insert an account") as connection:
            user_id = await connection.fetchval(_SQL["insert_user"], username, password_hash)
        if user_id is None:
            raise NameTakenError(f"the username {username!r} is taken")
        return UserId(user_id)

    async def find(self, username: str) -> Account | None:
        """Return the account of this name, compared without case, or None."""
        async with self._database.answering("find an account") as connection:
            row = await connection.fetchrow(_SQL["find_user"], username)
        return None if row is None else Account(**row)

    async def start_family(
        self, family_id: UUID, user_id: UserId, token_hash: bytes, *, lifetime_seconds: float
    ) -> None:
        """Keep the first refresh token of a login."""
        async with self._database.answering("start a login") as connection:
            await connection.execute(
                _SQL["start_family"], family_id, user_id, token_hash, lifetime_seconds
            )

    async def redeem(
        self,
        token_hash: bytes,
        successor_hash: bytes,
        *,
        lifetime_seconds: float,
        grace_seconds: float,
    ) -> UserId | None:
        """Redeem a refresh token once and keep its successor, or end the login on reuse.

        Returns:
            The user, or None when the token is no longer (or never was) good.
        """
        async with (
            self._database.answering("redeem a refresh token") as connection,
            connection.transaction(),
        ):
            row = await connection.fetchrow(_SQL["lock_family"], token_hash)
            if row is None:
                return None
            family_id, user_id = row["id"], UserId(row["user_id"])
            facts = {k: v for k, v in row.items() if k not in ("id", "user_id")}
            match judge_refresh(PresentedToken(**facts), grace_seconds=grace_seconds):
                case RefreshVerdict.CURRENT:
                    await connection.execute(
                        _SQL["rotate_family"], family_id, successor_hash, lifetime_seconds
                    )
                    return user_id
                case RefreshVerdict.PREDECESSOR:
                    await connection.execute(_SQL["add_sibling"], family_id, successor_hash)
                    return user_id
                case RefreshVerdict.REUSED:
                    await connection.execute(_SQL["revoke_family"], family_id)
                case RefreshVerdict.ENDED:
                    pass
            return None

    async def prune(self, *, limit: int) -> None:
        """Forget logins that ended more than a day ago."""
        async with self._database.answering("prune ended logins") as connection:
            await connection.execute(_SQL["prune_families"], limit)
