"""Our task type for the benchmark; discovered like any user's.

Before: ``workers`` writes the metadata that makes it discoverable, with no installation.
After: the worker publishes and runs it.
"""

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import HandlerGroup, Payload, TaskContext
from tests.bench.engine.contract import RESULT, TASK_TYPE

handlers = HandlerGroup()


class Noop(Payload):
    """Bytes to carry along."""

    filler: str


@handlers.register(TASK_TYPE, payload=Noop)
async def noop(_: Noop, _context: TaskContext) -> ResultFile:
    """Do nothing."""
    return ResultFile(content=RESULT, content_type="text/plain", file_name="noop.txt")
