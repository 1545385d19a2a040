"""Serve the busiest endpoints without FastAPI's machinery, from the same declarations.

For each request FastAPI walks its routers, opens three exit stacks and works out the
endpoint's dependencies anew; half of a submission's CPU time went there. What a route
declares does not change, so here its dependencies become a list of calls once, in
FastAPI's own order, each called once. Everything else — documents, other methods on
the same path, other routes — stays FastAPI's.

Before: ``bounds`` lets a request through; ``app`` names the endpoints.
After: the endpoint's answer, or the problem that its error maps to.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator_api.problems import answer_error
from orchestrator_core.errors import OrchestratorError

_REQUEST, _RESPONSE = 0, 1
"""Where a plan's values begin: the request, and what takes the endpoint's headers."""
_SHAPES = ("include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none")
"""What FastAPI could still do to an answer's model."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a plan."""

    call: Callable[..., Awaitable[object]]
    arguments: Sequence[tuple[str, int]]
    """Parameter's name, and which earlier value it gets."""


@dataclass(frozen=True, slots=True)
class DirectRoute:
    """An endpoint and all it depends on, in the order of calling."""

    method: str
    path: str
    status: int
    steps: Sequence[Step]
    """The last one is the endpoint itself."""
    route: BaseRoute
    """Where it comes from; for the log."""


class DirectRoutes:
    """Middleware, the innermost: answers requests for its routes, passes others on."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[DirectRoute]) -> None:
        self._app = app
        self._routes = {(each.method, each.path): each for each in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        route = self._routes.get((scope.get("method", ""), scope.get("path", "")))
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route.route
        request = Request(scope, receive)
        try:
            answer = await run_steps(route, request)
        except OrchestratorError as error:
            answer = await answer_error(request, error)
        await answer(scope, receive, send)


async def run_steps(route: DirectRoute, request: Request) -> Response:
    """Call all that ``route`` depends on, then its endpoint; return the answer."""
    extra = _Headers()
    values: list[object] = [request, extra]
    for step in route.steps:
        values.append(await step.call(**{name: values[slot] for name, slot in step.arguments}))
    result = values[-1]
    if isinstance(result, Response):
        return result
    assert isinstance(result, BaseModel)  # noqa: S101 - checked when the plan was made
    body = result.__pydantic_serializer__.to_json(result, by_alias=True)
    answer = Response(body, extra.status_code or route.status, media_type="application/json")
    answer.raw_headers += extra.raw_headers
    return answer


class _Headers(Response):
    """What an endpoint that asks for ``response: Response`` gets."""

    def __init__(self) -> None:
        # Without the base's headers: only what the endpoint sets is added to the answer.
        self.raw_headers = []
        self.status_code = 0
        self.background = None


def install_direct_routes(app: FastAPI, *endpoints: Callable[..., object]) -> None:
    """Serve ``endpoints`` of ``app`` directly. Call it when all routers are included.

    Raises:
        TypeError: one of them declares something that only FastAPI can work out.
    """
    contexts = {each.endpoint: each for each in iter_route_contexts(app.routes)}
    routes = [plan for each in endpoints for plan in plan_routes(contexts[each])]
    app.user_middleware.append(Middleware(DirectRoutes, routes=routes))


def plan_routes(context: RouteContext) -> list[DirectRoute]:
    """Return a plan for each method of a route.

    Raises:
        TypeError: it needs FastAPI; says what for.
    """
    model = context.response_model
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{context.path}: expected a pydantic model as the answer, found {model}")
    if any(getattr(context, f"response_model_{each}") for each in _SHAPES):
        raise TypeError(f"{context.path}: expected the model as it is, found {', '.join(_SHAPES)}")
    slots: dict[object, int] = {}
    steps: list[Step] = []
    _plan(context.dependant, slots, steps)
    return [
        DirectRoute(
            method=method,
            path=context.path or "",
            status=context.status_code or 200,
            steps=tuple(steps),
            route=context.original_route,
        )
        for method in sorted(context.methods or ())
    ]


def _plan(dependant: Dependant, slots: dict[object, int], steps: list[Step]) -> int:
    """Add the calls for ``dependant`` to ``steps``; return which value it will be."""
    call = _require_simple(dependant)
    if call in slots:
        return slots[call]
    arguments = [
        (each.name, slot)
        for each in dependant.dependencies
        for slot in [_plan(each, slots, steps)]
        if each.name is not None
    ]
    for name, slot in (
        (dependant.request_param_name, _REQUEST),
        (dependant.http_connection_param_name, _REQUEST),
        (dependant.response_param_name, _RESPONSE),
    ):
        if name is not None:
            arguments.append((name, slot))
    steps.append(Step(call, tuple(arguments)))
    slots[call] = _RESPONSE + len(steps)
    return slots[call]


def _require_simple(dependant: Dependant) -> Callable[..., Awaitable[object]]:
    call = dependant.call
    needs = {
        "parameters of the path": dependant.path_params,
        "parameters of the query": dependant.query_params,
        "headers as parameters": dependant.header_params,
        "cookies": dependant.cookie_params,
        "a body read by FastAPI": dependant.body_params,
        "background tasks": dependant.background_tasks_param_name,
        "security scopes": dependant.security_scopes_param_name,
        "no caching": not dependant.use_cache,
        "a limit of its own": dependant.concurrency,
        "a thread or a clean-up": not is_awaited(call),
    }
    found = [need for need, value in needs.items() if value]
    if found or call is None:
        raise TypeError(f"{call} can't be called directly: it needs {', '.join(found)}")
    return call


def is_awaited(call: object) -> bool:
    """Return whether calling ``call``, a function or an object, makes a coroutine."""
    return iscoroutinefunction(call) or iscoroutinefunction(getattr(type(call), "__call__", None))  # noqa: B004 - not whether it can be called, but what comes of it
