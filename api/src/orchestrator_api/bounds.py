"""Bounds on every request: its time, its body, and all bodies together.

Plain ASGI, around everything that may take long, because only the outside can
cut off what hangs inside.

Before: ``request_log`` has given the request a trace.
After: FastAPI runs the endpoint, or the client gets 413 or 503 in time.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator_api.errors import BodyTooLargeError, BodyTooSlowError, DeadlineExceededError
from orchestrator_api.problems import respond, to_problem
from orchestrator_core.errors import OverloadedError

ANSWER_HEADERS = "answer_headers"
"""Key in a request's state: raw headers that its answer gets, whoever makes the answer."""

Headers = Iterable[tuple[bytes, bytes]]
_MAX_DIGITS = 18
"""Of a length; nothing that anybody sends has more."""


class BodyBudget:
    """How many bytes of bodies all requests under way may hold together."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._held_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Count ``size_bytes`` more.

        Raises:
            OverloadedError: they pass the budget; they count nevertheless until given back.
        """
        self._held_bytes += size_bytes
        if self._held_bytes > self._budget_bytes:
            raise OverloadedError("bytes of request bodies", self._budget_bytes)

    def give_back(self, size_bytes: int) -> None:
        """Count ``size_bytes`` less."""
        self._held_bytes -= size_bytes


class BodyCounter:
    """A ``receive`` that counts one request's body and refuses what is too much."""

    def __init__(
        self, receive: Receive, budget: BodyBudget, *, limit_bytes: int, headers: Headers = ()
    ) -> None:
        self._receive = receive
        self._budget = budget
        self._headers = headers
        self.limit_bytes = limit_bytes
        self.is_held = True
        """Whether the endpoint keeps the whole body in memory, so that it counts in the budget."""
        self.held_bytes = 0
        self.is_awaited = False
        """Whether somebody waits for more of a body that isn't whole."""
        self._received_bytes = 0
        self._is_whole = False

    async def __call__(self) -> Message:
        """Return the next message.

        Raises:
            BodyTooLargeError: this body passes its limit.
            OverloadedError: all bodies together pass the budget.
        """
        if not self._received_bytes and _declared_bytes(self._headers) > self.limit_bytes:
            raise BodyTooLargeError(self.limit_bytes)
        self.is_awaited = not self._is_whole
        message = await self._receive()
        self.is_awaited = False
        self._is_whole = not message.get("more_body", False)
        size_bytes = len(message.get("body", b""))
        if size_bytes:
            self._received_bytes += size_bytes
            if self.is_held:
                self.held_bytes += size_bytes
                self._budget.take(size_bytes)
            if self._received_bytes > self.limit_bytes:
                raise BodyTooLargeError(self.limit_bytes)
        return message

    def release(self) -> None:
        """Count nothing of this body in the budget any more, neither what came nor what comes."""
        self._budget.give_back(self.held_bytes)
        self.held_bytes = 0
        self.is_held = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an endpoint that streams or waits may ask for; in ``request.state.allowance``."""

    _deadline: asyncio.Timeout
    _body: BodyCounter

    def take_seconds(self, seconds: float) -> None:
        """Have ``seconds`` from now until the answer begins."""
        self._deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    def stream_body(self, limit_bytes: int) -> None:
        """Read a body of up to ``limit_bytes`` that is never in memory as a whole."""
        self._body.limit_bytes = limit_bytes
        self._body.is_held = False

    def drop_body(self) -> None:
        """Keep nothing of the body, whatever of it is still to come."""
        self._body.release()


class RequestBounds:
    """Middleware: answers 503 or 408 when a request takes too long, 413 when it brings too much."""

    def __init__(
        self, app: ASGIApp, *, deadline_seconds: float, limit_bytes: int, budget_bytes: int
    ) -> None:
        self._app = app
        self._deadline_seconds = deadline_seconds
        self._limit_bytes = limit_bytes
        self._budget = BodyBudget(budget_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application within the bounds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = BodyCounter(
            receive, self._budget, limit_bytes=self._limit_bytes, headers=scope["headers"]
        )
        deadline = asyncio.timeout(self._deadline_seconds)
        scope.setdefault("state", {})["allowance"] = Allowance(deadline, body)

        async def send_in_time(message: Message) -> None:
            # An answer that has begun may take as long as its reader does.
            deadline.reschedule(None)
            if message["type"] == "http.response.start":
                # What it needed of the body, it has read; the rest is only waded through.
                body.release()
                added = scope["state"].get(ANSWER_HEADERS, ())
                # A new list: the answer's own may be shared with others like it.
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        try:
            async with deadline:
                await self._app(scope, body, send_in_time)
        except TimeoutError:
            if not deadline.expired():
                raise
            problem = to_problem(
                BodyTooSlowError("the body did not come in time")
                if body.is_awaited
                else DeadlineExceededError(scope["path"])
            )
            await respond(problem, path=scope["path"])(scope, receive, send)
        finally:
            body.release()


def _declared_bytes(headers: Headers) -> int:
    """Return the ``Content-Length``, so that nobody has to send what is refused anyway; or 0."""
    length = next((value for name, value in headers if name == b"content-length"), b"")
    return parse_length(length) or 0


def parse_length(text: bytes) -> int | None:
    """Return what a ``Content-Length`` says; None when it says nothing."""
    return int(text[:_MAX_DIGITS]) if text.isdigit() else None
