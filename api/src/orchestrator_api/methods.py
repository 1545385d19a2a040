"""Methods of a path: which there are, and HEAD wherever there is GET.

FastAPI answers HEAD with 405 and, when several routes share a path, names in
``Allow`` only the methods of the first. RFC 9110 wants both otherwise (sections
9.3.2 and 10.2.1).

Before: ``bounds`` lets a request through; ``problems`` has a method that isn't there.
After: HEAD gets the headers that GET would; 405 names every method of its path.
"""

from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def find_methods(app: FastAPI, scope: Scope) -> list[str]:
    """Return the methods of the path of ``scope``, sorted.

    A path that some route names letter by letter is that route's alone: ``/tasks/batch``
    is no ``/tasks/{task_id}``.
    """
    exact: set[str] = set()
    fitting: set[str] = set()
    for context in iter_route_contexts(app.routes):
        # Routes write into the scope that they look at.
        match, _ = context.route.matches(dict(scope))
        if match is not Match.NONE:
            methods = exact if context.path == scope["path"] else fitting
            methods |= set(context.methods or ())
    return sorted(exact or fitting)


class HeadRequests:
    """Middleware: answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, with HEAD as GET where only GET is known."""
        if scope.get("method") != "HEAD":
            await self._app(scope, receive, send)
            return
        methods = find_methods(scope["app"], scope)
        if "HEAD" in methods or "GET" not in methods:
            await self._app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET"}
        answer = _HeadersOnly(receive, send)
        try:
            await self._app(as_get, answer.receive, answer.send)
        finally:
            # The log names the route.
            scope["route"] = as_get.get("route")


@dataclass(slots=True)
class _HeadersOnly:
    """One request's channels; the client seems gone as soon as it has all it asked for."""

    _receive: Receive
    _send: Send
    _is_answered: bool = field(default=False, init=False)

    async def receive(self) -> Message:
        """Return the next message; a stream without end stops here."""
        return {"type": "http.disconnect"} if self._is_answered else await self._receive()

    async def send(self, message: Message) -> None:
        """Send the headers and nothing else."""
        if message["type"] == "http.response.start":
            self._is_answered = True
            await self._send(message)
            await self._send({"type": "http.response.body", "body": b""})
