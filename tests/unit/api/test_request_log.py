from random import Random

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from orchestrator_api.metrics import Metrics
from orchestrator_api.request_log import RequestLog

METRICS = Metrics()


async def nothing() -> Message:
    raise NotImplementedError


async def drop(_: Message) -> None:
    """Let answers go nowhere."""


def a_scope() -> Scope:
    return {"type": "http", "method": "POST", "path": "/api/v1/tasks", "headers": []}


def logged(app: ASGIApp, *, sampling_ratio: float = 0.0) -> RequestLog:
    return RequestLog(
        app, metrics=METRICS.requests, sampling_ratio=sampling_ratio, chance=Random(1)
    )


async def test_what_is_known_of_a_request_stands_on_its_one_line() -> None:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["state"].update(user_id=3, task_id=7, task_type="IMAGE_RESIZE", secret="s")
        await send({"type": "http.response.start", "status": 201, "headers": []})

    with capture_logs() as lines:
        await logged(app)(a_scope(), nothing, drop)

    (line,) = lines
    assert 0 <= line.pop("duration_seconds") < 5
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "POST",
        "route": "unknown",
        "status": 201,
        "user_id": 3,
        "task_id": 7,
        "task_type": "IMAGE_RESIZE",
    }


async def test_the_trace_ends_with_its_request() -> None:
    seen = []

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(structlog.contextvars.get_contextvars())

    with capture_logs():
        await logged(app)(a_scope(), nothing, drop)

    assert len(seen[0]["trace_id"]) == 32
    assert "trace_id" not in structlog.contextvars.get_contextvars()
