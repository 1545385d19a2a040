"""``GET /api/v1/tasks/{id}/explain``: why a task waits, runs or has ended as it has.

Postgres is asked, and nobody else: of the other stores the answer says what this process
knows already.

Before: ``ownership`` has found the task of the caller.
After: ``explanations`` decide, the views show.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Protocol

from fastapi import APIRouter, Depends, Request, Response

from orchestrator_api.limits.dependencies import LIMITED_BY_USER
from orchestrator_api.openapi import describe_problems
from orchestrator_api.ownership import OwnTask
from orchestrator_api.tasks.explanation_views import ExplanationView
from orchestrator_api.tasks.explanations import Explanation, explain
from orchestrator_core.postgres.explanation_store import ExplanationStore
from orchestrator_core.tasks import TaskId

router = APIRouter(prefix="/api/v1", tags=["tasks"], dependencies=LIMITED_BY_USER)


class Answering(Protocol):
    """A store whose last call is remembered."""

    @property
    def is_answering(self) -> bool:
        """Whether it answers, as far as is known without asking."""
        ...


class Explaining:
    """Explains tasks."""

    def __init__(self, store: ExplanationStore, others: Mapping[str, Answering]) -> None:
        """Take the store of facts, and by name what else may be away."""
        self._store = store
        self._others = others

    async def explain(self, task_id: TaskId) -> Explanation:
        """Explain a task.

        Raises:
            TaskNotFoundError: it is gone.
            StoreUnavailableError: Postgres is away.
        """
        facts = await self._store.read(task_id)
        away = frozenset(name for name, store in self._others.items() if not store.is_answering)
        return explain(replace(facts, unavailable=away))


async def _explaining(request: Request) -> Explaining:
    explaining: Explaining = request.state.explaining
    return explaining


@router.get(
    "/tasks/{task_id}/explain",
    response_model=ExplanationView,
    responses=describe_problems(401, 403, 404, 422, 429, 503),
)
async def explain_task(
    task: OwnTask, explaining: Annotated[Explaining, Depends(_explaining)]
) -> Response:
    """Say why a task of the caller waits, runs or has ended as it has.

    For one that waits: what for, where it stands, and when it is likely to start, from what recent
    attempts took. For each attempt: where it ran and how it ended, with the end of its pod where
    that took it along.
    """
    view = ExplanationView.from_explanation(await explaining.explain(task.id))
    # All of it may be another the next moment.
    headers = {"Cache-Control": "no-store"}
    return Response(view.model_dump_json(), headers=headers, media_type="application/json")
