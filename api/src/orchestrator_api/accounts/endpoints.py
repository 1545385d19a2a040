"""``/auth``: the account endpoints of the original service, and what goes beyond.

Before: ``app`` mounts the routers.
After: ``service`` does the work; errors become problems.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from orchestrator_api.accounts.identity import Caller, Session
from orchestrator_api.accounts.remembering import RememberedUsers
from orchestrator_api.accounts.schemas import (
    Credentials,
    PasswordChange,
    RefreshRequest,
    Registered,
    Registration,
    TokenPair,
    UserView,
)
from orchestrator_api.accounts.service import AccountService
from orchestrator_api.bodies import describe_body, json_body
from orchestrator_api.limits.dependencies import LIMITED_BY_ADDRESS, LIMITED_BY_USER
from orchestrator_api.openapi import describe_problems

router = APIRouter(prefix="/auth", tags=["accounts"], dependencies=LIMITED_BY_ADDRESS)
users_router = APIRouter(prefix="/api/v1", tags=["accounts"], dependencies=LIMITED_BY_USER)


async def _service(request: Request) -> AccountService:
    service: AccountService = request.state.accounts
    return service


async def _users(request: Request) -> RememberedUsers:
    users: RememberedUsers = request.state.users
    return users


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


@router.post(
    "/logout",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=describe_problems(401, 429, 503),
)
async def log_out(identity: Session, service: Service) -> None:
    """End this login: its access and refresh tokens are refused from now on."""
    await service.log_out(identity)


@router.post(
    "/password",
    openapi_extra=describe_body(PasswordChange),
    responses=describe_problems(401, 403, 413, 415, 422, 429, 503),
)
async def change_password(
    identity: Session,
    wish: Annotated[PasswordChange, Depends(json_body(PasswordChange))],
    service: Service,
    response: Response,
) -> TokenPair:
    """Change the password. All logins of the user end; the answer's tokens begin a new one.

    A wrong current password is answered with 403: the access token is good, and a client
    that takes a 401 for its end would refresh it in vain.
    """
    _keep_out_of_caches(response)
    return await service.change_password(identity, wish)


@users_router.get("/users/me", responses=describe_problems(401, 429, 503))
async def read_me(caller: Caller, users: Annotated[RememberedUsers, Depends(_users)]) -> UserView:
    """Show the caller."""
    return UserView.from_profile(await users.read(caller))


def _keep_out_of_caches(response: Response) -> None:
    # RFC 6749 section 5.1.
    response.headers["Cache-Control"] = "no-store"
