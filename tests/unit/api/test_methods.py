"""HEAD wherever there is GET, and 405 that names every method of its path."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse

from orchestrator_api.methods import HeadRequests
from orchestrator_api.problems import install_problem_handlers

things, more_things = APIRouter(prefix="/things"), APIRouter(prefix="/things")


@things.get("/{thing_id}")
async def read(thing_id: int) -> dict[str, int]:
    return {"id": thing_id}


@more_things.delete("/{thing_id}")
async def delete(thing_id: int) -> None:
    del thing_id


@more_things.post("/batch")
async def post_batch() -> None:
    pass


@more_things.get("/{thing_id}/stream")
async def stream(thing_id: int) -> StreamingResponse:
    del thing_id
    return StreamingResponse(without_end(), headers={"ETag": '"x"'})


@more_things.api_route("/{thing_id}/own", methods=["GET", "HEAD"])
async def own_head(request: Request) -> Response:
    return Response(headers={"X-Method": request.method})


async def without_end() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0)


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = FastAPI(middleware=[Middleware(HeadRequests)])
    install_problem_handlers(app)
    app.include_router(things)
    app.include_router(more_things)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/things/1", "DELETE, GET, HEAD"),
        ("OPTIONS", "/things/1", "DELETE, GET, HEAD"),
        ("PUT", "/things/batch", "POST"),
        ("GET", "/things/batch", "POST"),
        ("HEAD", "/things/batch", "POST"),
    ],
)
async def test_a_method_that_is_not_there_is_told_which_are(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed


async def test_head_has_the_headers_of_get_and_no_body(client: httpx.AsyncClient) -> None:
    get = await client.get("/things/7")
    head = await client.head("/things/7")

    assert head.status_code == 200
    assert head.headers == get.headers
    assert head.content == b""


async def test_head_of_a_stream_without_end_ends(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(5):
        answer = await client.head("/things/7/stream")

    assert answer.status_code == 200
    assert answer.headers["etag"] == '"x"'
    assert answer.content == b""


async def test_a_route_that_has_head_itself_gets_it(client: httpx.AsyncClient) -> None:
    answer = await client.head("/things/7/own")

    assert answer.headers["x-method"] == "HEAD"


async def test_head_of_nothing_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.head("/nothing")

    assert answer.status_code == 404
