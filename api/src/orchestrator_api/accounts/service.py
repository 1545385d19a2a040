"""Register, log in, refresh.

Before: ``endpoints`` has the fields of a request.
After: the account store keeps hashes; the client gets tokens.
"""

import uuid

import structlog

from orchestrator_api.accounts.passwords import PasswordHasher
from orchestrator_api.accounts.schemas import (
    Credentials,
    RefreshRequest,
    Registration,
    TokenPair,
)
from orchestrator_api.accounts.tokens import (
    AccessTokens,
    RefreshToken,
    hash_refresh_token,
    make_refresh_token,
)
from orchestrator_api.errors import FieldFault, InvalidRequestError, UnauthenticatedError
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.tasks import UserId

REFRESH_GRACE_SECONDS = 20.0
"""Two tabs that refresh at once are the normal case when a token expires; 10 to 30 s is usual."""

_log = structlog.get_logger(__name__)


class AccountService:
    """The use cases of accounts."""

    def __init__(
        self,
        store: AccountStore,
        hasher: PasswordHasher,
        access_tokens: AccessTokens,
        *,
        refresh_token_ttl_seconds: int,
        password_min_length: int,
    ) -> None:
        self._store = store
        self._hasher = hasher
        self._access_tokens = access_tokens
        self._refresh_token_ttl_seconds = refresh_token_ttl_seconds
        self._password_min_length = password_min_length

    async def register(self, wish: Registration) -> UserId:
        """Make an account.

        Raises:
            InvalidRequestError: the password is too short.
            NameTakenError: the name is in use. This tells which names exist; the
                alternative, a mail to confirm, needs an address that we don't ask for.
            OverloadedError: too many passwords wait to be hashed.
        """
        if len(wish.password) < self._password_min_length:
            raise InvalidRequestError(
                [
                    FieldFault(
                        "password", f"must have at least {self._password_min_length} characters"
                    )
                ]
            )
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
        if account is None or not is_right:
            _log.info("login refused")
            raise UnauthenticatedError("Invalid username or password")
        token = make_refresh_token()
        await self._store.start_family(
            uuid.uuid4(),
            account.id,
            token.hash,
            lifetime_seconds=float(self._refresh_token_ttl_seconds),
        )
        _log.info("logged in", user_id=account.id)
        return self._pair(account.id, token)

    async def refresh(self, request: RefreshRequest) -> TokenPair:
        """Redeem a refresh token for two new tokens.

        Raises:
            UnauthenticatedError: it is unknown, expired, revoked or was used before.
        """
        successor = make_refresh_token()
        user_id = await self._store.redeem(
            hash_refresh_token(request.refresh_token),
            successor.hash,
            lifetime_seconds=float(self._refresh_token_ttl_seconds),
            grace_seconds=REFRESH_GRACE_SECONDS,
        )
        if user_id is None:
            _log.info("refresh refused")
            raise UnauthenticatedError("Invalid or expired refresh token")
        return self._pair(user_id, successor)

    def _pair(self, user_id: UserId, refresh_token: RefreshToken) -> TokenPair:
        return TokenPair(
            access_token=self._access_tokens.issue(user_id),
            refresh_token=refresh_token.text,
            expires_in=self._access_tokens.lifetime_seconds,
        )
