"""``/livez``, ``/readyz``, ``/health``: for the kubelet and for people.

Liveness asks no store: restarting this process heals none of them. Readiness
needs Postgres alone, the truth. RabbitMQ or Redis away is reported and no
more: tasks are accepted all the same and the sweep rings when it is back.

Before: the kubelet or a person asks.
After: 200, or 503 with the name of what fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from orchestrator_core.errors import StoreUnavailableError

State = Literal["ok", "unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How to find out."""

    pings: Mapping[str, Callable[[], Awaitable[object]]]
    """By store; each raises ``StoreUnavailableError`` when it does not answer."""
    needed: frozenset[str]
    """Without these the process is not ready."""
    is_alive: Callable[[], bool]
    """Whether all background services still run."""
    tell: Callable[[str, bool], None] = lambda *_: None
    """Told of each store whether it answered."""
    ping_seconds: float = 1.0
    """The kubelet's probes give up after a second or a few."""

    async def observe(self) -> "HealthView":
        """Ask all stores at once, each within its deadline."""
        states = await asyncio.gather(
            *(_observe(ping, timeout_seconds=self.ping_seconds) for ping in self.pings.values())
        )
        dependencies: dict[str, State] = dict(zip(self.pings, states, strict=True))
        for name, state in dependencies.items():
            self.tell(name, state == "ok")
        failing = {name for name, state in dependencies.items() if state != "ok"}
        if failing & self.needed:
            return HealthView(status="unavailable", dependencies=dependencies)
        return HealthView(status="degraded" if failing else "ok", dependencies=dependencies)


class LiveView(BaseModel):
    """Whether the process works."""

    status: Annotated[str, Field(examples=["ok"])]


class HealthView(BaseModel):
    """What answers and what does not."""

    status: Literal["ok", "degraded", "unavailable"]
    dependencies: Annotated[
        dict[str, State],
        Field(examples=[{"postgres": "ok", "rabbitmq": "ok", "redis": "ok"}]),
    ]


async def _health(request: Request) -> Health:
    health: Health = request.state.health
    return health


router = APIRouter(tags=["health"])
Observed = Annotated[Health, Depends(_health)]


_COME_BACK = {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
_LIVE: dict[int | str, dict[str, Any]] = {
    200: {"model": LiveView},
    503: {"model": LiveView, "description": "A background service has ended", **_COME_BACK},
}
_HEALTH: dict[int | str, dict[str, Any]] = {
    200: {"model": HealthView},
    503: {"model": HealthView, "description": "A part that is needed is away", **_COME_BACK},
}


@router.get("/livez", response_class=Response, responses=_LIVE)
async def live(health: Observed) -> Response:
    """Say whether this process works at all; asks no store."""
    if health.is_alive():
        return _answer(200, {"status": "ok"})
    return _answer(503, {"status": "a background service has ended"})


@router.get("/readyz", response_class=Response, responses=_HEALTH)
async def ready(health: Observed) -> Response:
    """Say whether requests can be served; names what fails."""
    return await _answer_observed(health)


@router.get("/health", response_class=Response, responses=_HEALTH)
async def healthy(health: Observed) -> Response:
    """Say which parts answer."""
    return await _answer_observed(health)


async def _answer_observed(health: Health) -> Response:
    view = await health.observe()
    return _answer(503 if view.status == "unavailable" else 200, view)


def _answer(status: int, body: object) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 503:  # noqa: PLR2004 - a status is its own name
        headers["Retry-After"] = "2"
    return Response(to_json(body), status, headers=headers, media_type="application/json")


async def _observe(ping: Callable[[], Awaitable[object]], *, timeout_seconds: float) -> State:
    try:
        async with asyncio.timeout(timeout_seconds):
            await ping()
    except (StoreUnavailableError, TimeoutError):
        return "unavailable"
    return "ok"
