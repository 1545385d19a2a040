"""``/auth``: the account endpoints of the original service.

Before: ``app`` mounts the router.
After: ``service`` does the work; errors become problems.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from orchestrator_api.accounts.schemas import (
    Credentials,
    RefreshRequest,
    Registered,
    Registration,
    TokenPair,
)
from orchestrator_api.accounts.service import AccountService
from orchestrator_api.bodies import describe_body, json_body
from orchestrator_api.limits.dependencies import LIMITED_BY_ADDRESS
from orchestrator_api.openapi import describe_problems

router = APIRouter(prefix="/auth", tags=["accounts"], dependencies=LIMITED_BY_ADDRESS)


async def _service(request: Request) -> AccountService:
    service: AccountService = request.state.accounts
    return service


Service = Annotated[AccountService, Depends(_service)]


@router.post(
    "/register",
    status_code=status.HTTP_201_CREATED,
    openapi_extra=describe_body(Registration),
    responses=describe_problems(409, 413, 415, 422, 429, 503),
)
async def register(
    wish: Annotated[Registration, Depends(json_body(Registration))], service: Service
) -> Registered:
    """Make an account."""
    return Registered(user_id=await service.register(wish))


@router.post(
    "/login",
    openapi_extra=describe_body(Credentials),
    responses=describe_problems(401, 413, 415, 422, 429, 503),
)
async def log_in(
    credentials: Annotated[Credentials, Depends(json_body(Credentials))],
    service: Service,
    response: Response,
) -> TokenPair:
    """Log in; the refresh token is good for one use."""
    _keep_out_of_caches(response)
    return await service.log_in(credentials)


@router.post(
    "/refresh",
    openapi_extra=describe_body(RefreshRequest),
    responses=describe_problems(401, 413, 415, 422, 429, 503),
)
async def refresh(
    request: Annotated[RefreshRequest, Depends(json_body(RefreshRequest))],
    service: Service,
    response: Response,
) -> TokenPair:
    """Redeem a refresh token; both tokens are new."""
    _keep_out_of_caches(response)
    return await service.refresh(request)


def _keep_out_of_caches(response: Response) -> None:
    # RFC 6749 section 5.1.
    response.headers["Cache-Control"] = "no-store"
