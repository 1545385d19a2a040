"""What must not stand in the way of every request."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from orchestrator_api.app import ROUTERS
from orchestrator_api.direct import is_awaited

ROOT = Path(__file__).parents[3]
SOURCES = [
    path
    for member in ("api", "core", "worker", "operator")
    for path in (ROOT / member / "src").rglob("*.py")
]


def list_calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for each in dependant.dependencies:
        yield from list_calls(each)


def test_no_middleware_starts_a_task_and_a_stream_for_each_request() -> None:
    # BaseHTTPMiddleware (and @app.middleware) runs each request in a task of its own, its answer
    # through a stream in memory, and hides a client that hangs up.
    guilty = [
        path.name
        for path in SOURCES
        if "BaseHTTPMiddleware" in (text := path.read_text()) or ".middleware(" in text
    ]

    assert guilty == []


@pytest.mark.parametrize(
    "route",
    [context for router in ROUTERS for context in iter_route_contexts(router.routes)],
    ids=lambda context: context.name,
)
def test_no_dependency_of_a_route_goes_to_a_thread(route: object) -> None:
    # FastAPI runs plain functions in its thread pool, even one that reads an attribute:
    # that took a third of a submission's time.
    dependant = getattr(route, "dependant", None)
    assert isinstance(dependant, Dependant)

    in_threads = [call for call in list_calls(dependant) if not is_awaited(call)]

    assert in_threads == []
