"""Limits as dependencies of whole routers, so that a new route can't forget them.

Before: routers name ``LIMITED_BY_USER`` or ``LIMITED_BY_ADDRESS``.
After: their endpoints run for those who may ask.
"""

from fastapi import Depends, Request

from orchestrator_api.accounts.identity import Session
from orchestrator_api.limits.requests import RequestLimits


async def limit_by_user(request: Request, session: Session) -> None:
    """Take a token of the caller.

    Raises:
        UnauthenticatedError: there is no caller.
        RateLimitedError: he has none left.
    """
    limits: RequestLimits = request.state.limits
    await limits.take_for_user(request.scope, session)


async def limit_by_address(request: Request) -> None:
    """Take a token of the client's address.

    Raises:
        RateLimitedError: it has none left.
    """
    limits: RequestLimits = request.state.limits
    await limits.take_for_address(request.scope)


LIMITED_BY_USER = [Depends(limit_by_user)]
"""For ``APIRouter(dependencies=…)`` of everything under ``/api/v1``."""
LIMITED_BY_ADDRESS = [Depends(limit_by_address)]
"""For ``APIRouter(dependencies=…)`` of everything under ``/auth``."""
