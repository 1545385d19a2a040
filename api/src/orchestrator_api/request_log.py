"""One log line per request, its trace, and its span if that is sampled.

The outermost layer: it also catches what nobody expected, so that a client
gets a 500 without a word about our insides and the log gets the stack trace.

Before: uvicorn hands over a request.
After: ``bounds`` and FastAPI answer it; every line they log carries ``trace_id``.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from random import Random

import structlog
from opentelemetry.trace import Span
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator_api.metrics import CLIENT_GONE, RequestMetrics
from orchestrator_api.problems import INTERNAL, respond
from orchestrator_core.spans import begin_trace, current, exemplar_of, fail
from orchestrator_core.tracing import trace_id_of

FIELDS = ("user_id", "task_id", "task_type")
"""What endpoints and their dependencies set in ``request.state`` stands on the request's line: a
line of its own for each would cost as much again."""
UNKNOWN = "unknown"
_PROBES = frozenset({"/livez", "/readyz", "/health"})

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Sent:
    """What has left so far."""

    status: int | None = None


class RequestLog:
    """Middleware: logs, counts and traces each request with its status and duration."""

    def __init__(
        self, app: ASGIApp, *, metrics: RequestMetrics, sampling_ratio: float, chance: Random
    ) -> None:
        """Take what it tells.

        Args:
            app: answers.
            metrics: counts.
            sampling_ratio: of requests that bring no trace, how many are traced.
            chance: decides which.
        """
        self._app = app
        self._metrics = metrics
        self._sampling_ratio = sampling_ratio
        self._chance = chance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and log how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        trace_context, span = begin_trace(
            scope["method"],
            _header(scope["headers"], b"traceparent"),
            ratio=0.0 if scope["path"] in _PROBES else self._sampling_ratio,
            chance=self._chance,
        )
        scope.setdefault("state", {})["trace_context"] = trace_context
        sent = _Sent()

        async def note_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent.status = message["status"]
            await send(message)

        tokens = structlog.contextvars.bind_contextvars(trace_id=trace_id_of(trace_context))
        try:
            with current(span):
                await self._app(scope, receive, note_and_send)
        except ClientDisconnect:
            sent.status = CLIENT_GONE
        except Exception:
            _log.exception("unexpected error", method=scope["method"], path=scope["path"])
            if sent.status is not None:
                raise
            await respond(INTERNAL, path=scope["path"])(scope, receive, note_and_send)
        finally:
            seconds = time.perf_counter() - started
            # The template, not the path: ids would make every request its own kind.
            route = getattr(scope.get("route"), "path", None) or UNKNOWN
            _write_line(scope, route, sent.status, seconds)
            _end(span, scope["method"], route, sent.status)
            self._metrics.count(
                scope["method"], route, sent.status, seconds, exemplar_of(trace_context)
            )
            structlog.contextvars.reset_contextvars(**tokens)


def _write_line(scope: Scope, route: str, status: int | None, duration_seconds: float) -> None:
    write = _log.debug if route in _PROBES else _log.info
    write(
        "request",
        method=scope["method"],
        route=route,
        status=status,
        duration_seconds=round(duration_seconds, 6),
        **{name: value for name in FIELDS if (value := scope["state"].get(name)) is not None},
    )


def _end(span: Span, method: str, route: str, status: int | None) -> None:
    if not span.is_recording():
        return
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.request.method": method, "http.route": route})
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        fail(span, str(status))
    span.end()


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key == name), None)
