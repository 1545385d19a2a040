"""Who is calling: the one dependency of every protected endpoint.

Before: a request with ``Authorization: Bearer <access token>``.
After: the endpoint has a ``UserId``; the log line has it too.
"""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from orchestrator_api.accounts.tokens import AccessTokens
from orchestrator_api.errors import UnauthenticatedError
from orchestrator_core.tasks import UserId

_bearer = HTTPBearer(
    auto_error=False, scheme_name="accessToken", description="An access token from /auth/login"
)


async def identify(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> UserId:
    """Return the caller.

    Raises:
        UnauthenticatedError: there is no good access token.
    """
    if credentials is None:
        raise UnauthenticatedError("Missing access token")
    tokens: AccessTokens = request.state.access_tokens
    user_id = tokens.verify(credentials.credentials)
    request.state.user_id = user_id
    return user_id


Caller = Annotated[UserId, Depends(identify)]
