"""Who is calling: the one dependency of every protected endpoint.

Before: a request with ``Authorization: Bearer <access token>``.
After: the endpoint has an ``Identity`` or its ``UserId``; the log line has it too.
"""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from orchestrator_api.accounts.revocations import Revocations
from orchestrator_api.accounts.tokens import REFUSAL, AccessTokens
from orchestrator_api.errors import UnauthenticatedError
from orchestrator_core.accounts import Identity
from orchestrator_core.tasks import UserId

_bearer = HTTPBearer(
    auto_error=False, scheme_name="accessToken", description="An access token from /auth/login"
)


async def identify(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Identity:
    """Return who is calling.

    ``request.state`` has ``user_id`` and ``access_until`` (seconds since the epoch) from then
    on: for the log, and for answers that go on for long.

    Raises:
        UnauthenticatedError: there is no good access token, or its login has ended.
        StoreUnavailableError: this process has just started and can't yet tell which have.
    """
    if credentials is None:
        raise UnauthenticatedError("Missing access token")
    tokens: AccessTokens = request.state.access_tokens
    revocations: Revocations = request.state.revocations
    verified = tokens.verify(credentials.credentials)
    await revocations.await_first_reading()
    identity = verified.identity
    if revocations.is_revoked(identity.session_id):
        raise UnauthenticatedError(REFUSAL)
    request.state.user_id = identity.user_id
    request.state.access_until = verified.good_until
    return identity


Session = Annotated[Identity, Depends(identify)]


async def _find_caller(identity: Session) -> UserId:
    return identity.user_id


Caller = Annotated[UserId, Depends(_find_caller)]
