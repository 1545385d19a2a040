"""What the operator tells of a pool of workers: how large it may be, and how its pods ended.

The API never speaks to Kubernetes, so what its users should know of it goes through Postgres.

Before: the operator's ``recording`` sees the autoscaler and the pods.
After: ``postgres.pool_store`` keeps it; ``explanations`` hold it beside a task.
"""

from dataclasses import dataclass
from datetime import datetime

MAX_MESSAGE_CHARACTERS = 500
"""A container's last words may be 4 KiB; these are the ones that say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """How many workers there may be and should be, as the operator last decided."""

    mode: str
    """Who decides: ``Automatic``, ``Fixed`` or ``External``."""
    min_replicas: int
    max_replicas: int
    """Never more than these; in the modes Fixed and External as many as are asked for."""
    desired_replicas: int | None
    """None: not decided yet."""
    slots_per_pod: int
    """How many attempts a worker runs at once."""
    pod_start_seconds: float
    """From a pod's creation until it works, for nine of ten."""
    limited_message: str | None
    """Why the load gets fewer workers than it asks for, in a sentence; None: it gets them all."""
    held_message: str | None
    """Why the number is held whatever the load; None: it follows the load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodEnd:
    """How a container of a worker pod ended, or what ended the pod as a whole."""

    pod_uid: str
    pod_name: str
    container: str
    """Empty: the pod as a whole."""
    began_at: datetime
    ended_at: datetime
    """Of a pod: when it was asked to end, or was gone."""
    reason: str
    """A word of Kubernetes, such as ``OOMKilled``, ``Error``, ``Evicted``, or ``Deleted``."""
    exit_code: int | None
    """None: of the pod as a whole."""
    message: str
    """At most ``MAX_MESSAGE_CHARACTERS``; may be empty."""

    @property
    def has_ended_processes(self) -> bool:
        """Whether nothing runs there any more; a pod that was asked to end has a while left."""
        return self.exit_code is not None
