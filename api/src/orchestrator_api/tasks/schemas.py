"""The JSON of the task endpoints: the original's fields, and what goes beyond.

Before: clients made for the original service; rows of the task store.
After: ``understanding`` takes a ``SubmitTask``; clients get views.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import from_json

from orchestrator_api.bodies import WholeNumber
from orchestrator_api.tasks.catalogue import KnownType
from orchestrator_core.tasks import Task, TaskStatus, TaskSummary
from orchestrator_core.tracing import trace_id_of

CREATED = "Task created successfully"
MAX_DAYS_AHEAD = 366
"""Of ``run_at``: a year is a plan, a century is a mistake in the unit."""
MAX_TASKS = 1_000
"""Of one request; some 50 ms of Postgres."""
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def _to_time(value: object) -> object:
    """Return the time that RFC 3339 text names, in UTC.

    Raises:
        ValueError: it names none.
    """
    if value is None:
        return None
    if not isinstance(value, str) or _RFC_3339.fullmatch(value) is None:
        raise ValueError("expected a time with its zone, like 2030-01-31T09:00:00Z (RFC 3339)")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("expected a time that exists between the years 1 and 9999") from None


Priority = Literal["LOW", "NORMAL", "HIGH"]


class SubmitTask(BaseModel):
    """A wish for a task, as it came in."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"task_type": "IMAGE_RESIZE"},
                {"task_type": "IMAGE_RESIZE", "payload": {"width": 640}, "max_attempts": 2},
                {"task_type": "IMAGE_RESIZE", "priority": "LOW", "run_at": None},
            ]
        },
    )

    task_type: Annotated[str, Field(min_length=1, max_length=128)]
    payload: Annotated[
        dict[str, Any],
        Field(description="fits the schema of the type; see GET /api/v1/task-types"),
    ] = {}
    max_attempts: Annotated[
        WholeNumber | None,
        Field(description="the type's own number by default, and at most"),
    ] = None
    timeout_seconds: Annotated[
        WholeNumber | None,
        Field(description="for one attempt; the type's own by default, and at most"),
    ] = None
    priority: Annotated[
        Priority, Field(description="which of the tasks that are due goes first")
    ] = "NORMAL"
    run_at: Annotated[
        AwareDatetime | None,
        BeforeValidator(_to_time),
        Field(
            description=f"not before this time, at most {MAX_DAYS_AHEAD} days ahead; null: at once",
            examples=["2026-01-31T09:00:00Z"],
        ),
    ] = None


class SubmitTasks(BaseModel):
    """A wish for many tasks: all of them are kept, or none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: Annotated[list[SubmitTask], Field(min_length=1, max_length=MAX_TASKS)]


class TaskAccepted(BaseModel):
    """The task is kept; it will run whatever happens to this service."""

    task_id: Annotated[int, Field(examples=[1])]
    status: Annotated[TaskStatus, Field(examples=["PENDING"])] = TaskStatus.PENDING
    message: Annotated[str, Field(examples=[CREATED])] = CREATED


class TasksAccepted(BaseModel):
    """All tasks are kept, in the order in which they were asked for."""

    tasks: list[TaskAccepted]


class TaskSummaryView(BaseModel):
    """A task in a list."""

    id: Annotated[int, Field(examples=[1])]
    user_id: Annotated[int, Field(examples=[1])]
    task_type: Annotated[str, Field(examples=["IMAGE_RESIZE"])]
    status: TaskStatus
    result_file: Annotated[str | None, Field(examples=["result/image_123.jpg"])]
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    attempts: Annotated[int, Field(description="attempts begun so far", examples=[1])]
    max_attempts: Annotated[int, Field(examples=[5])]
    timeout_seconds: Annotated[int, Field(description="for one attempt", examples=[60])]
    progress: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="of the attempt that runs, as its handler tells it; 1 when completed; "
            "null when nothing is known",
            examples=[1.0],
        ),
    ]
    progress_message: Annotated[
        str | None,
        Field(
            description="what the handler says beside it; null unless the task runs",
            examples=["page 4 of 10"],
        ),
    ]
    priority: Priority
    run_at: Annotated[datetime | None, Field(description="not before this time; null: at once")]
    retry_of: Annotated[
        int | None, Field(description="the failed task that this one runs again", examples=[None])
    ]
    started_at: Annotated[datetime | None, Field(description="when the first attempt began")]
    finished_at: datetime | None
    error_code: Annotated[str | None, Field(examples=["TIMEOUT"])]
    trace_id: Annotated[str, Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])]

    @classmethod
    def from_summary(cls, task: TaskSummary) -> "TaskSummaryView":
        """Show ``task`` in a list."""
        return cls(**_to_fields(task))


class TaskView(TaskSummaryView):
    """A task as its owner sees it."""

    payload: dict[str, Any]

    @classmethod
    def from_task(cls, task: Task) -> "TaskView":
        """Show ``task``."""
        return cls(payload=from_json(task.payload), **_to_fields(task))


class TaskPage(BaseModel):
    """Some of a user's tasks, oldest first."""

    tasks: list[TaskSummaryView]
    next_cursor: Annotated[
        int | None, Field(description="pass it as `cursor` for the next page; null on the last")
    ]


class TaskTypeView(BaseModel):
    """A type that some worker runs."""

    task_type: Annotated[str, Field(examples=["IMAGE_RESIZE"])]
    payload_schema: Annotated[
        Mapping[str, Any], Field(description="JSON Schema (draft 2020-12) of the payload")
    ]
    timeout_seconds: Annotated[int, Field(description="for one attempt, at most", examples=[60])]
    max_attempts: Annotated[int, Field(description="at most", examples=[5])]

    @classmethod
    def from_known(cls, known: KnownType) -> "TaskTypeView":
        """Show ``known``."""
        return cls(
            task_type=known.published.name,
            payload_schema=known.schema,
            timeout_seconds=known.published.timeout_seconds,
            max_attempts=known.published.max_attempts,
        )


class TaskTypes(BaseModel):
    """All types, by name."""

    task_types: list[TaskTypeView]


def _to_fields(task: TaskSummary) -> dict[str, Any]:
    return {
        "id": task.id,
        "user_id": task.user_id,
        "task_type": task.task_type,
        "status": task.status,
        "result_file": task.result_file,
        "error_message": task.error_message,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "attempts": task.attempts,
        "max_attempts": task.max_attempts,
        "timeout_seconds": task.timeout_seconds,
        "progress": 1.0 if task.status is TaskStatus.COMPLETED else task.progress,
        "progress_message": task.progress_message,
        "priority": task.priority.name,
        "run_at": task.run_at,
        "retry_of": task.retry_of,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "error_code": task.error_code,
        "trace_id": trace_id_of(task.trace_context),
    }
