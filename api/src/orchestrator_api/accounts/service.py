"""Register, log in, refresh, log out, change the password.

Before: ``endpoints`` has the fields of a request.
After: the account store keeps hashes; the client gets tokens; what ended is refused at once.
"""

import uuid
from dataclasses import dataclass

import structlog

from orchestrator_api.accounts.password_policies import PasswordPolicy
from orchestrator_api.accounts.passwords import PasswordHasher
from orchestrator_api.accounts.revocations import Revocations
from orchestrator_api.accounts.schemas import (
    Credentials,
    PasswordChange,
    RefreshRequest,
    Registration,
    TokenPair,
)
from orchestrator_api.accounts.tokens import (
    REFUSAL,
    AccessTokens,
    RefreshToken,
    hash_refresh_token,
    make_refresh_token,
)
from orchestrator_api.errors import (
    FieldFault,
    InvalidRequestError,
    UnauthenticatedError,
    WrongPasswordError,
)
from orchestrator_core.accounts import Account, Identity, RefreshVerdict, SessionId
from orchestrator_core.postgres.account_store import AccountStore, NewSession
from orchestrator_core.tasks import UserId

REFRESH_GRACE_SECONDS = 20.0
"""Two tabs that refresh at once are the normal case when a token expires; 10 to 30 s is usual."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRules:
    """What settings decide about accounts."""

    find_password_fault: PasswordPolicy
    refresh_token_ttl_seconds: float


class AccountService:
    """The use cases of accounts."""

    def __init__(
        self,
        store: AccountStore,
        hasher: PasswordHasher,
        access_tokens: AccessTokens,
        revocations: Revocations,
        rules: AccountRules,
    ) -> None:
        self._store = store
        self._hasher = hasher
        self._access_tokens = access_tokens
        self._revocations = revocations
        self._rules = rules

    async def register(self, wish: Registration) -> UserId:
        """Make an account.

        Raises:
            InvalidRequestError: the policy does not take the password.
            NameTakenError: the name is in use. This tells which names exist; the
                alternative, a mail to confirm, needs an address that we don't ask for.
            OverloadedError: too many passwords wait to be hashed.
        """
        self._require_good_password("password", wish.password, wish.username)
        password_hash = await self._hasher.hash(wish.password)
        user_id = await self._store.insert(wish.username, password_hash)
        _log.info("registered", user_id=user_id)
        return user_id

    async def log_in(self, credentials: Credentials) -> TokenPair:
        """Start a login.

        Raises:
            UnauthenticatedError: no such name or a wrong password; the same words, the same time.
            OverloadedError: too many passwords wait to be hashed.
        """
        account = await self._store.find(credentials.username)
        password_hash = None if account is None else account.password_hash
        is_right = await self._hasher.verify(credentials.password, password_hash)
        session, token = self._begin()
        # The store looks again: the password may have been changed while it was compared.
        if account is None or not is_right or not await self._store.start_session(account, session):
            _log.info("login refused")
            raise UnauthenticatedError("Invalid username or password")
        _log.info("logged in", user_id=account.id)
        return self._pair(_identify(account, session), token)

    async def refresh(self, request: RefreshRequest) -> TokenPair:
        """Redeem a refresh token for two new tokens.

        Raises:
            UnauthenticatedError: it is unknown, expired, revoked or was used before.
        """
        successor = make_refresh_token()
        redemption = await self._store.redeem(
            hash_refresh_token(request.refresh_token),
            successor.hash,
            lifetime_seconds=self._rules.refresh_token_ttl_seconds,
            grace_seconds=REFRESH_GRACE_SECONDS,
        )
        identity = redemption.identity
        match redemption.verdict:
            case RefreshVerdict.CURRENT | RefreshVerdict.PREDECESSOR if identity is not None:
                return self._pair(identity, successor)
            case RefreshVerdict.REUSED if identity is not None:
                self._revocations.add([identity.session_id])
                _log.warning("login ended: a refresh token was reused", user_id=identity.user_id)
            case _:
                _log.info("refresh refused")
        raise UnauthenticatedError("Invalid or expired refresh token")

    async def log_out(self, identity: Identity) -> None:
        """End the login that asks for it; its tokens are refused from now on."""
        await self._store.end_session(identity.session_id)
        self._revocations.add([identity.session_id])
        _log.info("logged out", user_id=identity.user_id)

    async def change_password(self, identity: Identity, wish: PasswordChange) -> TokenPair:
        """Replace the password, end every login of the user and start a new one for the caller.

        Raises:
            InvalidRequestError: the policy does not take the new password.
            WrongPasswordError: the current password is another one.
            UnauthenticatedError: the login that asks for it has ended meanwhile.
            OverloadedError: too many passwords wait to be hashed.
        """
        self._require_good_password("new_password", wish.new_password, identity.username)
        account = await self._find(identity)
        if not await self._hasher.verify(wish.current_password, account.password_hash):
            _log.info("password change refused", user_id=account.id)
            raise WrongPasswordError("The current password is wrong")
        password_hash = await self._hasher.hash(wish.new_password)
        session, token = self._begin()
        ended = await self._store.change_password(
            account, identity.session_id, password_hash, session
        )
        if ended is None:
            _log.info("password change refused", user_id=account.id)
            raise UnauthenticatedError(REFUSAL)
        self._revocations.add(ended)
        _log.info("password changed", user_id=account.id, ended_logins=len(ended))
        return self._pair(_identify(account, session), token)

    async def _find(self, identity: Identity) -> Account:
        account = await self._store.find_by_id(identity.user_id)
        if account is None:
            raise UnauthenticatedError(REFUSAL)
        return account

    def _require_good_password(self, field: str, password: str, username: str) -> None:
        fault = self._rules.find_password_fault(password, username)
        if fault is not None:
            raise InvalidRequestError([FieldFault(field, fault)])

    def _begin(self) -> tuple[NewSession, RefreshToken]:
        token = make_refresh_token()
        session = NewSession(
            id=SessionId(uuid.uuid4()),
            token_hash=token.hash,
            lifetime_seconds=self._rules.refresh_token_ttl_seconds,
        )
        return session, token

    def _pair(self, identity: Identity, refresh_token: RefreshToken) -> TokenPair:
        return TokenPair(
            access_token=self._access_tokens.issue(identity),
            refresh_token=refresh_token.text,
            expires_in=self._access_tokens.lifetime_seconds,
        )


def _identify(account: Account, session: NewSession) -> Identity:
    return Identity(user_id=account.id, username=account.username.lower(), session_id=session.id)
