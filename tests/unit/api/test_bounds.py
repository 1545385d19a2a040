"""The bounds on every request: time, size, and all bodies together."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator_api.bounds import ANSWER_HEADERS, BodyBudget, BodyCounter, RequestBounds
from orchestrator_api.errors import BodyTooLargeError
from orchestrator_core.errors import OverloadedError


def bounded(app: ASGIApp, *, deadline_seconds: float = 5.0) -> httpx.AsyncClient:
    bounds = RequestBounds(
        app, deadline_seconds=deadline_seconds, limit_bytes=100, budget_bytes=150
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=bounds), base_url="http://api")


def pieces(*bodies: bytes) -> Receive:
    messages: list[Message] = [
        {"type": "http.request", "body": body, "more_body": True} for body in bodies
    ]

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.request", "body": b""}

    return receive


async def test_a_request_that_hangs_gets_503_and_when_to_come_back() -> None:
    async def hangs(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    async with bounded(hangs, deadline_seconds=0.01) as client:
        answer = await client.get("/slow")

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.text)["instance"] == "/slow"


async def test_an_answer_that_has_begun_may_outlast_the_deadline() -> None:
    late = asyncio.Event()

    async def streams(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        asyncio.get_running_loop().call_later(0.05, late.set)
        await late.wait()
        await send({"type": "http.response.body", "body": b"all of it"})

    async with bounded(streams, deadline_seconds=0.01) as client:
        answer = await client.get("/")

    assert answer.text == "all of it"


async def test_a_timeout_of_the_application_itself_is_not_taken_for_the_deadline() -> None:
    async def times_out(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise TimeoutError("mine")

    async with bounded(times_out) as client:
        with pytest.raises(TimeoutError, match="mine"):
            await client.get("/")


async def test_a_body_that_passes_its_limit_is_refused_however_it_is_cut() -> None:
    counter = BodyCounter(pieces(b"x" * 60, b"x" * 60), BodyBudget(1_000), limit_bytes=100)
    await counter()

    with pytest.raises(BodyTooLargeError, match="at most 100 bytes"):
        await counter()


async def test_a_body_that_says_it_is_too_large_is_refused_before_any_of_it_is_read() -> None:
    counter = BodyCounter(
        unread, BodyBudget(1_000), limit_bytes=100, headers=[(b"content-length", b"101")]
    )

    with pytest.raises(BodyTooLargeError, match="at most 100 bytes"):
        await counter()


async def unread() -> Message:
    raise AssertionError("nobody should read this body")


async def test_a_body_that_comes_too_slowly_gets_408() -> None:
    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(await Request(scope, receive).body())(scope, receive, send)

    async def trickle() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async with bounded(reads, deadline_seconds=0.01) as client:
        answer = await client.post("/", content=trickle())

    assert answer.status_code == 408
    assert answer.json()["error"] == "Request body too slow"


async def test_a_request_that_hangs_after_its_body_was_read_gets_503() -> None:
    async def hangs(scope: Scope, receive: Receive, _send: Send) -> None:
        await Request(scope, receive).body()
        await receive()

    async with bounded(hangs, deadline_seconds=0.01) as client:
        answer = await client.post("/", content=b"x")

    assert answer.status_code == 503


async def test_bodies_that_pass_the_budget_together_are_refused() -> None:
    budget = BodyBudget(150)
    first = BodyCounter(pieces(b"x" * 100), budget, limit_bytes=100)
    second = BodyCounter(pieces(b"x" * 100), budget, limit_bytes=100)
    await first()

    with pytest.raises(OverloadedError, match="bytes of request bodies"):
        await second()


async def test_a_request_that_has_ended_gives_its_bytes_back() -> None:
    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await PlainTextResponse(str(len(body)))(scope, receive, send)

    async with bounded(reads) as client:
        answers = [await client.post("/", content=b"x" * 100) for _ in range(5)]

    assert [answer.text for answer in answers] == ["100"] * 5


async def test_a_body_that_is_released_counts_no_more_and_keeps_its_limit() -> None:
    budget = BodyBudget(100)
    counter = BodyCounter(pieces(b"x" * 60, b"x" * 40, b"x"), budget, limit_bytes=100)
    await counter()

    counter.release()
    await counter()
    counter.release()

    budget.take(100)
    with pytest.raises(BodyTooLargeError, match="at most 100 bytes"):
        await counter()


async def test_what_comes_of_a_body_after_its_answer_has_begun_takes_no_room_from_others() -> None:
    has_received, others_are_answered = asyncio.Event(), asyncio.Event()

    async def goes_on(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            await PlainTextResponse(await Request(scope, receive).body())(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        has_received.set()
        await others_are_answered.wait()
        await send({"type": "http.response.body", "body": b""})

    async with bounded(goes_on) as client:
        going_on = asyncio.create_task(client.post("/stream", content=b"x" * 100))
        await has_received.wait()
        try:
            answer = await client.post("/", content=b"x" * 100)
        finally:
            others_are_answered.set()
            await going_on

    assert answer.text == "x" * 100


async def test_what_waits_in_the_requests_state_stands_on_the_answer_whoever_makes_it() -> None:
    shared = PlainTextResponse("one answer for all")

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][ANSWER_HEADERS] = ((b"x-left", b"2"),)
        await shared(scope, receive, send)

    async with bounded(answers) as client:
        first = await client.get("/")
        second = await client.get("/")

    assert first.headers.get_list("x-left") == ["2"]
    assert second.headers.get_list("x-left") == ["2"]
