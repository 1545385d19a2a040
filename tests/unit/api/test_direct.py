from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from orchestrator_api.bodies import json_body
from orchestrator_api.direct import install_direct_routes
from orchestrator_api.errors import ConflictError, UnauthenticatedError
from orchestrator_api.problems import install_problem_handlers


class Wish(BaseModel):
    name: str


class Granted(BaseModel):
    name: str
    caller: str
    order: list[str]


async def identify(
    request: Request,
    credentials: Annotated[
        HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))
    ],
) -> str:
    note(request, "identify")
    if credentials is None:
        raise UnauthenticatedError("who are you?")
    return credentials.credentials


async def limit(request: Request, caller: Annotated[str, Depends(identify)]) -> None:
    note(request, f"limit {caller}")


def note(request: Request, event: str) -> None:
    if not hasattr(request.state, "order"):
        request.state.order = []
    request.state.order.append(event)


def a_router() -> tuple[APIRouter, Callable[..., object]]:
    router = APIRouter(prefix="/api", dependencies=[Depends(limit)])

    @router.post("/wishes", status_code=201)
    async def grant(
        wish: Annotated[Wish, Depends(json_body(Wish))],
        caller: Annotated[str, Depends(identify)],
        request: Request,
        response: Response,
    ) -> Granted:
        if wish.name == "clash":
            raise ConflictError("it is there already")
        if wish.name == "fault":
            raise ZeroDivisionError
        response.headers["Location"] = f"/api/wishes/{wish.name}"
        note(request, "grant")
        return Granted(name=wish.name, caller=caller, order=request.state.order)

    @router.get("/wishes")
    async def list_wishes() -> list[str]:
        return []

    return router, grant


@asynccontextmanager
async def a_client(*, is_direct: bool) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    install_problem_handlers(app)
    router, grant = a_router()
    app.include_router(router)
    if is_direct:
        install_direct_routes(app, grant)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


BEARER = {"Authorization": "Bearer heidi"}


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "POST", "json": {"name": "peace"}, "headers": BEARER},
        {"method": "POST", "json": {"name": "peace"}},
        {"method": "POST", "json": {"name": "clash"}, "headers": BEARER},
        {"method": "POST", "json": {"name": 7}, "headers": BEARER},
        {"method": "POST", "content": b"{", "headers": BEARER},
        {"method": "GET", "headers": BEARER},
        {"method": "PUT", "headers": BEARER},
        {"method": "POST", "url": "/api/wishes/", "json": {"name": "peace"}, "headers": BEARER},
        {"method": "POST", "url": "/api/wishes?a=b", "json": {"name": "a"}, "headers": BEARER},
    ],
)
async def test_the_answer_is_the_one_that_fastapi_gives(request_: dict[str, Any]) -> None:
    answers = []
    for is_direct in (False, True):
        async with a_client(is_direct=is_direct) as client:
            answers.append(await client.request(**{"url": "/api/wishes", **request_}))

    fastapis, direct = answers

    assert direct.status_code == fastapis.status_code
    assert direct.headers.raw == fastapis.headers.raw
    assert direct.content == fastapis.content


async def test_each_dependency_is_called_once_before_those_that_need_it() -> None:
    async with a_client(is_direct=True) as client:
        answer = await client.post("/api/wishes", json={"name": "peace"}, headers=BEARER)

    assert answer.json()["order"] == ["identify", "limit heidi", "grant"]


async def test_what_nobody_expected_goes_on_to_the_outside() -> None:
    async with a_client(is_direct=True) as client:
        with pytest.raises(ZeroDivisionError):
            await client.post("/api/wishes", json={"name": "fault"}, headers=BEARER)


async def by_query(page: Annotated[int, Query()] = 1) -> Granted:
    raise NotImplementedError


async def by_header(etag: Annotated[str, Header()] = "") -> Granted:
    raise NotImplementedError


async def by_body(wish: Wish) -> Granted:
    raise NotImplementedError


async def later(tasks: BackgroundTasks) -> Granted:
    raise NotImplementedError


def in_a_thread() -> Granted:
    raise NotImplementedError


async def cleaning_up() -> AsyncIterator[int]:
    yield 1


async def over_a_generator(_: Annotated[int, Depends(cleaning_up)]) -> Granted:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("endpoint", "need"),
    [
        (by_query, "parameters of the query"),
        (by_header, "headers as parameters"),
        (by_body, "a body read by FastAPI"),
        (later, "background tasks"),
        (in_a_thread, "a thread or a clean-up"),
        (over_a_generator, "a thread or a clean-up"),
    ],
)
def test_what_only_fastapi_can_work_out_is_refused_at_the_start(
    endpoint: Callable[..., object], need: str
) -> None:
    app = FastAPI()
    app.post("/wishes", response_model=Granted)(endpoint)

    with pytest.raises(TypeError, match=f"it needs .*{need}"):
        install_direct_routes(app, endpoint)


async def as_a_list() -> list[str]:
    raise NotImplementedError


def test_an_answer_without_a_model_is_refused_at_the_start() -> None:
    app = FastAPI()
    app.get("/wishes")(as_a_list)

    with pytest.raises(TypeError, match="expected a pydantic model"):
        install_direct_routes(app, as_a_list)
