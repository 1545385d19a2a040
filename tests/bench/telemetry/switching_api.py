"""The API, with variants that take turns.

Before: gunicorn imports ``app`` from here instead of from ``orchestrator_api.asgi``.
After: it serves as always; ``switching`` writes what that took.
"""

import asyncio
from random import Random

from starlette.types import ASGIApp, Receive, Scope, Send

import orchestrator_api.app
from orchestrator_api.metrics import RequestMetrics
from orchestrator_api.request_log import RequestLog
from orchestrator_api.settings import read_process_settings
from tests.bench.telemetry.switching import Switcher

SLICE_SECONDS = 0.5
"""A request is under way for a tenth of that."""


class _SwitchedLog(RequestLog):
    """Begins the turns with the first request, and counts them."""

    def __init__(
        self, app: ASGIApp, *, metrics: RequestMetrics, sampling_ratio: float, chance: Random
    ) -> None:
        super().__init__(app, metrics=metrics, sampling_ratio=sampling_ratio, chance=chance)
        self._switcher = Switcher(slice_seconds=SLICE_SECONDS)
        self._switching: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._switching is None:
            self._switching = asyncio.create_task(self._switcher.run())
        await super().__call__(scope, receive, send)
        self._switcher.count()


orchestrator_api.app.RequestLog = _SwitchedLog  # type: ignore[attr-defined]
app = orchestrator_api.app.create_app(read_process_settings())
