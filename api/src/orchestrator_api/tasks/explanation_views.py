"""The JSON of an explanation, with all that somebody needs who reads it alone.

Before: ``explanations`` has explained a task.
After: clients get views.
"""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field

from orchestrator_api.tasks.explanations import Explanation, Reason
from orchestrator_api.tasks.histories import Attempt, AttemptEnd
from orchestrator_core.explanations import TaskFacts
from orchestrator_core.pools import PodEnd
from orchestrator_core.tasks import TaskStatus


class PodEndView(BaseModel):
    """How a worker's container or pod ended, as Kubernetes says."""

    container: Annotated[
        str | None, Field(description="null: the pod as a whole", examples=["worker"])
    ]
    reason: Annotated[
        str,
        Field(
            description="Kubernetes' word, such as `OOMKilled`, `Error`, `Evicted`; `Deleted` when "
            "the pod was asked to end or is gone",
            examples=["OOMKilled"],
        ),
    ]
    exit_code: Annotated[int | None, Field(description="null for a pod as a whole", examples=[137])]
    message: Annotated[str, Field(description="may be empty", examples=[""])]
    ended_at: datetime

    @classmethod
    def from_end(cls, end: PodEnd) -> Self:
        """Show ``end``."""
        return cls(
            container=end.container or None,
            reason=end.reason,
            exit_code=end.exit_code,
            message=end.message,
            ended_at=end.ended_at,
        )


class AttemptView(BaseModel):
    """One attempt, with its end."""

    number: Annotated[
        int,
        Field(
            description="counts all that were begun, also those that were handed back",
            examples=[1],
        ),
    ]
    started_at: datetime
    ended_at: Annotated[
        datetime | None,
        Field(
            description="null while it runs; of a lost attempt, its worker's last sign of life, as "
            "far as that is known"
        ),
    ]
    end: Annotated[
        AttemptEnd,
        Field(
            description="`RETRY`: failed, another one may follow; `HANDED_BACK`: its worker had to "
            "stop; `WORKER_LOST`: its worker ended without a word about it",
            examples=["WORKER_LOST"],
        ),
    ]
    message: Annotated[
        str | None, Field(description="what was said at its end", examples=["lease ran out"])
    ]
    pod: Annotated[
        str | None,
        Field(
            description="the worker's; null when it ran so long ago that it has been forgotten",
            examples=["demo-worker-6d5f7c9b8-x2x7k"],
        ),
    ]
    pod_end: Annotated[
        PodEndView | None,
        Field(
            description="how the worker itself ended, where that ended the attempt and was seen",
            examples=[
                {
                    "container": "worker",
                    "reason": "OOMKilled",
                    "exit_code": 137,
                    "message": "",
                    "ended_at": "2024-12-25T10:30:00Z",
                }
            ],
        ),
    ]

    @classmethod
    def from_attempt(cls, attempt: Attempt) -> Self:
        """Show ``attempt``."""
        return cls(
            number=attempt.number,
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
            end=attempt.end,
            message=attempt.message,
            pod=attempt.pod_name,
            pod_end=None if attempt.pod_end is None else PodEndView.from_end(attempt.pod_end),
        )


class QueueView(BaseModel):
    """Where the task stands among those that are due."""

    position: Annotated[int, Field(ge=1, description="1: it is the next one", examples=[3])]
    waiting: Annotated[int, Field(description="how many wait at all", examples=[12])]
    is_at_least: Annotated[
        bool,
        Field(description="whether counting ended there: both may be larger", examples=[False]),
    ]

    @classmethod
    def from_facts(cls, facts: TaskFacts) -> Self | None:
        """Show where a task stands, if it does."""
        place = facts.place
        if place is None:
            return None
        return cls(
            position=place.ahead + 1, waiting=place.waiting, is_at_least=place.is_counted_out
        )


class PoolView(BaseModel):
    """The workers that run tasks of all users."""

    workers: Annotated[int, Field(description="that take tasks now", examples=[2])]
    slots: Annotated[int, Field(description="attempts that they can run at once", examples=[8])]
    free_slots: Annotated[int, Field(examples=[0])]
    mode: Annotated[
        str | None,
        Field(
            description="who decides how many there are: `Automatic`, `Fixed` or `External`; this "
            "and what follows is null while nobody tells, as without an operator",
            examples=["Automatic"],
        ),
    ]
    min_workers: Annotated[int | None, Field(examples=[0])]
    max_workers: Annotated[
        int | None, Field(description="there are never more than these", examples=[10])
    ]
    desired_workers: Annotated[
        int | None, Field(description="that there should be now", examples=[3])
    ]
    limited: Annotated[
        str | None,
        Field(
            description="why there are fewer than the load asks for; null: there are enough",
            examples=["the load asks for 12 workers, and spec.worker.scaling.max is 10"],
        ),
    ]
    held: Annotated[
        str | None,
        Field(
            description="why their number stays whatever the load; null: it follows the load",
            examples=["the load can't be read"],
        ),
    ]

    @classmethod
    def from_facts(cls, facts: TaskFacts) -> Self | None:
        """Show the pool, if the task still needs one."""
        pool, report = facts.pool, facts.report
        if pool is None:
            return None
        return cls(
            workers=pool.workers,
            slots=pool.slots,
            free_slots=pool.free_slots,
            mode=report and report.mode,
            min_workers=report and report.min_replicas,
            max_workers=report and report.max_replicas,
            desired_workers=report and report.desired_replicas,
            limited=report and report.limited_message,
            held=report and report.held_message,
        )


