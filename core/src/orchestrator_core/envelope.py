"""The doorbell's message: which task is due. Everything else is read from the row.

A message may be lost, doubled or late and nothing breaks, so it carries no
state that could be stale.

Before: the API's ``dispatching`` publishes it.
After: the worker's ``consuming`` decodes it and claims the row.
"""

import json
import re
from dataclasses import dataclass

from orchestrator_core.errors import NotAnEnvelopeError
from orchestrator_core.tasks import TaskId

VERSION = 1
CONTENT_TYPE = "application/json"
_WRITTEN = re.compile(rb'\{"v":1,"task_id":([1-9][0-9]{0,18})\}')


@dataclass(frozen=True, slots=True)
class TaskEnvelope:
    """Version 1: ``{"v": 1, "task_id": 17}``. Pinned by a golden test."""

    task_id: TaskId

    def to_bytes(self) -> bytes:
        """Encode; ``from_bytes`` reads it back."""
        return b'{"v":%d,"task_id":%d}' % (VERSION, self.task_id)

    @classmethod
    def from_bytes(cls, body: bytes) -> "TaskEnvelope":
        """Decode a message's body.

        Raises:
            NotAnEnvelopeError: not JSON, another version, or no positive integer id.
        """
        if written := _WRITTEN.fullmatch(body):
            # What ``to_bytes`` writes, so nearly everything, needs no parser.
            return cls(TaskId(int(written[1])))
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise NotAnEnvelopeError(f"not JSON: {body[:64]!r}") from error
        match fields:
            case {"v": 1, "task_id": int(task_id)} if task_id > 0 and task_id is not True:
                return cls(TaskId(task_id))
        raise NotAnEnvelopeError(f"expected version {VERSION} with a task_id, found {body[:64]!r}")
