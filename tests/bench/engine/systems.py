"""The systems that are compared, each in the configuration its own documentation calls durable.

Before: ``cli`` picks some by name.
After: ``workers`` start their processes, ``kept`` counts their rows and messages.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator_core.topology import TASK_QUEUE, TASK_QUEUE_ARGUMENTS
from tests.bench.engine.contract import IN_FLIGHT_PER_PROCESS, THREADS_PER_PROCESS, WORKER_PROCESSES
from tests.bench.stores import MIGRATIONS

ROOT = Path(__file__).parents[3]
OUR_PYTHON = sys.executable
PEER_PYTHON = str(ROOT / ".venv-bench" / "bin" / "python")
PEER_SCHEMA = Path(__file__).parent / "peers" / "schema.sql"
_PEERS = "tests.bench.engine.peers"


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """How to run one system, and where it keeps things."""

    name: str
    python: str
    commands: Sequence[Sequence[str]]
    """Of its worker processes, after the interpreter."""
    consumers: int
    """Of its queue, when all have started."""
    queue: str
    queue_arguments: Mapping[str, str | int]
    schema: Sequence[Path]
    drain_tasks: int
    """So that a burn-down takes some seconds."""
    wrong_results: str
    """SQL that counts completed tasks whose result is not $1."""
    has_health_port: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beyond the usual, of workers and producers."""


_QUORUM = {"x-queue-type": "quorum"}
_PEER_RESULTS = (
    "SELECT count(*) FROM tasks WHERE status = 'COMPLETED' AND result IS DISTINCT FROM $1"
)

OURS = System(
    name="ours",
    python=OUR_PYTHON,
    commands=[("-m", "orchestrator_worker")] * WORKER_PROCESSES,
    consumers=WORKER_PROCESSES,
    queue=TASK_QUEUE,
    queue_arguments=TASK_QUEUE_ARGUMENTS,
    schema=sorted(MIGRATIONS.glob("*.up.sql")),
    drain_tasks=10_000,
    wrong_results=(
        "SELECT count(*) FROM tasks t LEFT JOIN task_results r ON r.task_id = t.id"
        " WHERE t.status = 'COMPLETED' AND r.content IS DISTINCT FROM $1"
    ),
    has_health_port=True,
)
TEXTBOOK = System(
    name="textbook",
    python=OUR_PYTHON,
    commands=[("-m", f"{_PEERS}.textbook_app")] * WORKER_PROCESSES,
    consumers=WORKER_PROCESSES,
    queue="bench_textbook",
    queue_arguments=_QUORUM,
    schema=[PEER_SCHEMA],
    drain_tasks=4_000,
    wrong_results=_PEER_RESULTS,
)
CELERY = System(
    name="celery",
    python=PEER_PYTHON,
    commands=[
        (
            *("-m", "celery", "--app", f"{_PEERS}.celery_app", "worker", "--pool", "prefork"),
            *("--concurrency", str(THREADS_PER_PROCESS), "--loglevel", "WARNING"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        )
    ],
    consumers=1,
    queue="bench_celery",
    queue_arguments=_QUORUM,
    schema=[PEER_SCHEMA],
    drain_tasks=2_000,
    wrong_results=_PEER_RESULTS,
)
DRAMATIQ = System(
    name="dramatiq",
    python=PEER_PYTHON,
    commands=[
        (
            *("-m", "dramatiq", f"{_PEERS}.dramatiq_app"),
            *("--processes", str(WORKER_PROCESSES), "--threads", str(THREADS_PER_PROCESS)),
        )
    ],
    consumers=WORKER_PROCESSES,
    queue="bench_dramatiq",
    queue_arguments={},
    schema=[PEER_SCHEMA],
    drain_tasks=3_000,
    wrong_results=_PEER_RESULTS,
)
TASKIQ = System(
    name="taskiq",
    python=PEER_PYTHON,
    commands=[
        (
            *("-m", "taskiq", "worker", f"{_PEERS}.taskiq_app:broker"),
            *("--workers", str(WORKER_PROCESSES)),
            *("--max-async-tasks", str(IN_FLIGHT_PER_PROCESS)),
            *("--max-prefetch", str(IN_FLIGHT_PER_PROCESS)),
            *("--ack-type", "when_saved", "--log-level", "WARNING"),
        )
    ],
    consumers=WORKER_PROCESSES,
    queue="bench_taskiq",
    queue_arguments={},
    schema=[PEER_SCHEMA],
    drain_tasks=4_000,
    wrong_results=_PEER_RESULTS,
)
SYSTEMS = {each.name: each for each in (OURS, TEXTBOOK, CELERY, DRAMATIQ, TASKIQ)}