class ExplanationView(BaseModel):
    """Why a task is as it is."""

    task_id: Annotated[int, Field(examples=[1])]
    status: Annotated[TaskStatus, Field(examples=["PENDING"])]
    reason: Annotated[
        Reason,
        Field(
            description="what it waits for or how it stands; stable, and more may be added. "
            "`SCHEDULED`: for its `run_at`; `RETRY_BACKOFF`: for the time of its next attempt; "
            "`ABOUT_TO_START`: for nothing; `BROKER_AWAY`: for RabbitMQ; `WAITING_FOR_WORKER`: for "
            "a free slot; `POOL_AT_CAP`: the same, and there may be no more workers; "
            "`WORKERS_STARTING`: for workers that are on their way; `NO_WORKERS`: for a worker, "
            "and none is on its way; `RUNNING`; `WORKER_SILENT`: it runs, but its worker is not "
            "heard of; `WORKER_LOST`: its worker is gone; `COMPLETED`; `FAILED`; `CANCELLED`",
            examples=["POOL_AT_CAP"],
        ),
    ]
    sentence: Annotated[
        str,
        Field(
            description="the reason, for a person",
            examples=["It is number 3 of 12 that wait; 0 of 8 slots on 2 workers are free."],
        ),
    ]
    read_at: Annotated[datetime, Field(description="when all this was so")]
    due_at: Annotated[
        datetime | None,
        Field(description="when it may start, or might have: `run_at`, or after a failure"),
    ]
    expected_start_at: Annotated[
        datetime | None,
        Field(description="when the next attempt is likely to begin; null when nothing tells"),
    ]
    expectation: Annotated[
        str,
        Field(
            description="what that was measured from, or why there is none",
            examples=["Measured: the latest 200 attempts took 2.1 s each, 8 slots."],
        ),
    ]
    queue: Annotated[
        QueueView | None,
        Field(
            description="null when it does not wait for a worker",
            examples=[{"position": 3, "waiting": 12, "is_at_least": False}],
        ),
    ]
    pool: Annotated[
        PoolView | None,
        Field(description="null when the task is final"),
    ]
    unavailable: Annotated[
        list[str],
        Field(
            description="what does not answer the API at the moment: `rabbitmq`, `redis`",
            examples=[[]],
        ),
    ]
    lease_until: Annotated[
        datetime | None,
        Field(description="an attempt has the task until then, and longer while its worker lives"),
    ]
    progress: Annotated[
        float | None, Field(ge=0, le=1, description="of the attempt that runs", examples=[None])
    ]
    progress_message: Annotated[str | None, Field(examples=[None])]
    error_code: Annotated[
        str | None, Field(description="of the last failure", examples=["WORKER_LOST"])
    ]
    error_message: Annotated[
        str | None, Field(examples=["the worker of the last attempt was lost"])
    ]
    attempts: Annotated[
        list[AttemptView], Field(description="the oldest first; of very many, the latest")
    ]

    @classmethod
    def from_explanation(cls, explanation: Explanation) -> Self:
        """Show ``explanation``."""
        facts, standing = explanation.facts, explanation.facts.standing
        return cls(
            task_id=standing.task_id,
            status=standing.status,
            reason=explanation.reason,
            sentence=explanation.sentence,
            read_at=standing.read_at,
            due_at=standing.due_at,
            expected_start_at=explanation.expectation.start_at,
            expectation=explanation.expectation.sentence,
            queue=QueueView.from_facts(facts),
            pool=PoolView.from_facts(facts),
            unavailable=sorted(facts.unavailable),
            lease_until=standing.lease_until,
            progress=standing.progress if standing.is_leased else None,
            progress_message=standing.progress_message if standing.is_leased else None,
            error_code=standing.error_code,
            error_message=standing.error_message,
            attempts=[AttemptView.from_attempt(each) for each in explanation.attempts],
        )
