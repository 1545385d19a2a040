"""Whose work a sample of our worker was.

Before: ``profiled_worker`` has written samples.
After: ``profiles`` counts them by these parts.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.profiles import build_profile_table

WORKER_COMPONENTS: Mapping[str, Sequence[str]] = {
    "logging": ("/structlog/", "/logging/", "/orchestrator_core/logs.py"),
    "handler": ("/bench/engine/handlers/", "/pydantic/"),
    "claim statement": ("TaskStore.claim", "/orchestrator_worker/claiming.py"),
    "settle statement": ("TaskStore.settle", "/orchestrator_worker/settling.py"),
    "leases": ("/orchestrator_worker/leasing.py", "TaskStore.tend", "TaskStore.extend"),
    "AMQP": (
        "/aio_pika/",
        "/aiormq/",
        "/pamqp/",
        "/orchestrator_core/amqp/",
        "/orchestrator_worker/consuming.py",
        "/orchestrator_core/envelope.py",
    ),
    "journeys": ("/orchestrator_worker/journeys.py", "/orchestrator_worker/executing.py"),
    "batching": ("/orchestrator_core/batching.py",),
    "other Postgres": ("/asyncpg/", "/orchestrator_core/postgres/"),
    "rest of the worker": ("/orchestrator_worker/",),
}


def build_worker_profile(folder: Path) -> str:
    """Return the table over all processes that wrote samples into ``folder``."""
    samples = [
        sample for path in sorted(folder.glob("*.json")) for sample in json.loads(path.read_text())
    ]
    return build_profile_table(samples, WORKER_COMPONENTS)
