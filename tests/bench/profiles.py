"""Samples of our process, told apart by component.

Before: ``profiled_gunicorn`` has counted which lines of Python the process was in.
After: a table says what to make faster next.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

COMPONENTS: Mapping[str, Sequence[str]] = {
    "logging": ("/structlog/", "/logging/", "/request_log.py", "/logs.py", "/tracing.py"),
    "JWT": ("/jwt/", "/orchestrator_api/accounts/"),
    "limit": ("/redis/", "/orchestrator_api/limits/", "/orchestrator_api/metrics.py"),
    "insert": (
        "/asyncpg/",
        "/orchestrator_core/postgres/",
        "/tasks/keeping.py",
        "/tasks/submitting.py",
    ),
    "doorbell": (
        "/aio_pika/",
        "/aiormq/",
        "/pamqp/",
        "/orchestrator_core/amqp/",
        "/dispatching.py",
        "/envelope.py",
    ),
    "batching": ("/orchestrator_core/batching.py",),
    "validation": (
        "/jsonschema/",
        "/referencing/",
        "/pydantic/",
        "/understanding.py",
        "/catalogue.py",
    ),
    "JSON": ("/json/", "/bodies.py", "/schemas.py"),
    "bounds": ("/orchestrator_api/bounds.py",),
    "framework": (
        "/orchestrator_api/direct.py",
        "/orchestrator_api/http_protocol.py",
        "/fastapi/",
        "/starlette/",
        "/uvicorn/",
        "/uvicorn_worker/",
        "/anyio/",
    ),
    "own endpoints": ("/orchestrator_api/",),
}
"""Parts of paths; the first component that knows a frame has it."""
REST = "event loop"


def find_component(stack: Sequence[str], known: Mapping[str, Sequence[str]] = COMPONENTS) -> str:
    """Return whose work a sample was.

    Args:
        stack: paths of the files, innermost first. A library that several use (asyncio, re)
            counts for whoever called it.
        known: parts of paths, by component.
    """
    for path in stack:
        for component, parts in known.items():
            if any(part in path for part in parts):
                return component
    return REST


def build_profile_table(
    samples: Sequence[Mapping[str, object]], known: Mapping[str, Sequence[str]] = COMPONENTS
) -> str:
    """Return the share of each component, and the busiest functions.

    Args:
        samples: each with ``count`` and ``stack``, a list of "path:function", innermost first.
        known: parts of paths, by component.
    """
    components: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for sample in samples:
        stack, count = sample["stack"], sample["count"]
        assert isinstance(stack, list)
        assert isinstance(count, int)
        components[find_component(stack, known)] += count
        functions["/".join(stack[0].rsplit("/", 2)[-2:]) if stack else REST] += count
    total = max(1, components.total())
    lines = [f"{name:<20}{count / total:>7.1%}" for name, count in components.most_common()]
    lines += ["", "busiest functions:"]
    lines += [f"  {count / total:>6.1%} {name}" for name, count in functions.most_common(25)]
    return "\n".join(lines)
