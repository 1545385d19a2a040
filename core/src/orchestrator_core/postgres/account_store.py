"""Accounts, logins and their events in Postgres.

Before: the API's ``accounts`` hashes passwords and makes tokens.
After: rows; only hashes of passwords and tokens are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator_core.accounts import (
    Account,
    AuthEvent,
    Identity,
    PresentedToken,
    Profile,
    Redemption,
    RefreshVerdict,
    SessionId,
    judge_refresh,
)
from orchestrator_core.errors import NameTakenError
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.queries import load_statements
from orchestrator_core.tasks import UserId

AUTH_EVENT_DAYS = 90
"""Long enough to look into a break-in that was noticed late."""

_SQL = load_statements("accounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A login to begin."""

    id: SessionId
    token_hash: bytes
    """SHA-256 of its first refresh token."""
    lifetime_seconds: float


@dataclass(frozen=True, slots=True)
class RevocationReading:
    """Logins that ended lately."""

    read_at: datetime
    """Postgres's time; pass it to the next reading."""
    session_ids: Sequence[SessionId]


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

    async def find_by_id(self, user_id: UserId) -> Account | None:
        """Return this account, or None."""
        async with self._database.answering("find an account") as connection:
            row = await connection.fetchrow(_SQL["find_user_by_id"], user_id)
        return None if row is None else Account(**row)

    async def find_profile(self, user_id: UserId) -> Profile | None:
        """Return what is shown of this account, or None."""
        async with self._database.answering("find a profile") as connection:
            row = await connection.fetchrow(_SQL["find_profile"], user_id)
        return None if row is None else Profile(**row)

    async def start_session(self, account: Account, session: NewSession) -> bool:
        """Begin a login of ``account``, as it was when its password was checked.

        Returns:
            Whether it began; not when the password has been changed since.
        """
        async with self._database.answering("start a login") as connection:
            started = await connection.fetchval(
                _SQL["start_family"],
                session.id,
                account.id,
                session.token_hash,
                session.lifetime_seconds,
                AuthEvent.LOGGED_IN,
                account.password_hash,
            )
        return started is not None

    async def redeem(
        self,
        token_hash: bytes,
        successor_hash: bytes,
        *,
        lifetime_seconds: float,
        grace_seconds: float,
    ) -> Redemption:
        """Redeem a refresh token once and keep its successor, or end the login on reuse."""
        async with (
            self._database.answering("redeem a refresh token") as connection,
            connection.transaction(),
        ):
            row = await connection.fetchrow(_SQL["lock_family"], token_hash)
            if row is None:
                return Redemption(RefreshVerdict.ENDED, None)
            facts = dict(row)
            session_id = SessionId(facts.pop("id"))
            identity = Identity(
                user_id=UserId(facts.pop("user_id")),
                username=facts.pop("username"),
                session_id=session_id,
            )
            verdict = judge_refresh(PresentedToken(**facts), grace_seconds=grace_seconds)
            match verdict:
                case RefreshVerdict.CURRENT:
                    await connection.execute(
                        _SQL["rotate_family"], session_id, successor_hash, lifetime_seconds
                    )
                case RefreshVerdict.PREDECESSOR:
                    await connection.execute(_SQL["add_sibling"], session_id, successor_hash)
                case RefreshVerdict.REUSED:
                    await connection.execute(
                        _SQL["revoke_family"], session_id, AuthEvent.REUSE_FOUND
                    )
                case RefreshVerdict.ENDED:
                    pass
            return Redemption(verdict, identity)

    async def end_session(self, session_id: SessionId) -> None:
        """End a login because its user asked for it; one that has ended stays as it is."""
        async with self._database.answering("end a login") as connection:
            await connection.execute(_SQL["revoke_family"], session_id, AuthEvent.LOGGED_OUT)

    async def change_password(
        self, account: Account, asking: SessionId, password_hash: str, successor: NewSession
    ) -> Sequence[SessionId] | None:
        """Replace the password, end all logins of the account and begin a new one.

        The row of the account is locked first, so each login with the old password has
        either begun before and is ended here, or finds another password afterwards.

        Args:
            account: as it was when its password was checked.
            asking: the login that asks for it; it must still live.
            password_hash: the new one.
            successor: the login that goes on.

        Returns:
            The logins that ended; None, and nothing changed, when the old password or the
            login that asks is no longer good.
        """
        async with (
            self._database.answering("change a password") as connection,
            connection.transaction(),
        ):
            # Always the account first: two logins that ask at once queue up there.
            checks = (
                (_SQL["lock_password"], account.id, account.password_hash),
                (_SQL["lock_live_family"], asking, account.id),
            )
            for check in checks:
                if await connection.fetchval(*check) is None:
                    return None
            await connection.execute(_SQL["replace_password"], account.id, password_hash)
            rows = await connection.fetch(_SQL["revoke_families_of"], account.id)
            await connection.execute(
                _SQL["start_family"],
                successor.id,
                account.id,
                successor.token_hash,
                successor.lifetime_seconds,
                AuthEvent.PASSWORD_CHANGED,
                password_hash,
            )
            await connection.execute(_SQL["tell_of_revocations"])
        return [SessionId(row["id"]) for row in rows]

    async def read_revocations(
        self, since: datetime | None, *, overlap_seconds: float
    ) -> RevocationReading:
        """Return the logins that ended before their time.

        Args:
            since: when it was read last; None for the first time.
            overlap_seconds: looked back from then; from now, the first time.
        """
        async with self._database.answering("read revocations") as connection:
            row = await connection.fetchrow(_SQL["read_revocations"], since, overlap_seconds)
        return RevocationReading(row["read_at"], [SessionId(each) for each in row["session_ids"]])

    async def prune_families(self, *, limit: int) -> int:
        """Forget up to ``limit`` logins that ended more than a day ago; return how many."""
        async with self._database.answering("prune ended logins") as connection:
            status: str = await connection.execute(_SQL["prune_families"], limit)
        return int(status.removeprefix("DELETE "))

    async def prune_auth_events(self, *, limit: int) -> int:
        """Forget up to ``limit`` events of more than 90 days ago; return how many."""
        async with self._database.answering("prune auth events") as connection:
            status: str = await connection.execute(
                _SQL["prune_auth_events"], limit, AUTH_EVENT_DAYS
            )
        return int(status.removeprefix("DELETE "))
